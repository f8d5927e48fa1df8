/** Best first: packets take a worse path only when the cluster has no better one. */
export const PATH_CONDITIONS = ['up', 'lossy', 'unknown', 'down', 'misdirected'] as const;
/**
 * `unknown`: not answered yet. `lossy`: answers, but too few. `misdirected`: a relay of another cluster answers there;
 * such a path is never used.
 */
export type PathCondition = (typeof PATH_CONDITIONS)[number];

/** What is known of one path, for metrics. */
export interface PathFigures {
  readonly condition: PathCondition;
  /** Smoothed as in RFC 6298, ms; NaN before the first answer. */
  readonly roundTripMs: number;
  /** Share of the last probes that were not answered, 0 to 1. */
  readonly loss: number;
  readonly probesSent: number;
  readonly probesAnswered: number;
}

/** How often a path is probed, and how soon it is given up. Times in ms. */
export interface PathPace {
  /** Between two probes of a path that answers, or might. */
  readonly probeMs: number;
  /** Between two probes of one that is down. */
  readonly downProbeMs: number;
  /** A path is down when nothing has been answered for this long beyond its round trip, and for {@link SILENT_PROBES}. */
  readonly silenceMs: number;
  /** A path that was down must answer so often in a row to be up again. */
  readonly answersToReturn: number;
}

const CLUSTER_PACE: PathPace = { probeMs: 100, downProbeMs: 500, silenceMs: 400, answersToReturn: 3 };
/** A process that has stood still itself must not blame its paths. */
const SILENT_PROBES = 4;
/** Before the first answer the round trip is taken to be this, ms (RFC 8445, section 14.3, has 500 for a check). */
const FIRST_ROUND_TRIP_MS = 500;
/** Probes over which the loss is counted: a power of two. */
const WINDOW = 64;
/** Lossy from this share on, and good again below the other. */
const LOSSY_FROM = 0.1;
const GOOD_BELOW = 0.05;

/**
 * Whether one way to a relay of another cluster, or to a transceiver worker, works. Pure: probes and the time in, the condition out.
 *
 *   unknown ──answer──► up ◄──few lost── lossy         up, lossy, unknown ──silence──► down
 *                        └──many lost──────▲           down ──answers in a row──► up
 *
 * Only answers to probes count, as packets that come prove one direction alone.
 */
export class PathHealth {
  /** When the next probe is due. */
  nextProbeAt: number;
  condition: PathCondition = 'unknown';

  readonly #cluster: number;
  readonly #pace: PathPace;
  /** By number modulo the window; NaN when the probe has been answered. */
  readonly #sentAt = new Float64Array(WINDOW).fill(Number.NaN);
  #next = 0;
  #answered = 0;
  /** Probes before this one do not count as lost: the path was down, which is over. */
  #countedFrom = 0;
  /** Answers among the probes of the window that have had their time. */
  #recent = 0;
  /** The latest probe that was answered. */
  #lastAnswered = -1;
  #inRow = 0;
  #roundTrip = Number.NaN;
  #variation = 0;

  constructor(cluster: number, firstProbeAt: number, pace = CLUSTER_PACE) {
    this.#cluster = cluster;
    this.#pace = pace;
    this.nextProbeAt = firstProbeAt;
  }

  /** A probe is due and is being sent; returns its number. */
  probe(now: number): number {
    this.check(now);
    const number = this.#next++;
    // The window forgets the probe of this slot, unanswered or not.
    if (number - WINDOW >= this.#countedFrom && Number.isNaN(this.#sentAt[number % WINDOW])) this.#recent--;
    this.#sentAt[number % WINDOW] = now;
    const isDown = this.condition === 'down' && this.#inRow === 0;
    this.nextProbeAt = now + (isDown || this.condition === 'misdirected' ? this.#pace.downProbeMs : this.#pace.probeMs);
    return number;
  }

  /** A peer of `cluster` has answered a probe. False for an answer that comes twice, or after its time: it counts as none. */
  answer(number: number, cluster: number, now: number): boolean {
    const slot = number % WINDOW;
    const sentAt = this.#sentAt[slot];
    if (number >= this.#next || number < this.#next - WINDOW || Number.isNaN(sentAt)) return false;
    if (cluster !== this.#cluster) {
      this.condition = 'misdirected';
      return false;
    }
    this.#sentAt[slot] = Number.NaN;
    this.#answered++;
    if (number >= this.#countedFrom) this.#recent++;
    this.#measure(now - sentAt);
    this.#lastAnswered = Math.max(this.#lastAnswered, number);
    this.#inRow++;
    const wasDown = this.condition === 'down' || this.condition === 'misdirected';
    if (wasDown && this.#inRow < this.#pace.answersToReturn) this.nextProbeAt = Math.min(this.nextProbeAt, now + this.#pace.probeMs);
    else if (wasDown || this.condition === 'unknown') {
      this.condition = 'up';
      this.#countedFrom = this.#next;
      this.#recent = 0;
    }
    this.#grade(now);
    return true;
  }

  /** Brings `condition` up to date; returns whether it has changed. */
  check(now: number): boolean {
    const before = this.condition;
    const silent = this.#next - 1 - this.#lastAnswered;
    // What left so long ago that the window has forgotten it is later than any limit.
    const silentSince = silent > WINDOW ? Number.NEGATIVE_INFINITY : this.#sentAt[(this.#lastAnswered + 1) % WINDOW];
    if (silent >= SILENT_PROBES && now - silentSince > this.#pace.silenceMs + this.#patience) {
      if (before !== 'misdirected') this.condition = 'down';
      this.#inRow = 0;
    } else this.#grade(now);
    return this.condition !== before;
  }

  figures(now: number): PathFigures {
    return {
      condition: this.condition,
      roundTripMs: this.#roundTrip,
      loss: this.#loss(now),
      probesSent: this.#next,
      probesAnswered: this.#answered,
    };
  }

  /** How long an answer may take. */
  get #patience(): number {
    return Number.isNaN(this.#roundTrip) ? FIRST_ROUND_TRIP_MS : this.#roundTrip + 4 * this.#variation;
  }

  #grade(now: number): void {
    if (this.condition !== 'up' && this.condition !== 'lossy') return;
    // Half a window is enough to judge a new path by.
    if (this.#next - this.#countedFrom < WINDOW / 2) return;
    const loss = this.#loss(now);
    if (loss > LOSSY_FROM) this.condition = 'lossy';
    else if (loss < GOOD_BELOW) this.condition = 'up';
  }

  #loss(now: number): number {
    const known = Math.min(this.#next - this.#countedFrom, WINDOW);
    let due = known;
    // Those sent last may still be answered.
    for (let i = 1; i <= known; i++) {
      const sentAt = this.#sentAt[(this.#next - i) % WINDOW];
      if (now - sentAt > this.#patience + this.#pace.probeMs) break;
      if (!Number.isNaN(sentAt)) due--;
    }
    return due <= 0 ? 0 : Math.max(0, 1 - this.#recent / due);
  }

  #measure(roundTrip: number): void {
    if (Number.isNaN(this.#roundTrip)) {
      this.#roundTrip = roundTrip;
      this.#variation = roundTrip / 2;
      return;
    }
    this.#variation += (Math.abs(this.#roundTrip - roundTrip) - this.#variation) / 4;
    this.#roundTrip += (roundTrip - this.#roundTrip) / 8;
  }
}
