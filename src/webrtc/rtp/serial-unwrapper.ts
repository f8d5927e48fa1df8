/**
 * Extends a counter that wraps at 2^`bits` (RTP sequence numbers, RTP timestamps) to one that does not: each value is
 * placed nearest to the highest one so far, so reordered packets land where they belong (RFC 1982 distances).
 */
export class SerialUnwrapper {
  readonly #shift: number;
  #highest = Number.NEGATIVE_INFINITY;

  constructor(bits: 16 | 32) {
    this.#shift = 32 - bits;
  }

  /** The extended value; never negative once past the first wrap, and the first value is returned as it is. */
  unwrap(value: number): number {
    if (this.#highest < 0) {
      this.#highest = value;
      return value;
    }
    // The distance in `bits` bits, with its sign.
    const extended = this.#highest + (((value - this.#highest) << this.#shift) >> this.#shift);
    if (extended > this.#highest) this.#highest = extended;
    return extended;
  }
}
