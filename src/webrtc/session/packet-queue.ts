/** Largest datagram that a session sends, bytes: an Ethernet frame's worth. */
export const MAX_DATAGRAM = 1500;

/**
 * A queue of packets written in place. Memory of packets that came out is used again, and so are the views of it where
 * lengths repeat, as those of voice do: then nothing is allocated per packet. One packet in flight is the normal case;
 * the queue grows when several are written between two polls.
 */
export class PacketQueue {
  readonly #free: Slot[] = [];
  readonly #waiting: Slot[] = [];
  #reserved: Slot = makeSlot();
  #polled: Slot | null = null;

  get length(): number {
    return this.#waiting.length;
  }

  /** A buffer of MAX_DATAGRAM bytes to write the next packet into; `commit` says how long it became. */
  reserve(): Uint8Array {
    return this.#reserved.memory;
  }

  /** Queues what was written; a length that is not positive discards it. */
  commit(length: number): void {
    if (length <= 0) return;
    const slot = this.#reserved;
    if (slot.packet.length !== length) slot.packet = slot.memory.subarray(0, length);
    this.#waiting.push(slot);
    this.#reserved = this.#free.pop() ?? makeSlot();
  }

  /** The oldest packet, valid until the next call of `shift`. */
  shift(): Uint8Array {
    const next = this.#waiting.shift();
    if (!next) throw new RangeError('The packet queue is empty.');
    if (this.#polled && this.#free.length < MAX_FREE) this.#free.push(this.#polled);
    this.#polled = next;
    return next.packet;
  }
}

interface Slot {
  readonly memory: Uint8Array;
  /** The beginning of `memory`, as long as the packet that was last in it. */
  packet: Uint8Array;
}

/** Buffers kept for reuse, per session. */
const MAX_FREE = 4;

function makeSlot(): Slot {
  const memory = new Uint8Array(MAX_DATAGRAM);
  return { memory, packet: memory };
}
