/**
 * Puts the caller's packets in order for a decoder and says which are lost.
 *
 *   push ──► next in order? ──yes──► poll: frame
 *              │ no: a packet is missing before it
 *              └► held until the gap fills, or for the wait ──► poll: lost, …, frame
 *
 * The listener is a program, not a loudspeaker: a packet in order is handed on at once, nothing is stretched, and only
 * a gap costs time. How long one is waited for follows what came late or was repeated: the wait grows at once to what
 * would have saved the last such packet, and shrinks slowly while no gap fills.
 *
 *   20 ms ◄── 2 ms per second ── 40 ms at first ── a packet came late by so much ──► 120 ms
 */

export interface JitterFrame {
  readonly type: 'frame';
  /** Valid until the next `push`. */
  readonly packet: Uint8Array;
  /** RTP timestamp, extended. */
  readonly timestamp: number;
}

/** One packet that will not come. The object is reused by the next `poll`. */
export interface JitterLoss {
  readonly type: 'lost';
  /** The one right behind it, when that is there. */
  next: JitterFrame | null;
}

export type JitterOutput = JitterFrame | JitterLoss;

/** Why a packet was not used. */
export type JitterDrop = 'late' | 'duplicate';

/** How long a gap may hold up what comes after it: at first, at the least, at the most. */
export const FIRST_WAIT_MS = 40;
export const MIN_WAIT_MS = 20;
export const MAX_WAIT_MS = 120;

export class JitterBuffer {
  /** Sequence number that comes next; null before the first packet. */
  #next: number | null = null;
  readonly #held = new Map<number, Held>();
  /** The packet that was pushed last, when it is the next in order: handed on without a copy. */
  #direct: JitterFrame | null = null;
  #highest = 0;
  #waitMs = FIRST_WAIT_MS;
  /** When the wait was last shortened. */
  #shrunkAt = Number.NaN;
  /** Packets given up of late, by the low bits of their number, and since when they had been missing. */
  readonly #givenUp = new Float64Array(REMEMBERED).fill(Number.NaN);
  readonly #missingSince = new Float64Array(REMEMBERED);
  readonly #lost: JitterLoss = { type: 'lost', next: null };

  /** Packets that wait for a gap to fill. */
  get size(): number {
    return this.#held.size;
  }

  /** How long a gap is waited for now. */
  get waitMs(): number {
    return this.#waitMs;
  }

  /**
   * Takes a packet by its extended sequence number. Drain {@link poll} before its memory is reused.
   * Gives the reason when the packet is of no use.
   */
  push(packet: Uint8Array, sequence: number, timestamp: number, now: number): JitterDrop | null {
    if (this.#next !== null && Math.abs(sequence - this.#next) > MAX_JUMP) this.#restart();
    this.#next ??= sequence;
    this.#shrink(now);
    if (sequence < this.#next) {
      const at = sequence & (REMEMBERED - 1);
      if (this.#givenUp[at] === sequence) this.#needed(now - this.#missingSince[at]);
      this.#givenUp[at] = Number.NaN;
      return 'late';
    }
    if (this.#held.size > 0 && sequence < this.#highest && !this.#held.has(sequence)) {
      this.#needed(now - this.#firstBehind(sequence)!.at);
    }
    if (sequence === this.#next && this.#direct === null) {
      this.#direct = { type: 'frame', packet, timestamp };
      return null;
    }
    if (this.#held.has(sequence)) return 'duplicate';
    this.#held.set(sequence, { frame: { type: 'frame', packet: packet.slice(), timestamp }, at: now });
    if (this.#held.size === 1 || sequence > this.#highest) this.#highest = sequence;
    return null;
  }

  /** The next packet in order, a loss, or null when there is nothing to do before time or packets come. */
  poll(now: number): JitterOutput | null {
    if (this.#next === null) return null;
    if (this.#direct !== null) {
      const frame = this.#direct;
      this.#direct = null;
      this.#next++;
      return frame;
    }
    if (this.#held.size === 0) return null;
    const held = this.#held.get(this.#next);
    if (held !== undefined) {
      this.#held.delete(this.#next);
      this.#next++;
      return held.frame;
    }
    const since = this.#firstBehind(this.#next)?.at ?? now;
    if (now - since < this.#waitMs) return null;
    this.#givenUp[this.#next & (REMEMBERED - 1)] = this.#next;
    this.#missingSince[this.#next & (REMEMBERED - 1)] = since;
    this.#next++;
    this.#lost.next = this.#held.get(this.#next)?.frame ?? null;
    return this.#lost;
  }

  /** A wait of so long would have been, or was, rewarded. */
  #needed(ms: number): void {
    this.#waitMs = Math.max(this.#waitMs, Math.min(MAX_WAIT_MS, ms + MARGIN_MS));
  }

  #shrink(now: number): void {
    if (!(now - this.#shrunkAt < SHRINK_EVERY_MS)) {
      if (!Number.isNaN(this.#shrunkAt)) this.#waitMs = Math.max(MIN_WAIT_MS, this.#waitMs - 1);
      this.#shrunkAt = now;
    }
  }

  #restart(): void {
    this.#held.clear();
    this.#direct = null;
    this.#next = null;
  }

  /** The packet right behind a missing one. */
  #firstBehind(missing: number): Held | undefined {
    for (let sequence = missing + 1; sequence <= this.#highest; sequence++) {
      const held = this.#held.get(sequence);
      if (held !== undefined) return held;
    }
    return undefined;
  }
}

interface Held {
  readonly frame: JitterFrame;
  readonly at: number;
}

/** A sender that skips this many packets has begun anew: 1 s. Nothing of the kind is concealed. */
const MAX_JUMP = 50;

/** Given-up packets that are remembered, a power of two. */
const REMEMBERED = 64;
/** Added to what was needed last: two packets never are equally late. */
const MARGIN_MS = 10;
const SHRINK_EVERY_MS = 500;
