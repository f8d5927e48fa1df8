import { readUint16, readUint32, writeUint16, writeUint32 } from '../../wire/integers.ts';
import { ChunkType, encodeChunk } from './packet.ts';
import { encodeParameter, joinParameters, ParameterReader, ParameterType } from './parameters.ts';
import { ASSOCIATION_MAX_RETRANSMISSIONS } from './protocol-parameters.ts';
import { tsnAdd, tsnDistance } from './serial.ts';
import { Timer } from './timer.ts';

/**
 * Stream reset (RFC 6525): how one side of a data channel is closed.
 *
 *   A                                          B
 *   │ Outgoing SSN Reset (last TSN, streams) ──►│  all data up to last TSN here?
 *   │◄───────── Response "in progress" ─────────│    no
 *   │ the same, with the next number ──────────►│
 *   │◄───────── Response "performed" ───────────│    yes: streams begin at SSN 0 again
 *
 * One request is under way at a time, as the RFC demands; what is asked for meanwhile goes into the next. Only
 * outgoing streams are reset by request. A peer's wish for us to reset ours, to add streams or to reset all TSNs is
 * denied: WebRTC does not use them (RFC 8831, section 6.7).
 *
 * After "in progress" some peers ask again with the same number, some with the next one, and some answer a repeated
 * number only with what they said before (section 5.2.1). So we accept both, and ask again with the next one.
 */

const Result = { nothingToDo: 0, performed: 1, denied: 2, badSequenceNumber: 5, inProgress: 6 } as const;

/** The largest number of streams in one request: it fits the smallest packet in use. */
const MAX_STREAMS_PER_REQUEST = 256;

/** Bytes of the fixed part of each parameter's value. */
const MIN_BYTES: ReadonlyMap<number, number> = new Map([
  [ParameterType.outgoingResetRequest, 12],
  [ParameterType.reconfigResponse, 8],
]);

interface Request {
  sequence: number;
  readonly lastTsn: number;
  readonly streamIds: readonly number[];
  /** The peer waits for data: the next try needs a new number. */
  isInProgress: boolean;
}

export interface ReconfigEvents {
  /** Our outgoing streams: reset (they begin at SSN 0 again), or refused by the peer. */
  outgoingReset(streamId: number, performed: boolean): void;
  /** The peer's outgoing streams have been reset; empty: all of them. */
  incomingReset(streamIds: readonly number[]): void;
  /** A chunk to send. */
  send(chunk: Uint8Array): void;
}

export class Reconfig {
  readonly timer = new Timer();
  readonly #events: ReconfigEvents;
  readonly #isSupported: boolean;
  /** Outgoing streams to reset as soon as nothing waits on them. */
  readonly #wanted = new Set<number>();
  #request: Request | null = null;
  #nextSequence: number;
  #peerSequence: number;
  /** The result of the peer's last request; null before the first. */
  #lastResult: number | null = null;
  /** The parameters of a request that was done after all, while its sender may know no more than "in progress". */
  #doneLate: Uint8Array | null = null;

  constructor(options: { initialTsn: number; peerInitialTsn: number; isSupported: boolean; events: ReconfigEvents }) {
    this.#nextSequence = options.initialTsn;
    this.#peerSequence = tsnAdd(options.peerInitialTsn, -1);
    this.#isSupported = options.isSupported;
    this.#events = options.events;
  }

  /** True from `reset` until its result. */
  isResetting(streamId: number): boolean {
    return this.#wanted.has(streamId) || (this.#request?.streamIds.includes(streamId) ?? false);
  }

  /** Asks to reset an outgoing stream, once all that waits on it has been sent. */
  reset(streamId: number): void {
    if (!this.isResetting(streamId)) this.#wanted.add(streamId);
  }

