import { readUint16, readUint32, writeUint16, writeUint32 } from '../../wire/integers.ts';
import type { RandomSource } from '../machine.ts';
import { Heartbeat } from './heartbeat.ts';
import type { InitParameters } from './init.ts';
import type { OutboundQueue } from './outbound-queue.ts';
import { CHUNK_HEADER_BYTES, ChunkType, encodeChunk, type PacketReader, type PacketWriter } from './packet.ts';
import { CauseCode, encodeCauseU32, encodeParameter, unknownTypeAction } from './parameters.ts';
import { ASSOCIATION_MAX_RETRANSMISSIONS, STREAMS } from './protocol-parameters.ts';
import { Reassembly } from './reassembly.ts';
import { ReceiveTracker, SACK_FIXED_BYTES } from './receive-tracker.ts';
import { Reconfig, type ReconfigEvents } from './reconfig.ts';
import { type OutboundChunk, RetransmissionQueue } from './retransmission-queue.ts';
import type { RetransmissionTimeout } from './rto.ts';
import { tsnAdd } from './serial.ts';

/**
 * The living half of an association, from the moment that the peer's INIT or INIT ACK is known: DATA, SACK, FORWARD
 * TSN, HEARTBEAT and RE-CONFIG, their timers, and the filling of packets with them. It knows no association states:
 * the association decides which chunks reach it and when it may send.
 *
 *   DATA value: TSN (32) | stream (16) | stream sequence number (16) | payload protocol id (32) | user data
 *   flags: I (acknowledge at once) 8, U (unordered) 4, B (begins a message) 2, E (ends it) 1
 */

export interface DataPathOptions {
  readonly local: InitParameters;
  readonly peer: InitParameters;
  /** User data that one packet carries at most, bytes. */
  readonly pmdcs: number;
  readonly maxReceiveMessageSize: number;
  readonly random: RandomSource;
  readonly rto: RetransmissionTimeout;
  readonly outbound: OutboundQueue;
  /** What is in flight already, when only the peer's half is new. */
  readonly retransmissions: RetransmissionQueue | null;
  readonly events: DataPathEvents;
}

export interface DataPathEvents extends ReconfigEvents {
  message(streamId: number, ppid: number, data: Uint8Array): void;
  drop(reason: DataFault): void;
  /** The peer broke a rule that leaves no way on: the association ends with this cause. */
  violation(cause: Uint8Array): void;
}

/** Sizes in bytes, the rest counts. */
export interface DataPathDump {
  readonly congestionWindow: number;
  readonly slowStartThreshold: number;
  readonly outstandingBytes: number;
  readonly peerWindow: number;
  readonly heldBytes: number;
  readonly dataChunksSent: number;
  readonly retransmissions: number;
  readonly fastRetransmissions: number;
  readonly abandonedMessages: number;
  readonly errors: number;
}

/** Why a chunk of the data phase was dropped. */
export type DataFault =
  | 'malformed-chunk'
  | 'duplicate-data'
  | 'window-full'
  | 'beyond-window'
  | 'invalid-stream'
  | 'old-sack'
  | 'invalid-sack'
  | 'unasked-heartbeat-ack'
  | 'unknown-chunk';

/** Bytes of a DATA chunk's value before the user data. */
const DATA_FIXED_BYTES = 12;
/** Bytes around the user data of a DATA chunk. */
export const DATA_OVERHEAD_BYTES = CHUNK_HEADER_BYTES + DATA_FIXED_BYTES;

/** Of an unknown chunk, this much is sent back. */
const MAX_QUOTED_BYTES = 64;

const FLAG_IMMEDIATE = 8;
const FLAG_UNORDERED = 4;
const FLAG_BEGINS = 2;
const FLAG_ENDS = 1;

export class DataPath {
  readonly retransmissions: RetransmissionQueue;
  readonly received: ReceiveTracker;
  readonly heartbeat: Heartbeat;
  readonly reconfig: Reconfig;
  readonly #reassembly: Reassembly;
  readonly #outbound: OutboundQueue;
  readonly #rto: RetransmissionTimeout;
  readonly #events: DataPathEvents;
  readonly #receiveWindow: number;
  readonly #maxReceiveMessageSize: number;
  /** Time-outs in a row without a sign of life (RFC 9260, section 8.1). */
  #errors = 0;
  #dataChunksSent = 0;

