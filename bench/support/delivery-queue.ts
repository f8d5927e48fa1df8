/** Does one thing after the other, each as soon after its time as the machine allows: the way of datagrams over a path. */
export class DeliveryQueue {
  /** By how much each came too late because the thread was busy, ms. */
  readonly lateness: number[] = [];
  #waiting: { readonly at: number; readonly act: () => void }[] = [];
  #timer: NodeJS.Timeout | null = null;

  /** `act` in so many ms, but after everything that was put in before: the order stays, as in the queues of routers. */
  push(delayMs: number, act: () => void): void {
    const last = this.#waiting.at(-1)?.at ?? 0;
    this.#waiting.push({ at: Math.max(last, performance.now() + delayMs), act });
    if (this.#timer === null) this.#work();
  }

  /** Nothing of what waits is done. */
  clear(): void {
    this.#waiting = [];
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #work(): void {
    this.#timer = null;
    const now = performance.now();
    for (let next = this.#waiting[0]; next !== undefined && next.at <= now; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.lateness.push(now - next.at);
      next.act();
    }
    if (this.#waiting.length === 0) return;
    const wait = this.#waiting[0].at - performance.now();
    // Timers count whole milliseconds and fire late rather than early: the last one is waited for turn by turn.
    this.#timer = setTimeout(() => this.#work(), wait > 2 ? Math.floor(wait) - 1 : 0);
  }
}
