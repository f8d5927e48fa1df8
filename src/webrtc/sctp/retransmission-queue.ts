import { readUint16 } from '../../wire/integers.ts';
import { CongestionControl } from './congestion-control.ts';
import { Fifo } from './fifo.ts';
import type { Fragment, OutboundMessage, OutboundQueue } from './outbound-queue.ts';
import { FAST_RETRANSMIT_MISSES } from './protocol-parameters.ts';
import type { RetransmissionTimeout } from './rto.ts';
import { ssnDistance, tsnAdd, tsnDistance } from './serial.ts';
import { Timer } from './timer.ts';

/**
 * DATA chunks from their first transmission until they are acknowledged: SACK processing (RFC 9260, section 6.2.1),
 * the T3-rtx timer (6.3), fast retransmit (7.2.4), and giving messages up (RFC 3758, section 3.5).
 *
 * Deviations, all because a real-time peer cannot wait for long timers. What is sent before anything has been acknowledged
 * asks for that at once, and is sent again, all of it, when no answer can still be under way. A chunk may be fast retransmitted again when
 * data first sent after its last transmission has been acknowledged three times (the RFC allows it once). And news from
 * the peer ends the back-off of T3-rtx (the RFC waits for the next round trip that can be measured).
 *
 *   in flight ──cumulative ack──► gone
 *     │  ▲ ╲──gap ack──► acked ──(peer reneges)──► in flight
 *     │  │ sent again
 *     ▼  │
 *   lost ┴── limit reached ──► abandoned ──FORWARD TSN acknowledged──► gone
 */

export interface OutboundChunk {
  readonly fragment: Fragment;
  readonly tsn: number;
  state: 'in-flight' | 'acked' | 'lost' | 'abandoned';
  transmissions: number;
  misses: number;
  /** Only what was first sent after this TSN, and thus after the chunk itself, can report it missing. */
  missingSince: number;
}

export type SackVerdict = 'advanced' | 'unchanged' | 'old' | 'invalid';

/** What FORWARD TSN says (RFC 3758, section 3.2). */
export interface ForwardTsn {
  readonly newCumulativeTsn: number;
  /** Last skipped stream sequence number by ordered stream. */
  readonly streams: ReadonlyMap<number, number>;
}

export class RetransmissionQueue {
  readonly t3 = new Timer();
  readonly congestion: CongestionControl;
  readonly #outbound: OutboundQueue;
  readonly #rto: RetransmissionTimeout;
  readonly #mayAbandon: boolean;
  /** Consecutive TSNs; the first is `#cumulativeTsn + 1`. */
  readonly #chunks = new Fifo<OutboundChunk>();
  #cumulativeTsn: number;
  #nextTsn: number;
  #outstandingBytes = 0;
  #lostChunks = 0;
  #gapAcked = 0;
  #peerWindow = 0;
  /** Fast recovery lasts until this TSN is acknowledged. */
  #recoveryExit: number | null = null;
  /** One packet of a fast retransmission leaves whatever the congestion window says. */
  #fastRetransmitDue = false;
  #forwardTsnDue = false;
  #timedTsn: number | null = null;
  #timedAt = 0;
  #sackSinceTimeout = false;
  #abandonedMessages = 0;
  /** What was sent before anything was acknowledged goes up to here; null while nothing is. */
  #firstEnd: number | null = null;
  #launchedAt = 0;
  #retransmissions = 0;
  #fastRetransmissions = 0;

  constructor(options: {
    initialTsn: number;
    mayAbandon: boolean;
    /** User data that one packet carries at most, bytes. */
    pmdcs: number;
    outbound: OutboundQueue;
    rto: RetransmissionTimeout;
  }) {
    this.congestion = new CongestionControl(options.pmdcs);
    this.#outbound = options.outbound;
    this.#rto = options.rto;
    this.#mayAbandon = options.mayAbandon;
    this.#nextTsn = options.initialTsn;
    this.#cumulativeTsn = tsnAdd(options.initialTsn, -1);
  }

  /** The next TSN to be given. */
  get nextTsn(): number {
    return this.#nextTsn;
  }

  /** User data in flight, bytes. */
  get outstandingBytes(): number {
    return this.#outstandingBytes;
  }