  constructor(options: DataPathOptions) {
    const { local, peer, events } = options;
    this.#outbound = options.outbound;
    this.#rto = options.rto;
    this.#events = events;
    this.#receiveWindow = local.receiveWindow;
    this.#maxReceiveMessageSize = options.maxReceiveMessageSize;
    this.retransmissions =
      options.retransmissions ??
      new RetransmissionQueue({
        initialTsn: local.initialTsn,
        mayAbandon: peer.forwardTsn,
        pmdcs: options.pmdcs,
        outbound: options.outbound,
        rto: options.rto,
      });
    this.retransmissions.peerWindow = peer.receiveWindow;
    this.received = new ReceiveTracker(peer.initialTsn);
    this.heartbeat = new Heartbeat(options.random);
    this.reconfig = new Reconfig({
      initialTsn: local.initialTsn,
      peerInitialTsn: peer.initialTsn,
      isSupported: peer.reconfig,
      events,
    });
    this.#reassembly = new Reassembly(options.maxReceiveMessageSize, (streamId, ppid, data) =>
      events.message(streamId, ppid, data),
    );
  }

  /** Nothing waits to be sent or acknowledged. */
  get isDrained(): boolean {
    return this.#outbound.isEmpty && this.retransmissions.isEmpty;
  }

  get isPeerDead(): boolean {
    return this.#errors > ASSOCIATION_MAX_RETRANSMISSIONS;
  }

  dump(): DataPathDump {
    const queue = this.retransmissions;
    return {
      congestionWindow: queue.congestion.window,
      slowStartThreshold: queue.congestion.threshold,
      outstandingBytes: queue.outstandingBytes,
      peerWindow: queue.peerWindow,
      heldBytes: this.#reassembly.heldBytes,
      dataChunksSent: this.#dataChunksSent,
      retransmissions: queue.retransmissions,
      fastRetransmissions: queue.fastRetransmissions,
      abandonedMessages: queue.abandonedMessages,
      errors: this.#errors,
    };
  }

  /** The earliest deadline of this half. */
  get nextTimeout(): number {
    return Math.min(
      this.retransmissions.t3.at,
      this.received.delay.at,
      this.heartbeat.timer.at,
      this.reconfig.timer.at,
    );
  }

  /** The association is ESTABLISHED: from now on the timers of this half count. */
  start(now: number): void {
    this.heartbeat.heard(this.#rto.value, now);
    this.retransmissions.restartTimer(now);
  }

  handleTimeout(now: number): void {
    this.retransmissions.congestion.newEvent(this.retransmissions.outstandingBytes);
    if (this.received.delay.expire(now)) this.received.acknowledgeNow();
    const { isHurried } = this.retransmissions.t3;
    if (this.retransmissions.t3.expire(now) && this.retransmissions.timedOut(now, isHurried)) this.#errors += 1;
    if (this.reconfig.timer.expire(now)) {
      // While data is lost too, T3-rtx has counted the error and backed off already.
      if (this.retransmissions.isEmpty) {
        this.#rto.backOff();
        this.#errors += 1;
      }
      this.reconfig.timedOut(this.#rto.value, now);
    }
    if (this.heartbeat.timer.expire(now)) {
      if (this.heartbeat.timedOut()) {
        this.#rto.backOff();
        this.#errors += 1;
      }
      if (!this.isPeerDead) this.#events.send(this.heartbeat.request(this.#rto.value, now));
    }
  }

  /** Handles a chunk of the data phase. False when the rest of the packet must not be read. */
  handleChunk(packet: PacketReader, now: number): boolean {
    switch (packet.type) {
      case ChunkType.data:
        this.#handleData(packet);
        return true;
      case ChunkType.sack:
        this.#handleSack(packet, now);
        return true;
      case ChunkType.forwardTsn:
        this.#handleForwardTsn(packet);
        return true;
      case ChunkType.reconfig:
        this.#handleReconfig(packet, now);
        return true;
      case ChunkType.heartbeat:
        this.#events.send(encodeChunk(ChunkType.heartbeatAck, 0, packet.bytes.subarray(packet.start, packet.end)));
        return true;
      case ChunkType.heartbeatAck:
        this.#handleHeartbeatAck(packet, now);
        return true;
      default:
        return this.#handleUnknown(packet);
    }
  }

  #handleData(packet: PacketReader): void {
    const { bytes, start, end, flags } = packet;
    if (end - start < DATA_FIXED_BYTES) return this.#events.drop('malformed-chunk');
    const tsn = readUint32(bytes, start);
    if (end - start === DATA_FIXED_BYTES) {
      return this.#events.violation(encodeCauseU32(CauseCode.noUserData, tsn));
    }
    if ((flags & FLAG_IMMEDIATE) !== 0) this.received.acknowledgeNow();
    const place = this.received.classify(tsn);
    if (place === 'duplicate') {
      this.received.addDuplicate(tsn);
      return this.#events.drop('duplicate-data');
    }
    if (place === 'too-far') return this.#events.drop('beyond-window');
    const data = bytes.subarray(start + DATA_FIXED_BYTES, end);
    if (!this.#hasRoom(data.length, place === 'next')) return;
    this.received.add(tsn);
    const streamId = readUint16(bytes, start + 4);
    if (streamId >= STREAMS) {
      this.#events.send(encodeChunk(ChunkType.error, 0, encodeCauseU32(CauseCode.invalidStream, streamId << 16)));
      return this.#events.drop('invalid-stream');
    }
    const header = {
      tsn,
      streamId,
      ssn: readUint16(bytes, start + 6),
      ppid: readUint32(bytes, start + 8),
      unordered: (flags & FLAG_UNORDERED) !== 0,
      begins: (flags & FLAG_BEGINS) !== 0,
      ends: (flags & FLAG_ENDS) !== 0,
    };
    if (!this.#reassembly.add(header, data)) this.#violation('message too large');
  }

  #handleSack(packet: PacketReader, now: number): void {
    const { bytes, start, end } = packet;
    const gaps = end - start < SACK_FIXED_BYTES ? Infinity : readUint16(bytes, start + 8);
    if (end - start < SACK_FIXED_BYTES + 4 * gaps) return this.#events.drop('malformed-chunk');
    const cumulativeTsn = readUint32(bytes, start);
    const window = readUint32(bytes, start + 4);
    this.#acknowledge(cumulativeTsn, window, bytes, start + SACK_FIXED_BYTES, gaps, now);
  }

  /** SHUTDOWN acknowledges as a SACK without gaps and window would (RFC 9260, section 9.2). */
  handleCumulativeAck(cumulativeTsn: number, now: number): void {
    this.#acknowledge(cumulativeTsn, null, new Uint8Array(0), 0, 0, now);
  }

  /** FORWARD TSN (RFC 3758, section 3.2): new cumulative TSN (32), then stream and last skipped number (16 each). */
  #handleForwardTsn(packet: PacketReader): void {
    const { bytes, start, end } = packet;
    if (end - start < 4) return this.#events.drop('malformed-chunk');
    const newCumulativeTsn = readUint32(bytes, start);
    if (this.received.classify(newCumulativeTsn) === 'too-far') return this.#events.drop('beyond-window');
    if (!this.received.forward(newCumulativeTsn)) return;
    this.#reassembly.forwardTsn(newCumulativeTsn);
    for (let at = start + 4; at + 4 <= end; at += 4) {
      const streamId = readUint16(bytes, at);
      if (streamId < STREAMS) this.#reassembly.forwardStream(streamId, readUint16(bytes, at + 2));
    }
  }

  #handleHeartbeatAck(packet: PacketReader, now: number): void {
    const roundTrip = this.heartbeat.answered(packet.bytes, packet.start, packet.end, now);
    if (roundTrip === null) return this.#events.drop('unasked-heartbeat-ack');
    this.#rto.sample(roundTrip);
    this.#alive(now);
  }

  #handleReconfig(packet: PacketReader, now: number): void {
    const { bytes, start, end } = packet;
    const verdict = this.reconfig.handle(bytes, start, end, this.received.cumulativeTsn);
    if (verdict === 'malformed') this.#events.drop('malformed-chunk');
    else if (verdict === 'answered') this.#alive(now);
  }

  #handleUnknown(packet: PacketReader): boolean {
    this.#events.drop('unknown-chunk');
    const action = unknownTypeAction(packet.type >>> 6);
    if (action.report) {
      const header = packet.start - CHUNK_HEADER_BYTES;
      const quoted = packet.bytes.subarray(header, Math.min(packet.end, header + MAX_QUOTED_BYTES));
      this.#events.send(encodeChunk(ChunkType.error, 0, encodeParameter(CauseCode.unrecognizedChunk, quoted)));
    }
    return action.skip;
  }

  /** The peer's outgoing streams begin anew; empty: all of them. Returns which. */
  resetIncoming(streamIds: readonly number[]): readonly number[] {
    const ids = streamIds.length > 0 ? streamIds : this.#reassembly.streamIds;
    for (const id of ids) this.#reassembly.resetStream(id);
    return ids;
  }

  /** Asks for the stream resets that have become possible. */
  advanceReconfig(now: number): void {
    const lastTsn = tsnAdd(this.retransmissions.nextTsn, -1);
    const isDrained = (streamId: number): boolean => this.#outbound.bufferedAmount(streamId) === 0;
    this.reconfig.advance(isDrained, lastTsn, this.#rto.value, now);
  }

  /** Fills a packet that may hold other chunks already: SACK, FORWARD TSN, then data where `mayCarryData`. */
  fill(packet: PacketWriter, mayCarryData: boolean, now: number): void {
    const queue = this.retransmissions;
    const hasData = mayCarryData && (queue.mayRetransmit || (queue.maySendNew && !this.#outbound.isEmpty));
    if (this.received.isDue || (hasData && this.received.isPending)) this.#writeSack(packet);
    this.#writeForwardTsn(packet);
    if (!mayCarryData) return;
    while (queue.mayRetransmit) {
      const chunk = queue.nextLost(packet.room - DATA_OVERHEAD_BYTES, now);
      if (chunk === null) break;
      this.#writeData(packet, chunk);
    }
    queue.packetSent();
    while (queue.maySendNew && packet.room > DATA_OVERHEAD_BYTES) {
      const fragment = this.#outbound.next(packet.room - DATA_OVERHEAD_BYTES, now);
      if (fragment === null) break;
      this.#writeData(packet, queue.add(fragment, now));
    }
  }

  #writeSack(packet: PacketWriter): void {
    const room = packet.room - CHUNK_HEADER_BYTES;
    if (room < SACK_FIXED_BYTES) return;
    const value = packet.chunk(ChunkType.sack, 0, this.received.sackBytes(room));
    this.received.writeSack(value, Math.max(0, this.#receiveWindow - this.#reassembly.heldBytes));
  }

  #writeForwardTsn(packet: PacketWriter): void {
    const maxStreams = (packet.room - CHUNK_HEADER_BYTES - 4) >> 2;
    if (maxStreams < 1) return;
    const forward = this.retransmissions.takeForwardTsn(maxStreams);
    if (forward === null) return;
    const value = packet.chunk(ChunkType.forwardTsn, 0, 4 + 4 * forward.streams.size);
    writeUint32(value, 0, forward.newCumulativeTsn);
    let at = 4;
    for (const [streamId, ssn] of forward.streams) {
      writeUint16(value, at, streamId);
      writeUint16(value, at + 2, ssn);
      at += 4;
    }
  }

  #writeData(packet: PacketWriter, chunk: OutboundChunk): void {
    const { fragment } = chunk;
    const { message } = fragment;
    // A retransmission, or what fills the congestion window while more waits, asks to be acknowledged at once
    // (RFC 7053): a delayed SACK would only stall the sender. So does what is sent first, which somebody waits for.
    const stalls = !this.#outbound.isEmpty && this.retransmissions.isWindowFull;
    const flags =
      (chunk.transmissions > 1 || stalls || this.retransmissions.isFirst ? FLAG_IMMEDIATE : 0) |
      (message.ordered ? 0 : FLAG_UNORDERED) |
      (fragment.begins ? FLAG_BEGINS : 0) |
      (fragment.ends ? FLAG_ENDS : 0);
    const value = packet.chunk(ChunkType.data, flags, DATA_FIXED_BYTES + fragment.data.length);
    writeUint32(value, 0, chunk.tsn);
    writeUint16(value, 4, message.streamId);
    writeUint16(value, 6, message.ssn);
    writeUint32(value, 8, message.ppid);
    value.set(fragment.data, DATA_FIXED_BYTES);
    this.#dataChunksSent += 1;
  }

  #acknowledge(tsn: number, window: number | null, bytes: Uint8Array, gapsAt: number, gaps: number, now: number): void {
    const queue = this.retransmissions;
    const verdict = queue.acknowledge(tsn, window, bytes, gapsAt, gaps, now);
    if (verdict === 'old') return this.#events.drop('old-sack');
    if (verdict === 'invalid') return this.#events.drop('invalid-sack');
    queue.congestion.newEvent(queue.outstandingBytes);
    if (verdict === 'advanced') this.#alive(now);
  }

  #alive(now: number): void {
    this.#errors = 0;
    this.heartbeat.heard(this.#rto.value, now);
  }

  /**
   * Whether a chunk can be kept. The next TSN always can: an honest peer's data up to the cumulative TSN is delivered
   * but for one unfinished message, so it cannot grow beyond the window by more than that; a peer that does is broken.
   */
  #hasRoom(length: number, isNext: boolean): boolean {
    const held = this.#reassembly.heldBytes + Reassembly.cost(length);
    if (held <= this.#receiveWindow) return true;
    if (!isNext) {
      this.received.acknowledgeNow();
      this.#events.drop('window-full');
      return false;
    }
    if (held <= this.#receiveWindow + 2 * this.#maxReceiveMessageSize) return true;
    this.#violation('receive window overrun');
    return false;
  }

  #violation(text: string): void {
    this.#events.violation(encodeParameter(CauseCode.protocolViolation, new TextEncoder().encode(text)));
  }
}

