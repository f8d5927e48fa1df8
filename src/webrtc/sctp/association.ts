import { readUint16, readUint32 } from '../../wire/integers.ts';
import type { SctpCloseReason, SctpCounters, SctpDropReason, SctpDump, SctpOptions, SctpOutput, SctpSendOptions, SctpState } from './association-types.ts';
import { DATA_OVERHEAD_BYTES, DataPath } from './data-path.ts';
import { Fifo } from './fifo.ts';
import { Handshake, isProofOfLife } from './handshake.ts';
import type { InitParameters } from './init.ts';
import { isStream, OutboundQueue, requireSendable } from './outbound-queue.ts';
import { Outbox } from './outbox.ts';
import {
  CHUNK_HEADER_BYTES,
  ChunkType,
  COMMON_HEADER_BYTES,
  encodeChunk,
  FLAG_TAG_REFLECTED,
  PacketReader,
} from './packet.ts';
import { CauseCode, encodeParameter } from './parameters.ts';
import { DEFAULT_MAX_RECEIVE_MESSAGE_SIZE, DEFAULT_MTU, DEFAULT_RECEIVE_WINDOW, RTO_INITIAL_AGREED, STREAMS } from './protocol-parameters.ts';
import { RetransmissionTimeout } from './rto.ts';
import { answerOutOfTheBlue, Shutdown } from './shutdown.ts';
import type { StateCookie } from './state-cookie.ts';

/**
 * An SCTP association over DTLS (RFC 9260, RFC 8261): its states, its birth and its end. What happens while it lives
 * is the data path's.
 *
 *                            CLOSED ◄────────────────────────── ABORT, or a timer has run out too often
 *        connect: INIT ──────┘    └──── COOKIE ECHO: COOKIE ACK (an INIT is answered from any state,
 *               ▼                              │                 it leaves no trace but the cookie)
 *          COOKIE-WAIT ───── COOKIE ECHO ────► │
 *   INIT ACK: COOKIE ECHO                      │
 *               ▼                              ▼
 *         COOKIE-ECHOED ── COOKIE ACK ──► ESTABLISHED
 *                                              │
 *            shutdown()   ┌────────────────────┴───────────────────┐  SHUTDOWN
 *                         ▼                                        ▼
 *                 SHUTDOWN-PENDING                          SHUTDOWN-RECEIVED
 *       all acknowledged: SHUTDOWN                      all acknowledged: SHUTDOWN ACK
 *                         ▼                                        ▼
 *                   SHUTDOWN-SENT ─── SHUTDOWN: SHUTDOWN ACK ─► SHUTDOWN-ACK-SENT
 *       SHUTDOWN ACK: SHUTDOWN COMPLETE                   SHUTDOWN COMPLETE, SHUTDOWN ACK
 *                         └──────────────► CLOSED ◄────────────────┘
 *
 * With `agreed` (SNAP, draft-hancke-tsvwg-snap) it begins in ESTABLISHED: no INIT, no cookie, no T1. A peer that sends an
 * INIT all the same, before anything else under our tag, has not taken it for agreed: it is set up with as if both had
 * sent an INIT (section 5.2.1), and what left meanwhile is sent again. After that an INIT is a restart like any other.
 *
 * Deviations. There is one path and no address parameters (RFC 8261, section 6.1). DATA or SACK under our tag moves
 * COOKIE-ECHOED to ESTABLISHED like a COOKIE ACK: it proves that the peer has taken the cookie, and a lost COOKIE ACK
 * then costs nothing. A COOKIE ACK is repeated, three times at most, until the peer sends its own, or data: one that waits
 * for it has a timer of a second. A malformed INIT ACK is dropped rather than answered by ABORT; T1-init asks again.
 */
