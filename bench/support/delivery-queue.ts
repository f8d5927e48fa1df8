/**
 * Does one thing after the other, each as soon after its time as the machine allows: the way of datagrams over a path.
 * It wants a thread of its own, which it puts to sleep for moments.
 */
export class DeliveryQueue {
  /** By how much each came too late because the thread was busy, ms. */
  readonly lateness: number[] = [];
  #waiting: { readonly at: number; readonly act: () => void }[] = [];
  /** Null when nothing is waited for. */
  #cancel: (() => void) | null = null;

  /** `act` in so many ms, but after everything that was put in before: the order stays, as in the queues of routers. */
  push(delayMs: number, act: () => void): void {
    const last = this.#waiting.at(-1)?.at ?? 0;
    this.#waiting.push({ at: Math.max(last, performance.now() + delayMs), act });
    if (this.#cancel === null) this.#work();
  }

  /** Nothing of what waits is done. */
  clear(): void {
    this.#waiting = [];
    this.#cancel?.();
    this.#cancel = null;
  }

  #work(): void {
    this.#cancel = null;
    const now = performance.now();
    for (let next = this.#waiting[0]; next !== undefined && next.at <= now; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.lateness.push(now - next.at);
      next.act();
    }
    if (this.#waiting.length === 0) return;
    this.#waitFor(this.#waiting[0].at - performance.now());
  }

  /** Timers count whole milliseconds and fire late rather than early: the last two are slept through in naps, between which datagrams are read. */
  #waitFor(ms: number): void {
    if (ms > 2) {
      const timer = setTimeout(() => this.#work(), Math.floor(ms) - 1);
      this.#cancel = () => clearTimeout(timer);
      return;
    }
    if (ms > 0) Atomics.wait(nobody, 0, 0, Math.min(ms, NAP_MS));
    const turn = setImmediate(() => this.#work());
    this.#cancel = () => clearImmediate(turn);
  }
}

/** Nobody wakes a sleeper here. */
const nobody = new Int32Array(new SharedArrayBuffer(4));
const NAP_MS = 0.2;
