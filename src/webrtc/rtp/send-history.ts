import { readUint16, writeUint16 } from '../../wire/integers.ts';

/** 640 ms of 20 ms audio: voice that is asked for later comes too late. A power of two, as sequence numbers wrap. */
const SLOTS = 32;
/** A packet is not repeated twice within this time, however often it is asked for. */
const MIN_REPEAT_MS = 10;
/** Before each packet in its slot: its sequence number and its length, 0 in a slot that was never used. */
const SLOT_HEADER = 4;
/** Slots are multiples of this long: a packet of 20 ms of Opus at 32 kbit/s with its headers fits one. */
const SLOT_STEP = 128;

/**
 * The latest packets, as they were before protection, for a peer that asks for them again. Bounded, small and in one
 * piece on purpose: every packet sent is written here, and with hundreds of calls what is written once and read never
 * pushes everything else out of the processor's caches.
 */
export class SendHistory {
  #slotLength = SLOT_STEP;
  #bytes = new Uint8Array(SLOTS * SLOT_STEP);
  /** When each slot was last repeated; null while none of them has been. */
  #repeatedAt: Map<number, number> | null = null;

  /** Keeps a copy of packet[0, length). */
  store(sequence: number, packet: Uint8Array, length: number): void {
    if (SLOT_HEADER + length > this.#slotLength) this.#grow(length);
    const start = (sequence % SLOTS) * this.#slotLength;
    const bytes = this.#bytes;
    writeUint16(bytes, start, sequence);
    writeUint16(bytes, start + 2, length);
    // Byte by byte: a view for `set` costs more than a hundred of these.
    for (let i = 0; i < length; i++) bytes[start + SLOT_HEADER + i] = packet[i];
    if (this.#repeatedAt?.delete(sequence % SLOTS) && this.#repeatedAt.size === 0) this.#repeatedAt = null;
  }

  has(sequence: number): boolean {
    const start = (sequence % SLOTS) * this.#slotLength;
    return readUint16(this.#bytes, start + 2) > 0 && readUint16(this.#bytes, start) === sequence;
  }

  /** The packet, to be sent again now, byte for byte; null when it is gone or has just been repeated. */
  take(sequence: number, now: number): Uint8Array | null {
    if (!this.has(sequence)) return null;
    const slot = sequence % SLOTS;
    this.#repeatedAt ??= new Map();
    if (now - (this.#repeatedAt.get(slot) ?? Number.NEGATIVE_INFINITY) < MIN_REPEAT_MS) return null;
    this.#repeatedAt.set(slot, now);
    const start = slot * this.#slotLength + SLOT_HEADER;
    return this.#bytes.subarray(start, start + readUint16(this.#bytes, start - 2));
  }

  #grow(length: number): void {
    const slotLength = Math.ceil((SLOT_HEADER + length) / SLOT_STEP) * SLOT_STEP;
    const bytes = new Uint8Array(SLOTS * slotLength);
    for (let slot = 0; slot < SLOTS; slot++) {
      const start = slot * this.#slotLength;
      bytes.set(this.#bytes.subarray(start, start + this.#slotLength), slot * slotLength);
    }
    this.#slotLength = slotLength;
    this.#bytes = bytes;
  }
}
