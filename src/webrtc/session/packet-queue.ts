/** Largest datagram that a session sends, bytes: an Ethernet frame's worth. */
export const MAX_DATAGRAM = 1500;

/**
 * A queue of packets written in place. Memory comes from a store that all queues of the thread share, and goes back as
 * soon as a packet has been sent: so the packets of hundreds of sessions pass through the same few kilobytes, which stay
 * in the processor's cache. Views of that memory are made once per length: nothing is allocated per packet.
 */
export class PacketQueue {
  /** The oldest, and those behind it: there are any only when much is sent at once. */
  #first: Slot | null = null;
  readonly #behind: Slot[] = [];
  #length = 0;
  #reserved: Slot | null = null;
  #polled: Slot | null = null;

  get length(): number {
    return this.#length;
  }

  /** A buffer of MAX_DATAGRAM bytes to write the next packet into; `commit` says how long it became. */
  reserve(): Uint8Array {
    this.#reserved ??= store.pop() ?? new Slot();
    return this.#reserved.memory;
  }

  /** Queues what was written; a length that is not positive discards it. */
  commit(length: number): void {
    const slot = this.#reserved;
    if (slot === null) return;
    this.#reserved = null;
    if (length <= 0) {
      give(slot);
      return;
    }
    slot.length = length;
    if (this.#length++ === 0) this.#first = slot;
    else this.#behind.push(slot);
  }

  /** The oldest packet, valid until the next call of `shift` or `release`. */
  shift(): Uint8Array {
    this.release();
    const next = this.#first;
    if (!next) throw new RangeError('The packet queue is empty.');
    this.#first = --this.#length === 0 ? null : this.#behind.shift()!;
    this.#polled = next;
    return next.packet;
  }

  /** The packet that came out last is not needed any more. */
  release(): void {
    if (this.#polled === null) return;
    give(this.#polled);
    this.#polled = null;
  }
}

class Slot {
  readonly memory = new Uint8Array(MAX_DATAGRAM);
  length = 0;
  readonly #views: (Uint8Array | undefined)[] = [];

  get packet(): Uint8Array {
    return (this.#views[this.length] ??= this.memory.subarray(0, this.length));
  }
}

/** Free slots, the one used last on top. */
const store: Slot[] = [];
/** More than are in flight at a time only after a burst. */
const MAX_FREE = 16;

function give(slot: Slot): void {
  if (store.length < MAX_FREE) store.push(slot);
}
