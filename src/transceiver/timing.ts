/** Time and timers, as Node has them. */
export interface Timing {
  /** Milliseconds from any start. */
  now(): number;
  /** Calls back once; what it gives takes it back. */
  wakeAfter(ms: number, wake: () => void): () => void;
}

export const REAL_TIME: Timing = {
  now: () => performance.now(),
  wakeAfter(ms, wake) {
    const timer = setTimeout(wake, ms);
    return () => clearTimeout(timer);
  },
};