  /** Sends the next request when it is time; `isDrained` tells that nothing waits on a stream for its first sending. */
  advance(isDrained: (streamId: number) => boolean, lastTsn: number, rto: number, now: number): void {
    if (this.#request !== null || this.#wanted.size === 0) return;
    const streamIds: number[] = [];
    for (const id of this.#wanted) if (isDrained(id) && streamIds.length < MAX_STREAMS_PER_REQUEST) streamIds.push(id);
    if (streamIds.length === 0) return;
    for (const id of streamIds) this.#wanted.delete(id);
    if (!this.#isSupported) {
      for (const id of streamIds) this.#events.outgoingReset(id, false);
      return;
    }
    this.#request = { sequence: this.#takeSequence(), lastTsn, streamIds, isInProgress: false };
    this.#sendRequest(this.#request, rto, now);
  }

  /** The request's timer ran out: sends it again, or gives up. */
  timedOut(rto: number, now: number): void {
    const request = this.#request;
    if (request === null) return;
    if (this.timer.expiries > ASSOCIATION_MAX_RETRANSMISSIONS) {
      this.#finish(request, false);
      return;
    }
    if (request.isInProgress) {
      request.isInProgress = false;
      request.sequence = this.#takeSequence();
    }
    this.#sendRequest(request, rto, now);
  }

  /** Takes the value of a RE-CONFIG chunk. `answered`: it held a response to the request under way. */
  handle(bytes: Uint8Array, start: number, end: number, cumulativeTsn: number): 'ok' | 'answered' | 'malformed' {
    const reader = new ParameterReader(bytes, start, end);
    let isAnswered = false;
    // A chunk carries at most two parameters (section 3.1).
    for (let count = 0; count < 2 && reader.next(); count++) {
      const length = reader.end - reader.start;
      if (length < (MIN_BYTES.get(reader.type) ?? 4)) return 'malformed';
      const sequence = readUint32(bytes, reader.start);
      if (reader.type === ParameterType.reconfigResponse) {
        if (this.#handleResponse(sequence, readUint32(bytes, reader.start + 4))) isAnswered = true;
      } else if (reader.type === ParameterType.outgoingResetRequest) {
        this.#handleOutgoingReset(reader, sequence, cumulativeTsn);
      } else if (isOtherRequest(reader.type)) {
        if (this.#isNew(sequence)) this.#respond(sequence, Result.denied);
      }
    }
    if (reader.malformed) return 'malformed';
    return isAnswered ? 'answered' : 'ok';
  }

  #takeSequence(): number {
    const sequence = this.#nextSequence;
    this.#nextSequence = tsnAdd(sequence, 1);
    return sequence;
  }

  #sendRequest(request: Request, rto: number, now: number): void {
    this.#events.send(encodeResetRequest(request.sequence, this.#peerSequence, request.lastTsn, request.streamIds));
    this.timer.start(now + rto);
  }

  #handleOutgoingReset(reader: ParameterReader, sequence: number, cumulativeTsn: number): void {
    const wasInProgress = this.#lastResult === Result.inProgress;
    if (!this.#isNew(sequence)) return;
    const { bytes, start, end } = reader;
    if (tsnDistance(cumulativeTsn, readUint32(bytes, start + 8)) > 0) {
      this.#respond(sequence, Result.inProgress);
      return;
    }
    // What follows the two sequence numbers: last TSN and streams. The same again under the next number is the same
    // request; doing it twice would close a channel that was opened on the stream since.
    const parameters = bytes.slice(start + 8, end);
    const isDone = this.#doneLate !== null && isEqual(parameters, this.#doneLate);
    this.#doneLate = wasInProgress ? parameters : null;
    if (!isDone) {
      const streamIds: number[] = [];
      for (let at = 4; at + 2 <= parameters.length; at += 2) streamIds.push(readUint16(parameters, at));
      this.#events.incomingReset(streamIds);
    }
    this.#respond(sequence, Result.performed);
  }

  /** Checks a request's number: a repeated one gets its answer again, a wrong one an error (section 5.2.1). */
  #isNew(sequence: number): boolean {
    const ahead = tsnDistance(this.#peerSequence, sequence);
    if (ahead === 1 || (ahead === 0 && this.#lastResult === Result.inProgress)) {
      this.#peerSequence = sequence;
      return true;
    }
    const isRepeated = ahead === 0 && this.#lastResult !== null;
    this.#events.send(encodeResponse(sequence, isRepeated ? this.#lastResult! : Result.badSequenceNumber));
    return false;
  }

  #respond(sequence: number, result: number): void {
    this.#lastResult = result;
    this.#events.send(encodeResponse(sequence, result));
  }

  /** True when it answers the request under way. */
  #handleResponse(sequence: number, result: number): boolean {
    const request = this.#request;
    if (request === null || request.sequence !== sequence) return false;
    if (result === Result.inProgress) {
      request.isInProgress = true;
      this.timer.expiries = 0;
    } else {
      this.#finish(request, result === Result.performed || result === Result.nothingToDo);
    }
    return true;
  }

  #finish(request: Request, performed: boolean): void {
    this.timer.stop();
    this.#request = null;
    for (const id of request.streamIds) this.#events.outgoingReset(id, performed);
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function isOtherRequest(type: number): boolean {
  return (
    type === ParameterType.incomingResetRequest ||
    type === ParameterType.tsnResetRequest ||
    type === ParameterType.addOutgoingStreams ||
    type === ParameterType.addIncomingStreams
  );
}

/** RE-CONFIG with an Outgoing SSN Reset Request (section 4.1): request, response and last TSN, then the streams. */
function encodeResetRequest(sequence: number, peerSequence: number, lastTsn: number, ids: readonly number[]): Uint8Array {
  const value = new Uint8Array(12 + 2 * ids.length);
  writeUint32(value, 0, sequence);
  writeUint32(value, 4, peerSequence);
  writeUint32(value, 8, lastTsn);
  ids.forEach((id, i) => writeUint16(value, 12 + 2 * i, id));
  return reconfigChunk(ParameterType.outgoingResetRequest, value);
}

/** RE-CONFIG with a Re-configuration Response (section 4.4). */
function encodeResponse(sequence: number, result: number): Uint8Array {
  const value = new Uint8Array(8);
  writeUint32(value, 0, sequence);
  writeUint32(value, 4, result);
  return reconfigChunk(ParameterType.reconfigResponse, value);
}

function reconfigChunk(type: number, value: Uint8Array): Uint8Array {
  return encodeChunk(ChunkType.reconfig, 0, joinParameters([encodeParameter(type, value)]));
}
