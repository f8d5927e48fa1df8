/**
 * Puts the caller's packets in order for a decoder and says which are lost.
 *
 *   push ──► next in order? ──yes──► poll: frame
 *              │ no: a packet is missing before it
 *              └► held until the gap fills, or for 40 ms ──► poll: lost, …, frame
 *
 * The listener is a program, not a loudspeaker: a packet in order is handed on at once and only a gap costs time.
 */

export interface JitterFrame {
  readonly type: 'frame';
  /** Valid until the next `push`. */
  readonly packet: Uint8Array;
  /** RTP timestamp, extended. */
  readonly timestamp: number;
}

/** One packet that will not come. */
export interface JitterLoss {
  readonly type: 'lost';
}

export type JitterOutput = JitterFrame | JitterLoss;

/** Why a packet was not used. */
export type JitterDrop = 'late' | 'duplicate';

/** How long a gap may hold up what comes after it. */
export const REORDER_WAIT_MS = 40;

export class JitterBuffer {
  /** Sequence number that comes next; null before the first packet. */
  #next: number | null = null;
  readonly #held = new Map<number, Held>();
  /** The packet that was pushed last, when it is the next in order: handed on without a copy. */
  #direct: JitterFrame | null = null;
  #highest = 0;

  /** Packets that wait for a gap to fill. */
  get size(): number {
    return this.#held.size;
  }

  /**
   * Takes a packet by its extended sequence number. Drain {@link poll} before its memory is reused.
   * Gives the reason when the packet is of no use.
   */
  push(packet: Uint8Array, sequence: number, timestamp: number, now: number): JitterDrop | null {
    if (this.#next !== null && Math.abs(sequence - this.#next) > MAX_JUMP) this.#restart();
    this.#next ??= sequence;
    if (sequence < this.#next) return 'late';
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
    if (!this.#expired(now)) return null;
    this.#next++;
    return LOST;
  }

  #restart(): void {
    this.#held.clear();
    this.#direct = null;
    this.#next = null;
  }

  /** The packet right behind the gap has waited long enough. */
  #expired(now: number): boolean {
    for (let sequence = this.#next! + 1; sequence <= this.#highest; sequence++) {
      const held = this.#held.get(sequence);
      if (held !== undefined) return now - held.at >= REORDER_WAIT_MS;
    }
    return false;
  }
}

interface Held {
  readonly frame: JitterFrame;
  readonly at: number;
}

/** A sender that skips this many packets has begun anew: 1 s. Nothing of the kind is concealed. */
const MAX_JUMP = 50;

const LOST: JitterLoss = { type: 'lost' };
