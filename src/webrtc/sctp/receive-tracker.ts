import { writeUint16, writeUint32 } from '../../wire/integers.ts';
import { SACK_DELAY } from './protocol-parameters.ts';
import { tsnAdd, tsnDistance } from './serial.ts';
import { Timer } from './timer.ts';

/**
 * Which TSNs have arrived, and when to say so (RFC 9260, sections 3.3.4 and 6.2).
 *
 *   SACK value: cumulative TSN (32) | a_rwnd (32) | gap blocks (16) | duplicates (16)
 *               | gap blocks: first, last (16 each), relative to the cumulative TSN | duplicate TSNs (32)
 *
 * A SACK leaves at once after every second packet with data, upon a gap, a duplicate, the I bit or a refused chunk,
 * and otherwise within SACK.Delay, earlier when data leaves in which it can travel along.
 */

interface Gap {
  first: number;
  last: number;
}

/** The fixed part of a SACK's value, bytes. */
export const SACK_FIXED_BYTES = 12;
/** Gap blocks count 16-bit steps from the cumulative TSN: what lies further ahead cannot be acknowledged. */
const MAX_AHEAD = 0xffff;
const MAX_DUPLICATES = 20;

export class ReceiveTracker {
  readonly delay = new Timer();
  #cumulativeTsn: number;
  /** Received TSNs beyond a gap, in order, neither touching nor overlapping. */
  readonly #gaps: Gap[] = [];
  readonly #duplicates: number[] = [];
  #isDue = false;
  #packetsUnacknowledged = 0;
  #packetHasData = false;
  /** The first data of an association is acknowledged at once: it gives the peer its first round-trip time. */
  #isFirst = true;

  constructor(initialTsn: number) {
    this.#cumulativeTsn = tsnAdd(initialTsn, -1);
  }

  /** The last TSN before the first gap. */
  get cumulativeTsn(): number {
    return this.#cumulativeTsn;
  }

  /** A SACK must leave now. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** Data is unacknowledged: a SACK may travel with what leaves anyway. */
  get isPending(): boolean {
    return this.#isDue || this.delay.isRunning;
  }

  /** Tells what to do with a TSN, before anything is stored. */
  classify(tsn: number): 'next' | 'ahead' | 'duplicate' | 'too-far' {
    const distance = tsnDistance(this.#cumulativeTsn, tsn);
    if (distance <= 0) return 'duplicate';
    if (distance > MAX_AHEAD) return 'too-far';
    if (distance === 1) return 'next';
    const gap = this.#gaps[this.#find(tsn)];
    return gap !== undefined && tsnDistance(gap.first, tsn) >= 0 ? 'duplicate' : 'ahead';
  }

  /** Takes a TSN that `classify` called next or ahead. */
  add(tsn: number): void {
    this.#packetHasData = true;
    if (tsn === tsnAdd(this.#cumulativeTsn, 1)) {
      // Filling a gap is news as urgent as the gap itself (section 6.7).
      if (this.#gaps.length > 0) this.#isDue = true;
      this.#cumulativeTsn = tsn;
      this.#joinFirstGap();
    } else {
      this.#addGap(tsn);
      this.#isDue = true;
    }
  }

  addDuplicate(tsn: number): void {
    if (this.#duplicates.length < MAX_DUPLICATES) this.#duplicates.push(tsn);
    this.acknowledgeNow();
  }

  /** The peer skips what is missing up to `newCumulativeTsn` (RFC 3758, section 3.6). True when that was news. */
  forward(newCumulativeTsn: number): boolean {
    this.acknowledgeNow();
    if (tsnDistance(this.#cumulativeTsn, newCumulativeTsn) <= 0) return false;
    this.#cumulativeTsn = newCumulativeTsn;
    while (this.#gaps.length > 0 && tsnDistance(this.#gaps[0].first, newCumulativeTsn) >= 0) {
      const gap = this.#gaps.shift()!;
      if (tsnDistance(this.#cumulativeTsn, gap.last) > 0) this.#cumulativeTsn = gap.last;
    }
    this.#joinFirstGap();
    return true;
  }

  acknowledgeNow(): void {
    this.#isDue = true;
  }

  /** The end of a packet: decides whether its data is acknowledged now or later. */
  packetEnd(now: number): void {
    if (!this.#packetHasData) return;
    this.#packetHasData = false;
    this.#packetsUnacknowledged += 1;
    if (this.#packetsUnacknowledged >= 2 || this.#isFirst) this.#isDue = true;
    else if (!this.delay.isRunning) this.delay.start(now + SACK_DELAY);
    this.#isFirst = false;
  }

  /** Bytes of SACK value that fit into `room`, a multiple of four of at least SACK_FIXED_BYTES. */
  sackBytes(room: number): number {
    return Math.min(room & ~3, SACK_FIXED_BYTES + 4 * (this.#gaps.length + this.#duplicates.length));
  }

  /** Fills a SACK's value of `sackBytes` bytes; with that, everything is acknowledged. Gaps come before duplicates. */
  writeSack(value: Uint8Array, window: number): void {
    const entries = (value.length - SACK_FIXED_BYTES) / 4;
    const gaps = Math.min(entries, this.#gaps.length);
    const duplicates = entries - gaps;
    writeUint32(value, 0, this.#cumulativeTsn);
    writeUint32(value, 4, window);
    writeUint16(value, 8, gaps);
    writeUint16(value, 10, duplicates);
    let at = SACK_FIXED_BYTES;
    for (let i = 0; i < gaps; i++, at += 4) {
      writeUint16(value, at, tsnDistance(this.#cumulativeTsn, this.#gaps[i].first));
      writeUint16(value, at + 2, tsnDistance(this.#cumulativeTsn, this.#gaps[i].last));
    }
    for (let i = 0; i < duplicates; i++, at += 4) writeUint32(value, at, this.#duplicates[i]);
    this.#duplicates.length = 0;
    this.#isDue = false;
    this.#packetsUnacknowledged = 0;
    this.delay.stop();
  }

  /** Index of the first gap whose end is not behind `tsn`: the only one that may hold it. */
  #find(tsn: number): number {
    let low = 0;
    let high = this.#gaps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tsnDistance(this.#gaps[middle].last, tsn) > 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #addGap(tsn: number): void {
    const at = this.#find(tsn);
    const before = this.#gaps[at - 1];
    const after = this.#gaps[at];
    const touchesBefore = before !== undefined && tsnDistance(before.last, tsn) === 1;
    const touchesAfter = after !== undefined && tsnDistance(tsn, after.first) === 1;
    if (touchesBefore && touchesAfter) {
      before.last = after.last;
      this.#gaps.splice(at, 1);
    } else if (touchesBefore) {
      before.last = tsn;
    } else if (touchesAfter) {
      after.first = tsn;
    } else {
      this.#gaps.splice(at, 0, { first: tsn, last: tsn });
    }
  }

  #joinFirstGap(): void {
    if (this.#gaps.length === 0 || tsnDistance(this.#cumulativeTsn, this.#gaps[0].first) !== 1) return;
    this.#cumulativeTsn = this.#gaps.shift()!.last;
  }
}
