import { readUint16, readUint32 } from '../../wire/integers.ts';
import type { SrtpCiphers } from './ciphers.ts';
import { createCounters, refuse, type SrtpCounters } from './faults.ts';
import { deriveSessionKeys, type SrtpKeys } from './key-derivation.ts';
import { rtpHeaderLength } from './packet-header.ts';
import { estimateIndex, MAX_RTCP_INDEX, MAX_RTP_INDEX } from './packet-index.ts';
import { createTransform, RTCP_CLEAR_LENGTH, RTCP_INDEX_LENGTH, type PacketTransform } from './packet-transform.ts';

/** Bytes that protection adds at most: leave this much room behind a packet. */
export const SRTP_MAX_OVERHEAD = 20;

/** A session sends one audio stream; more than a few SSRCs are a mistake of the caller. */
const MAX_STREAMS = 16;

/**
 * Protects the packets of one session in one direction (RFC 3711, RFC 7714). Allocates nothing per packet.
 *
 * All methods work in place: packet[0, length) of `buffer`, which must have room for {@link SRTP_MAX_OVERHEAD} more
 * bytes. They return the new length, or a negative code that `srtpFault` puts into words; the packet is then unchanged.
 */
export class SrtpSender {
  readonly counters: SrtpCounters = createCounters();
  readonly #streams: SendStream[] = [];
  /** The one used last, nearly always the one that is looked for. */
  #latest: SendStream | null = null;
  #transform: PacketTransform | null;

  /** @throws {RangeError} when the keys do not have the profile's length. */
  constructor(keys: SrtpKeys, ciphers: SrtpCiphers) {
    this.#transform = createTransform(keys.profile, deriveSessionKeys(keys), ciphers);
  }

  /** Sequence numbers of an SSRC must go up (modulo 2^16, steps below 2^15). */
  protectRtp(buffer: Uint8Array, length: number): number {
    return this.#sealRtp(buffer, length, false);
  }

  /**
   * Protects a packet once more, to retransmit it. Every byte must be as the first time: another text under the same
   * index would give both away (RFC 7714, section 10).
   */
  repeatRtp(buffer: Uint8Array, length: number): number {
    return this.#sealRtp(buffer, length, true);
  }

  /** A compound or reduced-size RTCP packet. */
  protectRtcp(buffer: Uint8Array, length: number): number {
    if (!this.#transform) return refuse(this.counters, 'closed');
    if (length > buffer.length || length < RTCP_CLEAR_LENGTH || buffer[0] >>> 6 !== 2) {
      return refuse(this.counters, 'malformed');
    }
    if (length + this.#transform.tagLength + RTCP_INDEX_LENGTH > buffer.length) return refuse(this.counters, 'no-room');
    const ssrc = readUint32(buffer, 4);
    const stream = this.#stream(ssrc);
    if (!stream) return refuse(this.counters, 'too-many-streams');
    const index = stream.nextRtcpIndex();
    if (index < 0) return refuse(this.counters, 'key-expired');
    this.counters.rtcp++;
    return this.#transform.sealRtcp(buffer, length, ssrc, index);
  }

  /** Frees the keys. Idempotent. */
  close(): void {
    this.#transform?.close();
    this.#transform = null;
  }

  #sealRtp(buffer: Uint8Array, length: number, repeat: boolean): number {
    if (!this.#transform) return refuse(this.counters, 'closed');
    const headerLength = length <= buffer.length ? rtpHeaderLength(buffer, length) : -1;
    if (headerLength < 0) return refuse(this.counters, 'malformed');
    if (length + this.#transform.tagLength > buffer.length) return refuse(this.counters, 'no-room');
    const ssrc = readUint32(buffer, 8);
    const stream = this.#stream(ssrc);
    if (!stream) return refuse(this.counters, 'too-many-streams');
    const index = stream.rtpIndex(readUint16(buffer, 2));
    if (index > MAX_RTP_INDEX) return refuse(this.counters, 'key-expired');
    if (index < 0 || index > stream.highest === repeat) return refuse(this.counters, 'index-reused');
    if (!repeat) stream.highest = index;
    this.counters.rtp++;
    return this.#transform.sealRtp(buffer, headerLength, length, ssrc, index);
  }

  #stream(ssrc: number): SendStream | null {
    if (this.#latest?.ssrc === ssrc) return this.#latest;
    let stream = this.#streams.find((known) => known.ssrc === ssrc);
    if (!stream) {
      if (this.#streams.length === MAX_STREAMS) return null;
      stream = new SendStream(ssrc);
      this.#streams.push(stream);
    }
    this.#latest = stream;
    return stream;
  }
}

/** Indices of one SSRC. Exported for its tests: no test can send 2^48 packets. */
export class SendStream {
  readonly ssrc: number;
  /** Highest RTP index used, -1 before the first packet. */
  highest: number;
  #rtcpIndex: number;

  constructor(ssrc: number, highest = -1, rtcpIndex = 0) {
    this.ssrc = ssrc;
    this.highest = highest;
    this.#rtcpIndex = rtcpIndex;
  }

  /** The index of a packet: the first packet's roll-over counter is 0. */
  rtpIndex(sequence: number): number {
    return this.highest < 0 ? sequence : estimateIndex(this.highest, sequence);
  }

  /** A fresh SRTCP index, -1 when all have been used. */
  nextRtcpIndex(): number {
    return this.#rtcpIndex > MAX_RTCP_INDEX ? -1 : this.#rtcpIndex++;
  }
}
