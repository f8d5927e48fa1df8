import { FRAME_MS } from '../media/opus.ts';

/**
 * One shared clock per worker: calls `tick` once per frame time on an absolute schedule, so that errors do not add up.
 * After a late wake-up (garbage collection, a busy machine) it makes up for at most `MAX_CATCH_UP` ticks and skips the
 * rest: callers hear one gap instead of a burst that their jitter buffers would drop anyway.
 */
export class MediaClock {
  readonly #tick: (now: number) => void;
  #timer: NodeJS.Timeout | null = null;
  #next = 0;
  /** Ticks that were skipped because the thread woke up too late. */
  skipped = 0;

  constructor(tick: (now: number) => void) {
    this.#tick = tick;
  }

  /** Idempotent. */
  start(): void {
    if (this.#timer) return;
    this.#next = performance.now() + FRAME_MS;
    this.#arm();
  }

  /** Idempotent; may be called from within `tick`. */
  stop(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #arm(): void {
    // Timers fire up to 1 ms early or late; rounding up would add a bias, so aim at the schedule itself.
    this.#timer = setTimeout(() => this.#wake(), Math.max(0, this.#next - performance.now()));
  }

  #wake(): void {
    const now = performance.now();
    const due = Math.floor((now - this.#next) / FRAME_MS) + 1;
    if (due > MAX_CATCH_UP) {
      this.skipped += due - MAX_CATCH_UP;
      this.#next += (due - MAX_CATCH_UP) * FRAME_MS;
    }
    while (this.#timer && this.#next <= now + EARLY_MS) {
      this.#next += FRAME_MS;
      this.#tick(now);
    }
    if (this.#timer) this.#arm();
  }
}

const MAX_CATCH_UP = 2;
/** A timer that fires this much early counts as on time: waiting again would make the frame late. */
const EARLY_MS = 1;
