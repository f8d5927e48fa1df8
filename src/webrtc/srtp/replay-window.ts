/** Packets behind the highest one that may still arrive: ten seconds of 20 ms audio. RFC 3711 asks for 64. */
export const REPLAY_WINDOW_LENGTH = 512;

/**
 * Which of the latest indices have been seen (RFC 3711, section 3.3.2). `check` is pure; `update` is for after the
 * packet has been authenticated, so that a forged packet cannot push real ones out of the window.
 */
export class ReplayWindow {
  /** Bit `index % REPLAY_WINDOW_LENGTH`, for the indices in the window. */
  readonly #seen = new Uint32Array(REPLAY_WINDOW_LENGTH / 32);
  #highest = -1;

  /** Highest index seen, -1 before the first. */
  get highest(): number {
    return this.#highest;
  }

  check(index: number): 'new' | 'replayed' | 'too-old' {
    if (index > this.#highest) return 'new';
    if (index < 0 || this.#highest - index >= REPLAY_WINDOW_LENGTH) return 'too-old';
    const bit = index % REPLAY_WINDOW_LENGTH;
    return (this.#seen[bit >>> 5] & (1 << (bit & 31))) === 0 ? 'new' : 'replayed';
  }

  /** Records an index for which `check` says 'new'. */
  update(index: number): void {
    if (index - this.#highest >= REPLAY_WINDOW_LENGTH) {
      this.#seen.fill(0);
    } else {
      for (let skipped = this.#highest + 1; skipped < index; skipped++) {
        const bit = skipped % REPLAY_WINDOW_LENGTH;
        this.#seen[bit >>> 5] &= ~(1 << (bit & 31));
      }
    }
    const bit = index % REPLAY_WINDOW_LENGTH;
    this.#seen[bit >>> 5] |= 1 << (bit & 31);
    if (index > this.#highest) this.#highest = index;
  }
}
