import { compactNtp, msToCompact } from './ntp.ts';
import type { ReportBlock } from './rtcp.ts';

/** RFC 3550, appendix A.1: a jump ahead of this size is a restart of the sender, once a second packet confirms it. */
const MAX_DROPOUT = 3000;
const MAX_MISORDER = 100;
const SEQUENCES = 0x10000;

/**
 * Statistics on one SSRC's packets (RFC 3550, section 6.4.1; appendices A.1, A.3 and A.8).
 *
 * Deviation from A.1: no probation. It guards against stray packets that merely look like RTP, which cannot get past
 * SRTP's authentication; so the first packet counts. Statistics never decide whether a packet is played.
 */
export class ReceiveStream {
  readonly ssrc: number;
  /** Packets and payload bytes that have arrived, duplicates included. */
  packets = 0;
  octets = 0;
  /** Interarrival jitter in timestamp units. */
  jitter = 0;
  /** Time of the latest packet. */
  lastArrival = 0;
  /** Share of the packets lost in the interval that the last report block closed, null before the first. */
  lossInInterval: number | null = null;
  readonly #clockRate: number;
  #started = false;
  #base = 0;
  #maxSequence = 0;
  #cycles = 0;
  /** The sequence number that would confirm a restart; out of range when none is suspected. */
  #restartAt = SEQUENCES;
  #received = 0;
  #expectedPrior = 0;
  #receivedPrior = 0;
  #lastTimestamp = Number.NaN;
  #lastSr = 0;
  #lastSrArrival = 0;

  constructor(ssrc: number, clockRate: number) {
    this.ssrc = ssrc;
    this.#clockRate = clockRate;
  }

  /** One authentic packet. Returns its extended sequence number, or -1 while it may be a restart or a straggler. */
  handlePacket(sequence: number, timestamp: number, octets: number, now: number): number {
    this.packets++;
    this.octets += octets;
    this.#updateJitter(timestamp, now);
    return this.#updateSequence(sequence);
  }

  handleSenderReport(ntpSeconds: number, ntpFraction: number, now: number): void {
    this.#lastSr = compactNtp(ntpSeconds, ntpFraction);
    this.#lastSrArrival = now;
  }

  /** Highest sequence number, extended by the count of its cycles. */
  get highestSequence(): number {
    return this.#cycles + this.#maxSequence;
  }

  /** Expected less received. Negative when duplicates outnumber losses. */
  get cumulativeLost(): number {
    return this.#expected - this.#received;
  }

  /** Whether anything has arrived since the last report block. */
  get active(): boolean {
    return this.#received !== this.#receivedPrior;
  }

  /** Closes the reporting interval. */
  takeReportBlock(now: number): ReportBlock {
    const expected = this.#expected;
    const expectedInInterval = expected - this.#expectedPrior;
    const lostInInterval = expectedInInterval - (this.#received - this.#receivedPrior);
    this.#expectedPrior = expected;
    this.#receivedPrior = this.#received;
    const loss = expectedInInterval <= 0 || lostInInterval <= 0 ? 0 : lostInInterval / expectedInInterval;
    this.lossInInterval = loss;
    return {
      ssrc: this.ssrc,
      fractionLost: Math.min(255, Math.floor(loss * 256)),
      cumulativeLost: Math.max(-0x80_0000, Math.min(0x7f_ffff, this.cumulativeLost)),
      highestSequence: this.highestSequence >>> 0,
      jitter: Math.floor(this.jitter) >>> 0,
      lastSr: this.#lastSr,
      delaySinceLastSr: this.#lastSr === 0 ? 0 : msToCompact(now - this.#lastSrArrival),
    };
  }

  get #expected(): number {
    return this.#started ? this.highestSequence - this.#base + 1 : 0;
  }

  #updateSequence(sequence: number): number {
    const ahead = (sequence - this.#maxSequence) & 0xffff;
    if (!this.#started || sequence === this.#restartAt) {
      this.#restart(sequence);
    } else if (ahead < MAX_DROPOUT) {
      if (sequence < this.#maxSequence) this.#cycles += SEQUENCES;
      this.#maxSequence = sequence;
      this.#restartAt = SEQUENCES;
    } else if (ahead <= SEQUENCES - MAX_MISORDER) {
      this.#restartAt = (sequence + 1) & 0xffff;
      return -1;
    }
    this.#received++;
    return sequence > this.#maxSequence ? this.#cycles - SEQUENCES + sequence : this.#cycles + sequence;
  }

  #restart(sequence: number): void {
    this.#started = true;
    this.#base = sequence;
    this.#maxSequence = sequence;
    this.#cycles = 0;
    this.#restartAt = SEQUENCES;
    this.#received = 0;
    this.#receivedPrior = 0;
    this.#expectedPrior = 0;
  }

  /** A.8, with the transit times' difference taken directly, so that neither clock's size nor wrap matters. */
  #updateJitter(timestamp: number, now: number): void {
    if (this.#started) {
      const arrivalDifference = ((now - this.lastArrival) * this.#clockRate) / 1000;
      const difference = Math.abs(arrivalDifference - ((timestamp - this.#lastTimestamp) | 0));
      this.jitter += (difference - this.jitter) / 16;
    }
    this.lastArrival = now;
    this.#lastTimestamp = timestamp;
  }
}
