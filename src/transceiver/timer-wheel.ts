import { REAL_TIME, type Timing } from './timing.ts';

/** How much later than asked a timer may expire, ms. */
const TICK_MS = 5;
/** Together they span 5 s. */
const BUCKETS = 1024;

/**
 * Timers of hundreds of calls behind one of Node's: a hashed timing wheel (Varghese and Lauck, 1987). A call that has
 * nothing to do until its next report or consent check costs nothing until then.
 *
 *        now
 *   … |   | ▪ |   | ▪▪ |   |   | ▪ | …      buckets of 5 ms; one timer, set to the next that is not empty
 *
 * What is asked for beyond the span expires at its end, too early: an item looks at its own deadline, and asks again.
 */
export class TimerWheel<Item> {
  readonly #expire: (items: ReadonlySet<Item>, now: number) => void;
  readonly #timing: Timing;
  readonly #buckets = Array.from({ length: BUCKETS }, () => new Set<Item>());
  readonly #bucketOf = new Map<Item, Set<Item>>();
  /** The last tick whose bucket has been emptied; a tick is a time in units of {@link TICK_MS}. */
  #done = 0;
  /** The tick that the timer is set to. */
  #armedFor = Infinity;
  #cancel: (() => void) | null = null;

  /** @param expire acts for all whose time has come; may schedule them anew. */
  constructor(expire: (items: ReadonlySet<Item>, now: number) => void, timing = REAL_TIME) {
    this.#expire = expire;
    this.#timing = timing;
  }

  /** How many wait. */
  get size(): number {
    return this.#bucketOf.size;
  }

  /** Has `item` expire once, at `at` or up to 5 ms later, instead of when it was to before. */
  schedule(item: Item, at: number): void {
    if (this.#bucketOf.size === 0) this.#done = Math.max(this.#done, Math.floor(this.#timing.now() / TICK_MS));
    this.#bucketOf.get(item)?.delete(item);
    const tick = Math.min(Math.max(Math.ceil(at / TICK_MS), this.#done + 1), this.#done + BUCKETS);
    const bucket = this.#buckets[tick % BUCKETS];
    bucket.add(item);
    this.#bucketOf.set(item, bucket);
    if (tick < this.#armedFor) this.#arm(tick);
  }

  /** Idempotent; may be called from within `expire`. */
  remove(item: Item): void {
    this.#bucketOf.get(item)?.delete(item);
    this.#bucketOf.delete(item);
    if (this.#bucketOf.size === 0) this.stop();
  }

  /** Takes the timer back: nothing expires until something is scheduled. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#armedFor = Infinity;
  }

  #arm(tick: number): void {
    this.#cancel?.();
    this.#armedFor = tick;
    this.#cancel = this.#timing.wakeAfter(Math.max(0, Math.ceil(tick * TICK_MS - this.#timing.now())), () => this.#wake());
  }

  #wake(): void {
    this.#armedFor = Infinity;
    const now = this.#timing.now();
    // Node's timers may fire early, and then nothing is due.
    const until = Math.max(this.#done, Math.floor(now / TICK_MS));
    const due = new Set<Item>();
    for (let tick = Math.max(this.#done + 1, until - BUCKETS + 1); tick <= until; tick++) this.#empty(tick, due);
    this.#done = until;
    if (due.size > 0) this.#expire(due, now);
    if (this.#bucketOf.size > 0) this.#arm(this.#next());
  }

  #empty(tick: number, into: Set<Item>): void {
    const bucket = this.#buckets[tick % BUCKETS];
    for (const item of bucket) {
      into.add(item);
      this.#bucketOf.delete(item);
    }
    bucket.clear();
  }

  /** The next tick whose bucket is not empty. */
  #next(): number {
    let tick = this.#done + 1;
    while (this.#buckets[tick % BUCKETS].size === 0) tick++;
    return tick;
  }
}