export class SctpAssociation {
  readonly counters: SctpCounters = {
    packetsSent: 0,
    packetsReceived: 0,
    messagesSent: 0,
    messagesReceived: 0,
    dropped: {},
  };
  readonly #options: SctpOptions;
  /** User data that one packet carries at most, bytes. */
  readonly #pmdcs: number;
  readonly #reader = new PacketReader();
  readonly #outbox: Outbox;
  readonly #handshake: Handshake;
  readonly #shutdown: Shutdown;
  readonly #events = new Fifo<SctpOutput>();
  readonly #timeout = { type: 'timeout' as const, at: Infinity };
  readonly #transmit: { type: 'transmit'; data: Uint8Array } = { type: 'transmit', data: new Uint8Array(0) };
  #rto: RetransmissionTimeout;
  #outbound: OutboundQueue;
  #state: SctpState = 'closed';
  #path: DataPath | null = null;
  #peerTag = 0;
  /** Born established, and nothing under our tag has come yet. */
  #isUnconfirmed = false;
  #peerInboundStreams = STREAMS;
  #shutdownWanted = false;
  #closeReason: SctpCloseReason | null = null;
  #closeReported = false;
  #now: number;

  constructor(options: SctpOptions) {
    this.#options = options;
    this.#now = options.now;
    this.#rto = new RetransmissionTimeout(options.agreed && RTO_INITIAL_AGREED, options.roundTripTime ?? null);
    const mtu = (options.mtu ?? DEFAULT_MTU) & ~3;
    this.#pmdcs = mtu - COMMON_HEADER_BYTES - DATA_OVERHEAD_BYTES;
    this.#outbox = new Outbox(options.localPort, options.remotePort, mtu);
    this.#handshake = new Handshake(options.random, options.receiveWindow ?? DEFAULT_RECEIVE_WINDOW, this.#outbox, options.agreed?.local ?? null);
    this.#shutdown = new Shutdown(this.#outbox);
    this.#outbound = this.#newOutbound();
    if (options.agreed === undefined) return;
    this.#openPath(options.agreed.peer);
    this.#establish(options.now);
    this.#isUnconfirmed = true;
  }

  get state(): SctpState {
    return this.#state;
  }

  /** Streams that can be sent on. */
  get outboundStreams(): number {
    return this.#peerInboundStreams;
  }

