const size = 256;

/**
 * The anti-replay window of one epoch (RFC 6347, section 4.1.2.6): a bitmap of the last 256 sequence numbers. `check`
 * changes nothing; `accept` is for records that have authenticated, so that a forged record cannot move the window.
 */
export class ReplayWindow {
  readonly #seen = new Uint32Array(size / 32);
  /** Highest accepted sequence number, -1 at first. */
  #highest = -1;

  /** The number behind the highest accepted one. */
  get expected(): number {
    return this.#highest + 1;
  }

  check(sequence: number): 'fresh' | 'replayed' | 'too-old' {
    if (sequence > this.#highest) return 'fresh';
    if (this.#highest - sequence >= size) return 'too-old';
    const bit = sequence % size;
    return (this.#seen[bit >>> 5] >>> (bit & 31)) & 1 ? 'replayed' : 'fresh';
  }

  accept(sequence: number): void {
    if (this.#highest - sequence >= size) return;
    if (sequence - this.#highest >= size) this.#seen.fill(0);
    else for (let passed = this.#highest + 1; passed < sequence; passed++) this.#clear(passed % size);
    const bit = sequence % size;
    this.#seen[bit >>> 5] |= 1 << (bit & 31);
    if (sequence > this.#highest) this.#highest = sequence;
  }

  #clear(bit: number): void {
    this.#seen[bit >>> 5] &= ~(1 << (bit & 31));
  }
}
