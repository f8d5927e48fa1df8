import { readUint32 } from '../../wire/integers.ts';
import type { RandomSource } from '../machine.ts';
import { ChunkType, encodeChunk } from './packet.ts';
import { encodeParameter, ParameterReader, ParameterType } from './parameters.ts';
import { HEARTBEAT_INTERVAL } from './protocol-parameters.ts';
import { Timer } from './timer.ts';

/**
 * Finds a dead peer while no data is under way (RFC 9260, section 8.3). An idle association asks every HB.interval;
 * a heartbeat that is not answered within the RTO counts as an error and is followed by the next at once, so that a
 * dead peer is found as fast as by data.
 */
export class Heartbeat {
  readonly timer = new Timer();
  readonly #random: RandomSource;
  /** What the answer must bring back; null when no answer is awaited. */
  #nonce: number | null = null;
  #sentAt = 0;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  /** The peer has just been heard: an answer is no longer awaited, the silence begins anew. */
  heard(rto: number, now: number): void {
    this.#nonce = null;
    this.timer.start(now + HEARTBEAT_INTERVAL + rto);
  }

  /** The timer ran out. True when an awaited answer did not come. */
  timedOut(): boolean {
    const isMissed = this.#nonce !== null;
    this.#nonce = null;
    return isMissed;
  }

  /** The HEARTBEAT chunk to send now; its answer is awaited for `rto`. */
  request(rto: number, now: number): Uint8Array {
    const info = new Uint8Array(4);
    this.#random(info);
    this.#nonce = readUint32(info, 0);
    this.#sentAt = now;
    this.timer.start(now + rto);
    return encodeChunk(ChunkType.heartbeat, 0, encodeParameter(ParameterType.heartbeatInfo, info));
  }

  /** Takes the value of a HEARTBEAT ACK: the round trip in ms, or null when it answers nothing that was asked. */
  answered(bytes: Uint8Array, start: number, end: number, now: number): number | null {
    const reader = new ParameterReader(bytes, start, end);
    if (!reader.next() || reader.type !== ParameterType.heartbeatInfo || reader.end - reader.start !== 4) return null;
    if (this.#nonce === null || readUint32(bytes, reader.start) !== this.#nonce) return null;
    return now - this.#sentAt;
  }
}