  /** Begins the set-up. Both sides may; does nothing when it has begun already. */
  connect(now: number): void {
    this.#now = now;
    if (this.#state !== 'closed' || this.#closeReason !== null) return;
    this.#state = 'cookie-wait';
    this.#handshake.sendInit(this.#rto.promptValue, now);
  }

  /** Takes one SCTP packet: the payload of one DTLS record. */
  handlePacket(data: Uint8Array, now: number): void {
    this.#now = now;
    this.counters.packetsReceived += 1;
    const packet = this.#reader;
    const fault = packet.open(data);
    if (fault !== null) return this.#drop(fault);
    const { localPort, remotePort } = this.#options;
    if (packet.sourcePort !== remotePort || packet.destinationPort !== localPort) return this.#drop('wrong-port');
    if (this.#closeReason !== null) {
      this.#drop('out-of-the-blue');
      return answerOutOfTheBlue(packet, this.#outbox);
    }
    if (!this.#isTagRight()) return this.#drop('wrong-tag');
    packet.rewind();
    let goOn = true;
    while (goOn && this.#closeReason === null && packet.next()) goOn = this.#handleChunk(now);
    if (packet.malformed) this.#drop('malformed-chunk');
    this.#path?.received.packetEnd(now);
  }

  /** Brings the next retransmission forward to `at`: something else has heard of the peer, and may have measured the path (ms). */
  hurry(roundTripTime: number | null, at: number): void {
    if (roundTripTime !== null && this.#rto.smoothedRoundTrip === null) this.#rto.sample(roundTripTime);
    this.#handshake.timer.hurry(at);
    if (!this.#isSettingUp) this.#path!.retransmissions.t3.hurry(at);
  }

  handleTimeout(now: number): void {
    this.#now = now;
    const { isHurried } = this.#handshake.timer;
    if (this.#handshake.timer.expire(now)) this.#setupTimedOut(isHurried, now);
    if (this.#shutdown.timer.expire(now)) this.#shutdownTimedOut(now);
    if (this.#isSettingUp) return;
    this.#path!.handleTimeout(now);
    if (this.#path!.isPeerDead) this.#end('peer-unreachable');
  }

  /**
   * Queues a message; it may be called before the association is established. The data is copied.
   * @throws {RangeError} when the stream does not exist or the data is empty or larger than the peer takes.
   * @throws {TypeError} when the association is ending, the stream is being reset or both limits are given.
   */
  send(streamId: number, ppid: number, data: Uint8Array, options: SctpSendOptions, now: number): void {
    this.#now = now;
    requireSendable(streamId, data, options, { streams: this.#peerInboundStreams, maxMessageSize: this.#options.maxMessageSize });
    if (!this.#acceptsMessages) throw new TypeError('the association is closed or shutting down');
    if (this.#path?.reconfig.isResetting(streamId)) throw new TypeError(`stream ${streamId} is being reset`);
    this.#outbound.enqueue({
      streamId,
      ppid,
      data: data.slice(),
      ordered: options.ordered,
      maxRetransmits: options.maxRetransmits ?? Infinity,
      expiresAt: now + (options.maxLifetime ?? Infinity),
      ssn: 0,
    });
    this.counters.messagesSent += 1;
    this.#newEvent();
  }

  /**
   * Resets an outgoing stream once all that waits on it has been sent; `stream-reset` tells the result. Does nothing
   * when the association has ended.
   * @throws {RangeError} when the stream does not exist.
   * @throws {TypeError} when the association is not established yet.
   */
  resetStream(streamId: number, now: number): void {
    this.#now = now;
    if (!isStream(streamId, STREAMS)) throw new RangeError(`there is no stream ${streamId}`);
    if (this.#closeReason !== null) return;
    if (this.#path === null) throw new TypeError('the association is not established yet');
    this.#path.reconfig.reset(streamId);
  }

  /** Ends the association gracefully, once all queued messages have been delivered. */
  shutdown(now: number): void {
    this.#now = now;
    this.#shutdownWanted = true;
    if (this.#state === 'closed') this.#end('local-shutdown');
    else if (this.#state === 'established') this.#state = 'shutdown-pending';
  }

  /** Ends the association at once. `reason` is for the peer's log. */
  abort(reason: string, now: number): void {
    this.#now = now;
    if (this.#closeReason !== null) return;
    const text = new TextEncoder().encode(reason).subarray(0, 256);
    this.#abort(encodeParameter(CauseCode.userInitiatedAbort, text), 'local-abort');
  }

  /** User data on a stream that waits for its first transmission, bytes. */
  bufferedAmount(streamId: number): number {
    return this.#outbound.bufferedAmount(streamId);
  }

  poll(): SctpOutput {
    let event = this.#events.shift();
    if (event !== undefined) return event;
    const packet = this.#nextPacket() ?? this.#nextPacketAfterDrain();
    if (packet !== null) {
      this.counters.packetsSent += 1;
      this.#transmit.data = packet;
      return this.#transmit;
    }
    event = this.#events.shift();
    if (event !== undefined) return event;
    if (this.#closeReason !== null && !this.#closeReported) {
      this.#closeReported = true;
      return { type: 'closed', reason: this.#closeReason };
    }
    const path = this.#isSettingUp ? Infinity : this.#path!.nextTimeout;
    this.#timeout.at = Math.min(this.#handshake.timer.at, this.#shutdown.timer.at, path);
    return this.#timeout;
  }

  dump(): SctpDump {
    return {
      state: this.#state,
      closeReason: this.#closeReason,
      counters: { ...this.counters, dropped: { ...this.counters.dropped } },
      bufferedBytes: this.#outbound.bufferedBytes,
      expiredMessages: this.#outbound.expired,
      rto: this.#rto.value,
      roundTrip: this.#rto.smoothedRoundTrip,
      path: this.#path?.dump() ?? null,
    };
  }

  /** Closed, or not yet established: nothing but the handshake goes in and out. */
  get #isSettingUp(): boolean {
    return this.#state === 'closed' || this.#state === 'cookie-wait' || this.#state === 'cookie-echoed';
  }

  get #acceptsMessages(): boolean {
    if (this.#closeReason !== null || this.#shutdownWanted) return false;
    return this.#state !== 'shutdown-received' && this.#state !== 'shutdown-ack-sent';
  }

  // ---- packets out

  #nextPacket(): Uint8Array | null {
    const alone = this.#outbox.nextAlone();
    const path = this.#path;
    if (alone !== null || path === null) return alone;
    // Until COOKIE ACK nothing may follow COOKIE ECHO, but it may carry data (section 5.1, C).
    const cookieEcho = this.#handshake.takeCookieEcho();
    if (this.#isSettingUp && cookieEcho === null) return null;
    return this.#outbox.nextBundle(this.#peerTag, cookieEcho, (packet) => path.fill(packet, this.#maySendData, this.#now));
  }

  /** Queues have run dry: what waited for that may follow now. */
  #nextPacketAfterDrain(): Uint8Array | null {
    if (this.#isSettingUp) return null;
    const path = this.#path!;
    path.advanceReconfig(this.#now);
    this.#advanceShutdown(path, this.#now);
    return this.#outbox.hasBundled ? this.#nextPacket() : null;
  }

  get #maySendData(): boolean {
    return (
      this.#state === 'established' ||
      this.#state === 'cookie-echoed' ||
      this.#state === 'shutdown-pending' ||
      this.#state === 'shutdown-received'
    );
  }

  #newEvent(): void {
    const queue = this.#path?.retransmissions;
    queue?.congestion.newEvent(queue.outstandingBytes);
  }

  // ---- packets in

  #isTagRight(): boolean {
    const packet = this.#reader;
    if (!packet.next()) return true;
    const reflects = packet.type === ChunkType.abort || packet.type === ChunkType.shutdownComplete;
    if (reflects && (packet.flags & FLAG_TAG_REFLECTED) !== 0) return this.#path !== null && packet.tag === this.#peerTag;
    if (packet.type === ChunkType.init) return packet.tag === 0 && packet.isLast;
    // The cookie itself says which tag is right.
    if (packet.type === ChunkType.cookieEcho) return true;
    return packet.tag === this.#handshake.local.tag;
  }

  /** Handles the chunk that the reader stands on. False when the rest of the packet must not be read. */
  #handleChunk(now: number): boolean {
    const packet = this.#reader;
    const isFirst = packet.start === COMMON_HEADER_BYTES + CHUNK_HEADER_BYTES;
    switch (packet.type) {
      case ChunkType.init:
        if (!isFirst) return this.#unexpected();
        this.#handleInit(now);
        return false;
      case ChunkType.initAck:
        if (!isFirst || this.#state !== 'cookie-wait') return this.#unexpected();
        this.#handleInitAck(now);
        return false;
      case ChunkType.cookieEcho:
        return isFirst ? this.#handleCookieEcho(now) : this.#unexpected();
      case ChunkType.abort:
        this.#end('peer-abort');
        return false;
      default:
    }
    if (this.#state === 'cookie-echoed' && isProofOfLife(packet.type)) this.#establish(now);
    if (packet.type === ChunkType.error) return this.#handleError(now);
    return this.#isSettingUp ? this.#unexpected() : this.#handleEstablished(this.#path!, now);
  }

  #handleEstablished(path: DataPath, now: number): boolean {
    this.#isUnconfirmed = false;
    const packet = this.#reader;
    // A SACK does not say that the peer has our COOKIE ACK: dcSCTP takes and acknowledges data before.
    if (packet.type === ChunkType.cookieAck || packet.type === ChunkType.data) this.#handshake.timer.stop();
    switch (packet.type) {
      case ChunkType.cookieAck:
        return true;
      case ChunkType.shutdown:
        this.#handleShutdown(path, now);
        return true;
      case ChunkType.shutdownAck:
        return this.#handleShutdownAck();
      case ChunkType.shutdownComplete:
        if (this.#state !== 'shutdown-ack-sent') return this.#unexpected();
        this.#end(this.#endOfShutdown);
        return false;
      case ChunkType.data:
        if (this.#state === 'shutdown-received' || this.#state === 'shutdown-ack-sent') return this.#unexpected();
        break;
      default:
    }
    const goOn = path.handleChunk(packet, now);
    // Data that crosses SHUTDOWN is acknowledged by another one (section 9.2).
    if (packet.type === ChunkType.data && this.#state === 'shutdown-sent') this.#sendShutdown(path, now);
    return goOn;
  }

  #unexpected(): true {
    this.#drop('unexpected-chunk');
    return true;
  }

  #handleError(now: number): boolean {
    const { bytes, start, end } = this.#reader;
    const isStaleCookie = end - start >= 4 && readUint16(bytes, start) === CauseCode.staleCookie;
    if (isStaleCookie && this.#state === 'cookie-echoed') {
      // The set-up begins anew (section 5.2.6); what has been sent with the cookie is sent again with the next one.
      this.#state = 'cookie-wait';
      this.#handshake.sendInit(this.#rto.promptValue, now);
    }
    return true;
  }

  // ---- birth

  #newOutbound(): OutboundQueue {
    return new OutboundQueue(this.#pmdcs, this.#options.bufferedLowThreshold ?? 0, (streamId) =>
      this.#events.push({ type: 'buffered-low', streamId }),
    );
  }

  #handleInit(now: number): void {
    if (this.#state === 'shutdown-ack-sent') return this.#shutdown.sendAck(this.#rto.value, now);
    const alive = this.#isSettingUp || this.#isUnconfirmed ? null : { local: this.#handshake.local.tag, peer: this.#peerTag };
    if (!this.#handshake.answerInit(this.#reader, alive, now)) this.#drop('malformed-chunk');
  }

  #handleInitAck(now: number): void {
    const peer = this.#handshake.handleInitAck(this.#reader, this.#rto, now);
    if (peer === null) return this.#drop('malformed-chunk');
    this.#openPath(peer).retransmissions.loseAll(now);
    this.#state = 'cookie-echoed';
  }

  /** False when the rest of the packet must not be read. */
  #handleCookieEcho(now: number): boolean {
    const verdict = this.#handshake.judge(this.#reader, this.#path === null ? null : this.#peerTag, now);
    if (verdict.type === 'restart') return this.#restart(verdict.cookie, now);
    if (verdict.type === 'established') {
      if (verdict.isNewPeer || this.#isUnconfirmed) this.#openPath(verdict.cookie.peer);
      if (this.#isUnconfirmed) this.#beginAnew(now);
      this.#establish(now);
      this.#handshake.acknowledgeCookie(this.#rto, now);
      return true;
    }
    this.#drop(verdict.type === 'stale' ? 'stale-cookie' : 'invalid-cookie');
    return false;
  }

  /** What has been sent went to a peer that had no association yet. */
  #beginAnew(now: number): void {
    this.#isUnconfirmed = false;
    this.#path!.retransmissions.loseAll(now);
    this.#path!.start(now);
    this.#newEvent();
  }

  #restart(cookie: StateCookie, now: number): boolean {
    if (this.#state === 'shutdown-ack-sent') {
      const cause = encodeParameter(CauseCode.cookieWhileShuttingDown, new Uint8Array(0));
      this.#shutdown.sendAck(this.#rto.value, now);
      this.#outbox.bundle(encodeChunk(ChunkType.error, 0, cause));
      return false;
    }
    this.#handshake.adopt(cookie);
    this.#rto = new RetransmissionTimeout();
    this.#outbound = this.#newOutbound();
    this.#outbox.clearBundled();
    this.#shutdown.timer.stop();
    this.#path = null;
    this.#openPath(cookie.peer).start(now);
    this.#events.push({ type: 'restarted' });
    this.#state = this.#shutdownWanted ? 'shutdown-pending' : 'established';
    this.#outbox.bundle(encodeChunk(ChunkType.cookieAck, 0));
    return true;
  }

  #openPath(peer: InitParameters): DataPath {
    this.#peerTag = peer.tag;
    this.#peerInboundStreams = Math.min(STREAMS, peer.inboundStreams);
    const path = new DataPath({
      local: this.#handshake.local,
      peer,
      pmdcs: this.#pmdcs,
      maxReceiveMessageSize: this.#options.maxReceiveMessageSize ?? DEFAULT_MAX_RECEIVE_MESSAGE_SIZE,
      random: this.#options.random,
      rto: this.#rto,
      outbound: this.#outbound,
      retransmissions: this.#path?.retransmissions ?? null,
      events: {
        message: (streamId, ppid, data) => {
          this.counters.messagesReceived += 1;
          this.#events.push({ type: 'message', streamId, ppid, data });
        },
        outgoingReset: (streamId, performed) => {
          if (performed) this.#outbound.resetStream(streamId);
          this.#events.push({ type: 'stream-reset', streamId, direction: 'outgoing', performed });
        },
        incomingReset: (streamIds) => {
          for (const streamId of path.resetIncoming(streamIds)) {
            this.#events.push({ type: 'stream-reset', streamId, direction: 'incoming', performed: true });
          }
        },
        send: (chunk) => this.#outbox.bundle(chunk),
        drop: (reason) => this.#drop(reason),
        violation: (cause) => this.#abort(cause, 'protocol-violation'),
      },
    });
    this.#path = path;
    return path;
  }

  /** Leaves the set-up states; anywhere else it does nothing. */
  #establish(now: number): void {
    if (!this.#isSettingUp) return;
    this.#state = this.#shutdownWanted ? 'shutdown-pending' : 'established';
    this.#handshake.finish();
    this.#path!.start(now);
    this.#newEvent();
    this.#events.push({ type: 'established' });
  }

  #setupTimedOut(isHurried: boolean, now: number): void {
    if (!this.#isSettingUp) return this.#handshake.acknowledgeCookie(this.#rto, now);
    if (this.#handshake.hasFailed) return this.#end('setup-timeout');
    // What was brought forward says nothing of the path.
    if (!isHurried) this.#rto.backOff();
    if (this.#state === 'cookie-wait') return this.#handshake.sendInit(this.#rto.promptValue, now);
    this.#path!.retransmissions.loseAll(now);
    this.#newEvent();
    this.#handshake.makeCookieEchoDue(this.#rto.promptValue, now);
  }

  // ---- end

  #advanceShutdown(path: DataPath, now: number): void {
    if (!path.isDrained) return;
    if (this.#state === 'shutdown-pending') {
      this.#state = 'shutdown-sent';
      this.#sendShutdown(path, now);
    } else if (this.#state === 'shutdown-received') {
      this.#state = 'shutdown-ack-sent';
      this.#shutdown.sendAck(this.#rto.value, now);
    }
  }

  #sendShutdown(path: DataPath, now: number): void {
    this.#shutdown.sendShutdown(path.received.cumulativeTsn, this.#rto.value, now);
  }

  #shutdownTimedOut(now: number): void {
    if (this.#shutdown.hasFailed) return this.#end('peer-unreachable');
    this.#rto.backOff();
    if (this.#state === 'shutdown-sent') this.#sendShutdown(this.#path!, now);
    else this.#shutdown.sendAck(this.#rto.value, now);
  }

  #handleShutdown(path: DataPath, now: number): void {
    const { bytes, start, end } = this.#reader;
    if (end - start < 4) return this.#drop('malformed-chunk');
    path.handleCumulativeAck(readUint32(bytes, start), now);
    if (this.#state === 'established' || this.#state === 'shutdown-pending') this.#state = 'shutdown-received';
    else if (this.#state === 'shutdown-sent') {
      // Both sides have said it (section 9.2).
      this.#state = 'shutdown-ack-sent';
      this.#shutdown.sendAck(this.#rto.value, now);
    }
  }

  #handleShutdownAck(): boolean {
    if (this.#state !== 'shutdown-sent' && this.#state !== 'shutdown-ack-sent') return this.#unexpected();
    this.#shutdown.sendComplete(this.#peerTag);
    this.#end(this.#endOfShutdown);
    return false;
  }

  get #endOfShutdown(): SctpCloseReason {
    return this.#shutdownWanted ? 'local-shutdown' : 'peer-shutdown';
  }

  #abort(cause: Uint8Array, reason: SctpCloseReason): void {
    if (this.#path !== null) this.#outbox.sendAlone(this.#peerTag, encodeChunk(ChunkType.abort, 0, cause));
    this.#end(reason);
  }

  #end(reason: SctpCloseReason): void {
    if (this.#closeReason !== null) return;
    this.#closeReason = reason;
    this.#state = 'closed';
    this.#path = null;
    this.#outbox.clearBundled();
    this.#outbound = this.#newOutbound();
    this.#handshake.finish();
    this.#shutdown.timer.stop();
  }

  #drop(reason: SctpDropReason): void {
    this.counters.dropped[reason] = (this.counters.dropped[reason] ?? 0) + 1;
  }
}
