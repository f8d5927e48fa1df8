/**
 * When this very process did not get to run: what came meanwhile looks late at the ear, whoever sent it. Told apart by a
 * timer that is to fire each millisecond.
 */
export class Stalls {
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  #last: number | null = null;

  /** Their lengths so far, ms. */
  get lengths(): number[] {
    return this.#from.map((from, i) => this.#to[i] - from);
  }

  /** To be called by the timer. */
  tick(now: number): void {
    if (this.#last !== null && now - this.#last >= SHORTEST_MS) {
      this.#from.push(this.#last);
      this.#to.push(now);
    }
    this.#last = now;
  }

  /**
   * The gaps that `gapsOf` finds by how late each frame came, ms, in two parts: those that there would have been all the same,
   * and those that are these stalls' own. What is later than an ear waits counts without the part for which nobody ran.
   * @param dueAt when a frame was to come, ms
   */
  tellApart(lateness: Float64Array, dueAt: (frame: number) => number, earMs: number, gapsOf: (lateness: Float64Array) => number[]): { gaps: number[]; ownGaps: number[] } {
    const without = lateness.map((ms, i) => (ms > earMs ? ms - this.within(dueAt(i), dueAt(i) + ms) : ms));
    const [all, gaps] = [gapsOf(lateness), gapsOf(without)];
    return { gaps, ownGaps: all.slice(0, Math.max(0, all.length - gaps.length)) };
  }

  /** How much of a stretch of time was stalled, ms. */
  within(from: number, to: number): number {
    let sum = 0;
    for (let i = this.#from.length - 1; i >= 0 && this.#to[i] > from; i--) {
      sum += Math.max(0, Math.min(to, this.#to[i]) - Math.max(from, this.#from[i]));
    }
    return sum;
  }
}

/** Shorter ones are the way of timers. */
const SHORTEST_MS = 5;
