import { FRAME_MS } from '../media/opus.ts';
import { REAL_TIME, type Timing } from './timing.ts';

/** Slots of a frame time: what is paced is spread over them, so that hundreds of calls do not leave in one burst. */
const SLOTS = 8;
const SLOT_MS = FRAME_MS / SLOTS;
/** Frame times that are made up for after a late wake-up. */
const MAX_CATCH_UP = 2;
/** A timer that fires this much early counts as on time: waiting again would make the frame late. */
const EARLY_MS = 1;
/** Upper bounds by which ticks are counted, ms. */
export const LATENESS_BOUNDS_MS = [1, 2, 5, 10, 20, Infinity] as const;

/** What the clock does with those that it paces. */
export interface Pacing<Paced> {
  /** Acts for the members of a slot, and has sent when it returns. */
  tick(paced: ReadonlySet<Paced>, now: number): void;
  /** Does for one of them, after its tick and while nothing else is due, what its next tick would have to wait for. */
  prepare(paced: Paced): void;
}

/**
 * One shared clock per worker: has each call that speaks act once per frame time, on an absolute schedule, so that
 * errors do not add up.
 *
 *   |  0  |  1  |  2  |  …  |  7  |  0  |  1  |    slots of 2.5 ms; a call keeps its slot, empty slots are slept over
 *   └────────── 20 ms ────────────┘
 *    t ppp t pp  t pppp                            tick: packets leave; prepare, one call at a time, until the next is due
 *
 * After a late wake-up (garbage collection, a busy machine) it makes up for at most two frame times and skips the rest:
 * callers hear one gap instead of a burst that their jitter buffers would drop anyway. What could not be prepared for a
 * slot by the time that another is served is left to its tick.
 */
export class MediaClock<Paced> {
  readonly #pacing: Pacing<Paced>;
  readonly #slots = Array.from({ length: SLOTS }, () => new Set<Paced>());
  readonly #slotOf = new Map<Paced, Set<Paced>>();
  readonly #timing: Timing;
  /** Takes back the timer; null when stopped. */
  #cancel: (() => void) | null = null;
  /** Time of the slot that comes next, and which it is. */
  #next = 0;
  #slot = 0;
  /** Members of the last slot that are yet to be prepared. */
  #unprepared: Paced[] = [];
  /** Frame times that were skipped because the thread woke up too late. */
  skipped = 0;
  /** Ticks by how long after their time all that they send had been handed over, see {@link LATENESS_BOUNDS_MS}. */
  readonly ticksByLateness = LATENESS_BOUNDS_MS.map(() => 0);

  constructor(pacing: Pacing<Paced>, timing = REAL_TIME) {
    this.#pacing = pacing;
    this.#timing = timing;
  }

  /** Paces it from now on, in the slot that has the least to do; of several the one that comes next. Idempotent. */
  add(paced: Paced): void {
    if (this.#slotOf.has(paced)) return;
    let slot = this.#slots[this.#slot];
    for (let ahead = 1; ahead < SLOTS; ahead++) {
      const other = this.#slots[(this.#slot + ahead) % SLOTS];
      if (other.size < slot.size) slot = other;
    }
    slot.add(paced);
    this.#slotOf.set(paced, slot);
    if (this.#cancel === null) this.#next = this.#timing.now() + SLOT_MS;
    this.#arm();
  }

  /** Idempotent; may be called from within `tick`. With the last one the clock stops. */
  remove(paced: Paced): void {
    this.#slotOf.get(paced)?.delete(paced);
    this.#slotOf.delete(paced);
    if (this.#slotOf.size === 0) this.stop();
  }

  /** Idempotent; may be called from within `tick`. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  /** Sets the timer to the next slot that has members. */
  #arm(): void {
    this.#cancel?.();
    let ahead = 0;
    while (ahead < SLOTS && this.#slots[(this.#slot + ahead) % SLOTS].size === 0) ahead++;
    // Timers fire up to 1 ms early or late; rounding up would add a bias, so aim at the schedule itself.
    const wait = Math.max(0, this.#next + ahead * SLOT_MS - this.#timing.now());
    this.#cancel = this.#timing.wakeAfter(wait, () => this.#wake());
  }

  #wake(): void {
    const timing = this.#timing;
    const overdue = Math.floor((timing.now() - this.#next) / FRAME_MS) + 1 - MAX_CATCH_UP;
    // Whole frame times are skipped, so that all slots lose as much.
    if (overdue > 0) {
      this.skipped += overdue;
      this.#next += overdue * FRAME_MS;
    }
    // However much there is to do: packets that come in get their turn between two wake-ups.
    let slots = MAX_CATCH_UP * SLOTS;
    let earlyMs = EARLY_MS;
    do {
      for (let now = timing.now(); this.#cancel && this.#next <= now + earlyMs && slots > 0; now = timing.now(), slots--) this.#serve(now);
      earlyMs = 0;
    } while (this.#cancel && slots > 0 && this.#prepareOne());
    if (this.#cancel) this.#arm();
  }

  #serve(now: number): void {
    const members = this.#slots[this.#slot];
    const due = this.#next;
    this.#next += SLOT_MS;
    this.#slot = (this.#slot + 1) % SLOTS;
    if (members.size === 0) return;
    this.#pacing.tick(members, now);
    const late = this.#timing.now() - due;
    this.ticksByLateness[LATENESS_BOUNDS_MS.findIndex((bound) => late <= bound)]++;
    this.#unprepared = [...members];
  }

  /** False when nobody is left to prepare for. */
  #prepareOne(): boolean {
    const paced = this.#unprepared.pop();
    if (paced === undefined) return false;
    if (this.#slotOf.has(paced)) this.#pacing.prepare(paced);
    return true;
  }
}
