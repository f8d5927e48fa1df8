/**
 * Extends a counter that wraps at 2^`bits` (RTP sequence numbers, RTP timestamps) to one that does not: each value is
 * placed nearest to the highest one so far, so reordered packets land where they belong (RFC 1982 distances).
 */
export class SerialUnwrapper {
  readonly #modulus: number;
  #highest = -1;

  constructor(bits: 16 | 32) {
    this.#modulus = 2 ** bits;
  }

  /** The extended value; never negative once past the first wrap, and the first value is returned as it is. */
  unwrap(value: number): number {
    if (this.#highest < 0) {
      this.#highest = value;
      return value;
    }
    const modulus = this.#modulus;
    const ahead = (((value - this.#highest) % modulus) + modulus) % modulus;
    const extended = this.#highest + (ahead < modulus / 2 ? ahead : ahead - modulus);
    if (extended > this.#highest) this.#highest = extended;
    return extended;
  }
}
