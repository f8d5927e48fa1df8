/** 2.5 s of 20 ms audio; a power of two, so that sequence numbers keep their slots when they wrap. */
const SLOTS = 128;
/** A packet is not repeated twice within this time, however often it is asked for. */
const MIN_REPEAT_MS = 10;

/** The latest packets, as they were before protection, for a peer that asks for them again. Bounded. */
export class SendHistory {
  readonly #slots: (Slot | undefined)[] = new Array<Slot | undefined>(SLOTS);

  /** Keeps a copy of packet[0, length). */
  store(sequence: number, packet: Uint8Array, length: number): void {
    const at = sequence % SLOTS;
    let slot = this.#slots[at];
    if (!slot || slot.bytes.length < length) {
      // Rounded up, so that a slot is soon large enough for all that comes.
      slot = { sequence, length, repeatedAt: 0, bytes: new Uint8Array((length + 0xff) & ~0xff) };
      this.#slots[at] = slot;
    }
    slot.sequence = sequence;
    slot.length = length;
    slot.repeatedAt = Number.NEGATIVE_INFINITY;
    slot.bytes.set(packet.subarray(0, length));
  }

  /** The packet, to be sent again now, byte for byte; null when it is gone or has just been repeated. */
  take(sequence: number, now: number): Uint8Array | null {
    const slot = this.#slots[sequence % SLOTS];
    if (slot?.sequence !== sequence || now - slot.repeatedAt < MIN_REPEAT_MS) return null;
    slot.repeatedAt = now;
    return slot.bytes.subarray(0, slot.length);
  }
}

interface Slot {
  sequence: number;
  length: number;
  repeatedAt: number;
  readonly bytes: Uint8Array;
}
