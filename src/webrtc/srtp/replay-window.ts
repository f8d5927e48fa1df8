/** Packets behind the highest one that may still arrive: ten seconds of 20 ms audio. RFC 3711 asks for 64. */
export const REPLAY_WINDOW_LENGTH = 512;

/**
 * Which of the latest indices have been seen (RFC 3711, section 3.3.2). `check` is pure; `update` is for after the
 * packet has been authenticated, so that a forged packet cannot push real ones out of the window.
 *
 *   | … bits, as of the last gap … | run: all seen |     packets in order only lengthen the run, two numbers:
 *   └ highest - 511                         highest ┘     the bits are there once something was lost or reordered
 */
export class ReplayWindow {
  #highest = -1;
  /** Indices up to the highest that came one after the other, and whose bits are yet to be set. */
  #run = 0;
  /** Bit `index % REPLAY_WINDOW_LENGTH`, for the indices in the window; null as long as all came in order. */
  #seen: Uint32Array | null = null;

  /** Highest index seen, -1 before the first. */
  get highest(): number {
    return this.#highest;
  }

  check(index: number): 'new' | 'replayed' | 'too-old' {
    if (index > this.#highest) return 'new';
    if (index < 0 || this.#highest - index >= REPLAY_WINDOW_LENGTH) return 'too-old';
    if (index > this.#highest - this.#run) return 'replayed';
    const bit = index % REPLAY_WINDOW_LENGTH;
    return this.#seen !== null && (this.#seen[bit >>> 5] & (1 << (bit & 31))) !== 0 ? 'replayed' : 'new';
  }

  /** Records an index for which `check` says 'new'. */
  update(index: number): void {
    if (index === this.#highest + 1 || this.#highest < 0) {
      this.#highest = index;
      this.#run++;
      return;
    }
    const seen = this.#bits();
    if (index - this.#highest >= REPLAY_WINDOW_LENGTH) {
      seen.fill(0);
    } else {
      for (let skipped = this.#highest + 1; skipped < index; skipped++) setBit(seen, skipped, false);
    }
    setBit(seen, index, true);
    if (index > this.#highest) this.#highest = index;
  }

  /** The bits, with those of the run set. */
  #bits(): Uint32Array {
    const seen = (this.#seen ??= new Uint32Array(REPLAY_WINDOW_LENGTH / 32));
    const first = Math.max(0, this.#highest - Math.min(this.#run, REPLAY_WINDOW_LENGTH) + 1);
    for (let index = first; index <= this.#highest; index++) setBit(seen, index, true);
    this.#run = 0;
    return seen;
  }
}

function setBit(bits: Uint32Array, index: number, on: boolean): void {
  const bit = index % REPLAY_WINDOW_LENGTH;
  if (on) bits[bit >>> 5] |= 1 << (bit & 31);
  else bits[bit >>> 5] &= ~(1 << (bit & 31));
}
