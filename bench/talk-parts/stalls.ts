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
