import { readUint16, readUint32 } from '../../wire/integers.ts';
import type { SrtpCiphers } from './ciphers.ts';
import { createCounters, refuse, type SrtpCounters } from './faults.ts';
import { deriveSessionKeys, type SrtpKeys } from './key-derivation.ts';
import { rtpHeaderLength } from './packet-header.ts';
import { estimateIndex, MAX_RTP_INDEX } from './packet-index.ts';
import { createTransform, RTCP_CLEAR_LENGTH, RTCP_INDEX_LENGTH, type PacketTransform } from './packet-transform.ts';
import { ReplayWindow } from './replay-window.ts';

/** SSRCs remembered; beyond that the one that has been silent longest goes. Only the holder of the key can get here. */
const MAX_STREAMS = 32;

/**
 * Checks and decrypts the packets of one session in one direction (RFC 3711, RFC 7714). Allocates nothing per packet.
 *
 *   which index? → in the replay window? → authentic? → only now: remember SSRC and index
 *
 * All methods work in place: they overwrite packet[0, length) of `buffer`, typically a view of receive memory, and
 * return the length of the plain packet there, or a negative code that `srtpFault` puts into words. What is in the
 * buffer after a refusal is undefined: an unauthentic packet may have been decrypted before its tag was checked.
 */
export class SrtpReceiver {
  readonly counters: SrtpCounters = createCounters();
  readonly #streams: ReceiveStream[] = [];
  /** The one used last, nearly always the one that is looked for. */
  #latest: ReceiveStream | null = null;
  #uses = 0;
  #transform: PacketTransform | null;

  /** @throws {RangeError} when the keys do not have the profile's length. */
  constructor(keys: SrtpKeys, ciphers: SrtpCiphers) {
    this.#transform = createTransform(keys.profile, deriveSessionKeys(keys), ciphers);
  }

  unprotectRtp(buffer: Uint8Array, length: number): number {
    if (!this.#transform) return refuse(this.counters, 'closed');
    const headerLength = length <= buffer.length ? rtpHeaderLength(buffer, length - this.#transform.tagLength) : -1;
    if (headerLength < 0) return refuse(this.counters, 'malformed');
    const ssrc = readUint32(buffer, 8);
    const sequence = readUint16(buffer, 2);
    const stream = this.#find(ssrc);
    const highest = stream ? stream.rtp.highest : -1;
    const index = highest < 0 ? sequence : estimateIndex(highest, sequence);
    if (index > MAX_RTP_INDEX) return refuse(this.counters, 'key-expired');
    const seen = stream ? stream.rtp.check(index) : 'new';
    if (seen !== 'new') return refuse(this.counters, seen);
    const plainLength = this.#transform.openRtp(buffer, headerLength, length, ssrc, index);
    if (plainLength < 0) return refuse(this.counters, 'auth-failed');
    this.#authentic(stream, ssrc).rtp.update(index);
    this.counters.rtp++;
    return plainLength;
  }

  /** Packets that are authenticated but not encrypted (E = 0) are accepted. */
  unprotectRtcp(buffer: Uint8Array, length: number): number {
    if (!this.#transform) return refuse(this.counters, 'closed');
    const { tagLength } = this.#transform;
    const plainEnd = length - tagLength - RTCP_INDEX_LENGTH;
    if (length > buffer.length || plainEnd < RTCP_CLEAR_LENGTH || buffer[0] >>> 6 !== 2) {
      return refuse(this.counters, 'malformed');
    }
    const ssrc = readUint32(buffer, 4);
    const word = readUint32(buffer, this.#transform.rtcpIndexAt(length));
    const index = word & 0x7fffffff;
    const stream = this.#find(ssrc);
    const seen = stream ? stream.rtcp.check(index) : 'new';
    if (seen !== 'new') return refuse(this.counters, seen);
    const plainLength = this.#transform.openRtcp(buffer, length, ssrc, index, word >>> 31 === 1);
    if (plainLength < 0) return refuse(this.counters, 'auth-failed');
    this.#authentic(stream, ssrc).rtcp.update(index);
    this.counters.rtcp++;
    return plainLength;
  }

  /** Frees the keys. Idempotent. */
  close(): void {
    this.#transform?.close();
    this.#transform = null;
  }

  #find(ssrc: number): ReceiveStream | null {
    if (this.#latest?.ssrc === ssrc) return this.#latest;
    for (const stream of this.#streams) if (stream.ssrc === ssrc) return stream;
    return null;
  }

  #authentic(known: ReceiveStream | null, ssrc: number): ReceiveStream {
    if (known !== null && known === this.#latest) return known;
    const stream = known ?? this.#add(ssrc);
    stream.lastUse = ++this.#uses;
    this.#latest = stream;
    return stream;
  }

  #add(ssrc: number): ReceiveStream {
    if (this.#streams.length === MAX_STREAMS) {
      let oldest = 0;
      for (let i = 1; i < MAX_STREAMS; i++) if (this.#streams[i].lastUse < this.#streams[oldest].lastUse) oldest = i;
      this.#streams.splice(oldest, 1);
    }
    const stream = { ssrc, rtp: new ReplayWindow(), rtcp: new ReplayWindow(), lastUse: 0 };
    this.#streams.push(stream);
    return stream;
  }
}

interface ReceiveStream {
  readonly ssrc: number;
  readonly rtp: ReplayWindow;
  readonly rtcp: ReplayWindow;
  lastUse: number;
}
