/**
 * Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1):
 *
 *   |V=2|P| FMT=15 |    PT=205    |           length              |
 *   |                 SSRC of the feedback's sender               |
 *   |                 SSRC of the media's sender                  |
 *   |      base sequence number   |      packet status count      |
 *   |         reference time, 64 ms, signed     | feedback count  |
 *   |  status chunks, 16 bits each  |  deltas, 250 µs, 8 or 16 bits each | zeros to the word
 *
 *   chunk  0|SS|run length, 13 bits        SS: 00 missing, 01 8-bit delta, 10 16-bit delta
 *          10|14 symbols of one bit        0 missing, 1 8-bit delta
 *          11|7 symbols of two bits
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from '../../wire/integers.ts';

export interface TransportFeedback {
  readonly type: 'transport-feedback';
  readonly senderSsrc: number;
  readonly mediaSsrc: number;
  /** Transport-wide sequence number of the first packet reported on. */
  readonly baseSequence: number;
  /** How many packets are reported on, missing ones included. */
  readonly statusCount: number;
  readonly feedbackCount: number;
  /** The packets that have arrived, in ascending order. */
  readonly received: readonly TransportArrival[];
}

export interface TransportArrival {
  readonly sequence: number;
  /** Arrival in ms of the receiver's clock; the feedback's resolution is 250 µs, its range about six days. */
  readonly at: number;
}

const HEADER_LENGTH = 20;
const REFERENCE_TICK_MS = 64;
const TICKS_PER_MS = 4;
const TICKS_PER_REFERENCE = REFERENCE_TICK_MS * TICKS_PER_MS;
const SMALL_DELTA = 1;
const LARGE_DELTA = 2;
const MAX_RUN = 0x1fff;

/** Reads one packet of the right type and format, padding removed. Null when malformed. */
export function readTransportFeedback(packet: Uint8Array): TransportFeedback | null {
  if (packet.length < HEADER_LENGTH) return null;
  const baseSequence = readUint16(packet, 12);
  const statusCount = readUint16(packet, 14);
  const sized: { sequence: number; large: boolean }[] = [];
  let at = HEADER_LENGTH;
  let deltaLength = 0;
  for (let done = 0; done < statusCount; at += 2) {
    if (at + 2 > packet.length) return null;
    const chunk = readUint16(packet, at);
    const isRun = chunk >>> 15 === 0;
    const bits = isRun || (chunk & 0x4000) !== 0 ? 2 : 1;
    const count = Math.min(isRun ? chunk & MAX_RUN : 14 / bits, statusCount - done);
    const runSymbol = (chunk >>> 13) & 3;
    // A run of missing packets costs its sender two bytes, so it may cost us no more than that.
    const inspected = isRun && runSymbol === 0 ? 0 : count;
    for (let i = 0; i < inspected; i++) {
      const symbol = isRun ? runSymbol : (chunk >>> (14 - bits * (i + 1))) & (bits === 2 ? 3 : 1);
      if (symbol === 0) continue;
      if (symbol > LARGE_DELTA) return null;
      deltaLength += symbol;
      if (deltaLength > packet.length) return null;
      sized.push({ sequence: (baseSequence + done + i) & 0xffff, large: symbol === LARGE_DELTA });
    }
    done += count;
  }
  if (at + deltaLength > packet.length) return null;
  let ticks = readInt24(packet, 16) * TICKS_PER_REFERENCE;
  const received = sized.map(({ sequence, large }): TransportArrival => {
    ticks += large ? (readUint16(packet, at) << 16) >> 16 : packet[at];
    at += large ? 2 : 1;
    return { sequence, at: ticks / TICKS_PER_MS };
  });
  return {
    type: 'transport-feedback',
    senderSsrc: readUint32(packet, 4),
    mediaSsrc: readUint32(packet, 8),
    baseSequence,
    statusCount,
    feedbackCount: packet[19],
    received,
  };
}

/**
 * Writes a feedback on `arrivals` (not empty, ascending, distinct, spanning less than 2^15 sequence numbers) at
 * out[at…]. Stops early, before the packet grows beyond `limit` bytes or where a delta does not fit 16 bits.
 * Returns where the next packet goes.
 */
export function writeTransportFeedback(
  out: Uint8Array,
  at: number,
  feedback: Pick<TransportFeedback, 'senderSsrc' | 'mediaSsrc' | 'feedbackCount'> & {
    readonly arrivals: readonly TransportArrival[];
  },
  limit: number,
): number {
  const { arrivals } = feedback;
  const reference = Math.floor(arrivals[0].at / REFERENCE_TICK_MS);
  const baseSequence = arrivals[0].sequence;
  const chunks: number[] = [];
  const deltas: number[] = [];
  let ticks = reference * TICKS_PER_REFERENCE;
  let expected = baseSequence;
  let deltaLength = 0;
  let last = { symbol: -1, count: 0 };
  const addRun = (symbol: number, count: number): void => {
    if (last.symbol === symbol && last.count + count <= MAX_RUN) {
      last.count += count;
      chunks[chunks.length - 1] = (symbol << 13) | last.count;
      return;
    }
    last = { symbol, count };
    chunks.push((symbol << 13) | count);
  };
  for (const arrival of arrivals) {
    const arrived = Math.round(arrival.at * TICKS_PER_MS);
    const delta = arrived - ticks;
    if (delta < -0x8000 || delta > 0x7fff) break;
    const symbol = delta >= 0 && delta <= 0xff ? SMALL_DELTA : LARGE_DELTA;
    const missing = (arrival.sequence - expected) & 0xffff;
    // Five chunks at most for fewer than 2^15 missing ones, one for this one, and three bytes of zeros.
    if (HEADER_LENGTH + 2 * (chunks.length + 6) + deltaLength + symbol + 3 > limit) break;
    for (let left = missing; left > 0; left -= MAX_RUN) addRun(0, Math.min(left, MAX_RUN));
    addRun(symbol, 1);
    deltas.push(delta);
    deltaLength += symbol;
    ticks = arrived;
    expected = (arrival.sequence + 1) & 0xffff;
  }
  return finish();

  function finish(): number {
    let end = at + HEADER_LENGTH;
    for (const chunk of chunks) {
      writeUint16(out, end, chunk);
      end += 2;
    }
    for (const delta of deltas) {
      if (delta >= 0 && delta <= 0xff) out[end++] = delta;
      else {
        writeUint16(out, end, delta);
        end += 2;
      }
    }
    const padding = -(end - at) & 3;
    for (let i = 0; i < padding; i++) out[end++] = i === padding - 1 ? padding : 0;
    out[at] = 0x80 | (padding === 0 ? 0 : 0x20) | 15;
    out[at + 1] = 205;
    writeUint16(out, at + 2, (end - at) / 4 - 1);
    writeUint32(out, at + 4, feedback.senderSsrc);
    writeUint32(out, at + 8, feedback.mediaSsrc);
    writeUint16(out, at + 12, baseSequence);
    writeUint16(out, at + 14, (expected - baseSequence) & 0xffff);
    writeUint32(out, at + 16, ((reference & 0xffffff) << 8) | (feedback.feedbackCount & 0xff));
    return end;
  }
}

function readInt24(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8)) >> 8;
}
