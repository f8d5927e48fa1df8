/** Largest datagram that a session sends, bytes: an Ethernet frame's worth. */
export const MAX_DATAGRAM = 1500;

/**
 * A queue of packets written in place, without an allocation per packet: memory of packets that came out is used again.
 * One packet in flight is the normal case; the queue grows when several are written between two polls.
 */
export class PacketQueue {
  readonly #free: Uint8Array[] = [];
  readonly #waiting: Uint8Array[] = [];
  #reserved: Uint8Array = new Uint8Array(MAX_DATAGRAM);
  #polled: Uint8Array | null = null;

  get length(): number {
    return this.#waiting.length;
  }

  /** A buffer of MAX_DATAGRAM bytes to write the next packet into; `commit` says how long it became. */
  reserve(): Uint8Array {
    return this.#reserved;
  }

  /** Queues what was written; a length that is not positive discards it. */
  commit(length: number): void {
    if (length <= 0) return;
    this.#waiting.push(this.#reserved.subarray(0, length));
    this.#reserved = this.#free.pop() ?? new Uint8Array(MAX_DATAGRAM);
  }

  /** The oldest packet, valid until the next call of `shift`. */
  shift(): Uint8Array {
    const next = this.#waiting.shift();
    if (!next) throw new RangeError('The packet queue is empty.');
    if (this.#polled && this.#free.length < MAX_FREE) this.#free.push(new Uint8Array(this.#polled.buffer));
    this.#polled = next;
    return next;
  }
}

/** Buffers kept for reuse, per session. */
const MAX_FREE = 4;
