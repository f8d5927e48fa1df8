import type { Timing } from '../../src/transceiver/timing.ts';

/** Virtual time with one timer; `lateBy` is how much later than asked it fires. */
export class Clockwork implements Timing {
  at = 1000;
  lateBy: () => number = () => 0;
  #timer: { at: number; wake: () => void } | null = null;

  now(): number {
    return this.at;
  }

  wakeAfter(ms: number, wake: () => void): () => void {
    const timer = { at: this.at + ms + this.lateBy(), wake };
    this.#timer = timer;
    return () => {
      if (this.#timer === timer) this.#timer = null;
    };
  }

  run(ms: number): void {
    const end = this.at + ms;
    for (; this.#timer && this.#timer.at <= end; ) {
      const { at, wake } = this.#timer;
      this.#timer = null;
      this.at = Math.max(this.at, at);
      wake();
    }
    this.at = end;
  }

  get idle(): boolean {
    return this.#timer === null;
  }
}
