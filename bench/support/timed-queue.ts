/** Does one thing after the other, each not before its time. */
export class TimedQueue {
  readonly #waiting: { readonly at: number; readonly act: () => void }[] = [];
  #lastAt = 0;

  push(delayMs: number, act: () => void): void {
    this.#lastAt = Math.max(this.#lastAt, performance.now() + delayMs);
    this.#waiting.push({ at: this.#lastAt, act });
    // One timer for all: those of different lengths that end in the same millisecond fire in any order.
    if (this.#waiting.length === 1) this.#arm();
  }

  #arm(): void {
    setTimeout(() => this.#work(), Math.max(0, this.#waiting[0].at - performance.now()));
  }

  #work(): void {
    // Timers fire up to a millisecond too soon.
    const now = performance.now() + 1;
    while (this.#waiting.length > 0 && this.#waiting[0].at <= now) this.#waiting.shift()!.act();
    if (this.#waiting.length > 0) this.#arm();
  }
}
