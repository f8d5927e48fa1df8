/** A packet that overtakes its elder by less is no loss. */
const REORDER_TOLERANCE_MS = 10;
const MIN_RETRY_MS = 20;
const MAX_TRIES = 3;
/** Voice that comes later than this is of no use to anyone. */
const MAX_AGE_MS = 400;
/** A longer gap is an outage: asking for all of it would only make the next one. */
const MAX_GAP = 32;
const MAX_MISSING = 64;
const SEQUENCES = 0x10000;

/** Which packets of a stream to ask for again, and when (generic NACK, RFC 4585, section 6.2.1). Bounded. */
export class MissingPackets {
  #highest = -1;
  #missing: { readonly sequence: number; readonly since: number; tries: number; at: number }[] = [];

  /** One arrived packet, by its extended sequence number. True when it shows that others are missing. */
  handlePacket(sequence: number, now: number): boolean {
    if (sequence === this.#highest + 1 && sequence > 0) {
      this.#highest = sequence;
      return false;
    }
    if (this.#highest < 0 || sequence - this.#highest > MAX_GAP || this.#highest - sequence > SEQUENCES / 2) {
      this.#highest = sequence;
      this.#missing.length = 0;
      return false;
    }
    if (sequence <= this.#highest) {
      if (this.#missing.length > 0) this.#missing = this.#missing.filter((packet) => packet.sequence !== sequence);
      return false;
    }
    for (let lost = this.#highest + 1; lost < sequence; lost++) {
      if (this.#missing.length === MAX_MISSING) this.#missing.shift();
      this.#missing.push({ sequence: lost, since: now, tries: 0, at: now + REORDER_TOLERANCE_MS });
    }
    this.#highest = sequence;
    return true;
  }

  /** What was in that packet (its number, 16 bits) has come another way. */
  handleRecovered(sequence: number): void {
    if (this.#missing.length > 0) this.#missing = this.#missing.filter((packet) => (packet.sequence & 0xffff) !== sequence);
  }

  /** When `take` has something to say; Infinity when nothing is missing. */
  get nextAt(): number {
    let at = Number.POSITIVE_INFINITY;
    for (const packet of this.#missing) at = Math.min(at, packet.at);
    return at;
  }

  /** The sequence numbers (16 bits, ascending) to ask for now. Counts a try for each. */
  take(now: number, rttMs: number | null): number[] {
    const due: number[] = [];
    this.#missing = this.#missing.filter((packet) => {
      if (packet.at > now) return true;
      if (packet.tries === MAX_TRIES || now - packet.since >= MAX_AGE_MS) return false;
      packet.tries++;
      packet.at = now + Math.max(MIN_RETRY_MS, (rttMs ?? 0) * 1.25);
      due.push(packet.sequence & 0xffff);
      return true;
    });
    return due;
  }
}