  /** Nothing waits for an acknowledgement. */
  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  /** What the peer can take beyond what is in flight, bytes. */
  get peerWindow(): number {
    return this.#peerWindow;
  }

  set peerWindow(advertised: number) {
    this.#peerWindow = Math.max(0, advertised - this.#outstandingBytes);
  }

  /** Not all has been acknowledged of what was sent before anything was. */
  get isFirst(): boolean {
    return this.#firstEnd === null || tsnDistance(this.#firstEnd, this.#cumulativeTsn) < 0;
  }

  get abandonedMessages(): number {
    return this.#abandonedMessages;
  }

  get retransmissions(): number {
    return this.#retransmissions;
  }

  get fastRetransmissions(): number {
    return this.#fastRetransmissions;
  }

  /** True when a lost chunk may leave now. */
  get mayRetransmit(): boolean {
    return this.#lostChunks > 0 && (this.#fastRetransmitDue || this.congestion.maySend(this.#outstandingBytes));
  }

  /** True when new data may leave now. Into a closed window goes one chunk at a time (zero window probe). */
  get maySendNew(): boolean {
    if (this.#lostChunks > 0) return false;
    return this.#outstandingBytes === 0 || (this.#peerWindow > 0 && this.congestion.maySend(this.#outstandingBytes));
  }

  /** No more may be in flight. */
  get isWindowFull(): boolean {
    return this.#outstandingBytes >= this.congestion.window;
  }

  /** Gives a new fragment its TSN and puts it in flight. */
  add(fragment: Fragment, now: number): OutboundChunk {
    const chunk: OutboundChunk = {
      fragment,
      tsn: this.#nextTsn,
      state: 'in-flight',
      transmissions: 0,
      misses: 0,
      missingSince: this.#nextTsn,
    };
    this.#nextTsn = tsnAdd(this.#nextTsn, 1);
    this.#chunks.push(chunk);
    this.#launch(chunk, now);
    if (this.#timedTsn === null) {
      this.#timedTsn = chunk.tsn;
      this.#timedAt = now;
    }
    return chunk;
  }

  /** The earliest lost chunk of at most `room` bytes of data, in flight again; null when none fits. */
  nextLost(room: number, now: number): OutboundChunk | null {
    for (let i = 0; this.#lostChunks > 0 && i < this.#chunks.length; i++) {
      const chunk = this.#chunks.at(i)!;
      if (chunk.state !== 'lost') continue;
      if (chunk.fragment.data.length > room) return null;
      this.#lostChunks -= 1;
      chunk.state = 'in-flight';
      chunk.missingSince = tsnAdd(this.#nextTsn, -1);
      this.#retransmissions += 1;
      if (this.#timedTsn === chunk.tsn) this.#timedTsn = null;
      this.#launch(chunk, now);
      return chunk;
    }
    return null;
  }

  /** A packet with retransmissions is complete: the allowance of fast retransmit is used up. */
  packetSent(): void {
    this.#fastRetransmitDue = false;
  }

  /**
   * Takes an acknowledgement: cumulative TSN, advertised window and, between two offsets of `bytes`, `gapCount` gap
   * blocks. SHUTDOWN acknowledges too, with no gaps and no window (null).
   */
  acknowledge(
    cumulativeTsn: number,
    window: number | null,
    bytes: Uint8Array,
    gapsAt: number,
    gapCount: number,
    now: number,
  ): SackVerdict {
    const steps = tsnDistance(this.#cumulativeTsn, cumulativeTsn);
    if (steps < 0) return 'old';
    if (steps > this.#chunks.length) return 'invalid';
    this.#sackSinceTimeout = true;
    const outstandingBefore = this.#outstandingBytes;
    let ackedBytes = 0;
    if (steps > 0) this.#firstEnd ??= tsnAdd(this.#nextTsn, -1);
    for (let i = 0; i < steps; i++) ackedBytes += this.#leave(this.#chunks.shift()!, now);
    this.#cumulativeTsn = cumulativeTsn;
    const inRecovery = this.#recoveryExit !== null;
    if (this.#recoveryExit !== null && tsnDistance(this.#recoveryExit, cumulativeTsn) >= 0) this.#recoveryExit = null;
    if (window !== null && (gapCount > 0 || this.#gapAcked > 0)) {
      ackedBytes += this.#takeGaps(bytes, gapsAt, gapCount, steps > 0 && inRecovery, now);
    }
    if (steps > 0 && ackedBytes > 0 && !inRecovery) this.congestion.acknowledged(ackedBytes, outstandingBefore);
    if (this.#outstandingBytes === 0) this.congestion.allAcknowledged();
    if (window !== null) this.peerWindow = window;
    this.#lookForward();
    if (steps > 0 || ackedBytes > 0) this.#rto.endBackOff();
    if (this.isFirst && this.t3.isRunning && !this.isEmpty) this.t3.start(Math.max(now, this.#launchedAt + this.#timeout));
    else if (steps > 0 || this.isEmpty) this.restartTimer(now);
    else if (!this.t3.isRunning) this.t3.start(now + this.#timeout);
    return steps > 0 || ackedBytes > 0 ? 'advanced' : 'unchanged';
  }

  /**
   * T3-rtx ran out (section 6.3.3), or was brought forward, which says nothing of the path. True when it counts against the
   * peer, false for a probe of a closed window.
   */
  timedOut(now: number, isHurried = false): boolean {
    const probing = this.#peerWindow === 0 && this.#sackSinceTimeout;
    this.#sackSinceTimeout = false;
    if (!isHurried) this.#rto.backOff();
    if (!this.isFirst) this.congestion.timedOut();
    this.#recoveryExit = null;
    this.loseAll(now);
    if (!this.isEmpty) this.t3.start(now + this.#timeout);
    return !probing;
  }

  /** Starts T3-rtx anew if anything waits for an acknowledgement. */
  restartTimer(now: number): void {
    this.t3.stop();
    if (!this.isEmpty) this.t3.start(now + this.#timeout);
  }

  /** All that is in flight is to be sent again. */
  loseAll(now: number): void {
    for (let i = 0; i < this.#chunks.length; i++) {
      const chunk = this.#chunks.at(i)!;
      if (chunk.state === 'in-flight') this.#lose(chunk, i, now);
      chunk.misses = 0;
    }
    this.#lookForward();
  }

  /** The FORWARD TSN to send now with at most `maxStreams` streams; null when none is due. */
  takeForwardTsn(maxStreams: number): ForwardTsn | null {
    if (!this.#forwardTsnDue) return null;
    this.#forwardTsnDue = false;
    const streams = new Map<number, number>();
    let skipped = 0;
    for (; skipped < this.#chunks.length; skipped++) {
      const chunk = this.#chunks.at(skipped)!;
      if (chunk.state !== 'abandoned') break;
      const { ordered, streamId, ssn } = chunk.fragment.message;
      if (!ordered) continue;
      const known = streams.get(streamId);
      if (known === undefined && streams.size === maxStreams) break;
      if (known === undefined || ssnDistance(known, ssn) > 0) streams.set(streamId, ssn);
    }
    return skipped === 0 ? null : { newCumulativeTsn: tsnAdd(this.#cumulativeTsn, skipped), streams };
  }

  get #timeout(): number {
    return this.isFirst ? this.#rto.promptValue : this.#rto.value;
  }

  #launch(chunk: OutboundChunk, now: number): void {
    const bytes = chunk.fragment.data.length;
    chunk.transmissions += 1;
    this.#launchedAt = now;
    this.#outstandingBytes += bytes;
    this.#peerWindow = Math.max(0, this.#peerWindow - bytes);
    // The earliest outstanding TSN restarts the timer (section 6.3.2, rule R1 and 7.2.4, step 4).
    if (!this.t3.isRunning || chunk === this.#chunks.at(0)) this.t3.start(now + this.#timeout);
  }

  /** A chunk is acknowledged for good; the bytes that were not acknowledged before. */
  #leave(chunk: OutboundChunk, now: number): number {
    if (chunk.state === 'acked') {
      this.#gapAcked -= 1;
      return 0;
    }
    if (chunk.state === 'abandoned') return 0;
    return this.#credit(chunk, now);
  }

  #credit(chunk: OutboundChunk, now: number): number {
    const bytes = chunk.fragment.data.length;
    if (chunk.state === 'in-flight') this.#outstandingBytes -= bytes;
    else this.#lostChunks -= 1;
    if (this.#timedTsn === chunk.tsn) {
      this.#timedTsn = null;
      if (chunk.transmissions === 1) this.#rto.sample(now - this.#timedAt);
    }
    return bytes;
  }

  /** Marks chunks by the gap blocks, and counts missing reports by the HTNA rule. Newly acknowledged bytes. */
  #takeGaps(bytes: Uint8Array, gapsAt: number, gapCount: number, countAll: boolean, now: number): number {
    let newlyAcked = 0;
    let highestNew = 0;
    let highestAcked = 0;
    let index = 0;
    for (let block = 0; block < gapCount; block++) {
      const first = readUint16(bytes, gapsAt + 4 * block);
      const last = Math.min(readUint16(bytes, gapsAt + 4 * block + 2), this.#chunks.length);
      for (; index < Math.min(first - 1, this.#chunks.length); index++) this.#renege(this.#chunks.at(index)!);
      for (; index < last; index++) {
        const chunk = this.#chunks.at(index)!;
        highestAcked = index;
        if (chunk.state === 'acked' || chunk.state === 'abandoned') continue;
        newlyAcked += this.#credit(chunk, now);
        chunk.state = 'acked';
        this.#gapAcked += 1;
        highestNew = index;
      }
    }
    for (; this.#gapAcked > 0 && index < this.#chunks.length; index++) this.#renege(this.#chunks.at(index)!);
    this.#countMisses(countAll ? highestAcked : highestNew, now);
    return newlyAcked;
  }

  #renege(chunk: OutboundChunk): void {
    if (chunk.state !== 'acked') return;
    chunk.state = 'in-flight';
    chunk.misses = 0;
    this.#gapAcked -= 1;
    this.#outstandingBytes += chunk.fragment.data.length;
  }

  #countMisses(below: number, now: number): void {
    // Early retransmit (RFC 5827): when the last of all has arrived, nothing will report for a third time.
    const isLastReport = this.#outbound.isEmpty && this.#chunks.at(this.#chunks.length - 1)?.state === 'acked';
    const needed = isLastReport ? 1 : FAST_RETRANSMIT_MISSES;
    const highestTsn = tsnAdd(this.#cumulativeTsn, 1 + below);
    for (let i = 0; i < below; i++) {
      const chunk = this.#chunks.at(i)!;
      if (chunk.state !== 'in-flight' || tsnDistance(chunk.missingSince, highestTsn) <= 0) continue;
      chunk.misses += 1;
      if (chunk.misses < needed) continue;
      chunk.misses = 0;
      this.#fastRetransmissions += 1;
      this.#lose(chunk, i, now);
      if (this.#recoveryExit !== null) continue;
      this.#recoveryExit = tsnAdd(this.#nextTsn, -1);
      this.congestion.lost();
      this.#fastRetransmitDue = true;
    }
  }

  #lose(chunk: OutboundChunk, index: number, now: number): void {
    chunk.state = 'lost';
    this.#lostChunks += 1;
    this.#outstandingBytes -= chunk.fragment.data.length;
    const { message } = chunk.fragment;
    const isSpent = chunk.transmissions > message.maxRetransmits || now >= message.expiresAt;
    if (isSpent && this.#mayAbandon) this.#abandon(message, index);
  }

  /** Gives up all of a message: what has been sent is skipped by FORWARD TSN, what has not is forgotten. */
  #abandon(message: OutboundMessage, index: number): void {
    this.#abandonedMessages += 1;
    this.#outbound.discardRest(message);
    for (let i = index; i >= 0 && this.#chunks.at(i)!.fragment.message === message; i--) this.#giveUp(this.#chunks.at(i)!);
    for (let i = index + 1; this.#chunks.at(i)?.fragment.message === message; i++) this.#giveUp(this.#chunks.at(i)!);
  }

  #giveUp(chunk: OutboundChunk): void {
    if (chunk.state === 'in-flight') this.#outstandingBytes -= chunk.fragment.data.length;
    else if (chunk.state === 'lost') this.#lostChunks -= 1;
    else if (chunk.state === 'acked') this.#gapAcked -= 1;
    if (this.#timedTsn === chunk.tsn) this.#timedTsn = null;
    chunk.state = 'abandoned';
  }

  /** FORWARD TSN is due while the chunks right behind the cumulative TSN are abandoned (RFC 3758, section 3.5, C2). */
  #lookForward(): void {
    if (this.#chunks.at(0)?.state === 'abandoned') this.#forwardTsnDue = true;
  }
}
