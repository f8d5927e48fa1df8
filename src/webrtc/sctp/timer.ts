/** A deadline that counts how often it ran out in a row. It starts nothing: the owner compares `at` with the time. */
export class Timer {
  /** When it runs out, in the clock of `now`; Infinity while stopped. */
  at = Infinity;
  /** Expiries since `stop()`. */
  expiries = 0;
  /** True when it runs out earlier than was meant first. */
  isHurried = false;

  get isRunning(): boolean {
    return this.at !== Infinity;
  }

  start(at: number): void {
    this.at = at;
    this.isHurried = false;
  }

  /** Runs out at `at`, if it is running and not to run out earlier. */
  hurry(at: number): void {
    if (!this.isRunning || this.at <= at) return;
    this.at = at;
    this.isHurried = true;
  }

  stop(): void {
    this.at = Infinity;
    this.expiries = 0;
  }

  /** True, once, when the deadline has passed: it is stopped and the expiry counted. */
  expire(now: number): boolean {
    if (now < this.at) return false;
    this.at = Infinity;
    this.expiries += 1;
    return true;
  }
}
