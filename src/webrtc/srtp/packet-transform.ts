import { writeUint32 } from '../rtp/integers.ts';
import { SRTP_PROFILES, type SrtpProfile } from '../srtp-profile.ts';
import type { CounterModeKey, GcmKey, SrtpCiphers } from './ciphers.ts';
import type { SessionKeys } from './key-derivation.ts';

/**
 * One profile's transform of RTP and RTCP packets under one set of session keys, for one direction. It knows nothing of
 * streams or replays: whoever calls has checked lengths (tag and index word included) and knows the packet's index.
 * All offsets are from the start of `packet`; the packet is changed in place.
 */
export interface PacketTransform {
  /** Length of the authentication tag. SRTCP adds the index word on top. */
  readonly tagLength: number;
  /** Encrypts the payload at [headerLength, length) and authenticates all. Returns the new length. */
  sealRtp(packet: Uint8Array, headerLength: number, length: number, ssrc: number, index: number): number;
  /** Returns the plain length, or -1 when the packet is not authentic. */
  openRtp(packet: Uint8Array, headerLength: number, length: number, ssrc: number, index: number): number;
  /** Where the index word lies in a protected RTCP packet of `length` bytes. */
  rtcpIndexAt(length: number): number;
  /** Encrypts all but the first eight bytes, authenticates all, adds the index word. Returns the new length. */
  sealRtcp(packet: Uint8Array, length: number, ssrc: number, index: number): number;
  /** `encrypted` and `index` are what the packet's index word says. Returns the plain length, or -1. */
  openRtcp(packet: Uint8Array, length: number, ssrc: number, index: number, encrypted: boolean): number;
  /** Frees the keys. Idempotent. */
  close(): void;
}

/** Length of E flag and SRTCP index (RFC 3711, section 3.4). */
export const RTCP_INDEX_LENGTH = 4;
/** RTCP's header and sender SSRC stay readable. */
export const RTCP_CLEAR_LENGTH = 8;

export function createTransform(
  profile: SrtpProfile,
  keys: SessionKeys,
  use: 'seal' | 'open',
  ciphers: SrtpCiphers,
): PacketTransform {
  return profile === 'AEAD_AES_128_GCM' ? new GcmTransform(keys, use, ciphers) : new CounterModeTransform(keys, ciphers);
}

/**
 * RFC 7714. The tag follows the cipher text at once; SRTCP's index word comes last and is associated data:
 *
 *   SRTP    | header, in AAD     | payload, encrypted | tag 16 |
 *   SRTCP   | 8 bytes, in AAD    | rest, encrypted    | tag 16 | E + index, in AAD |
 *   E = 0   | everything, in AAD                      | tag 16 | E + index, in AAD |
 */
class GcmTransform implements PacketTransform {
  readonly tagLength = SRTP_PROFILES.AEAD_AES_128_GCM.authTagLength;
  readonly #rtp: GcmKey;
  readonly #rtcp: GcmKey;
  readonly #rtpSalt: Uint8Array;
  readonly #rtcpSalt: Uint8Array;

  constructor({ rtp, rtcp }: SessionKeys, use: 'seal' | 'open', ciphers: SrtpCiphers) {
    this.#rtp = ciphers.gcm(rtp.encryptionKey, use);
    this.#rtcp = ciphers.gcm(rtcp.encryptionKey, use);
    this.#rtpSalt = rtp.salt;
    this.#rtcpSalt = rtcp.salt;
  }

  sealRtp(packet: Uint8Array, headerLength: number, length: number, ssrc: number, index: number): number {
    setGcmIv(this.#rtp.iv, this.#rtpSalt, ssrc, index);
    this.#rtp.seal(packet, headerLength, length, 0);
    return length + this.tagLength;
  }

  openRtp(packet: Uint8Array, headerLength: number, length: number, ssrc: number, index: number): number {
    const end = length - this.tagLength;
    setGcmIv(this.#rtp.iv, this.#rtpSalt, ssrc, index);
    return this.#rtp.open(packet, headerLength, end, 0) ? end : -1;
  }

  rtcpIndexAt(length: number): number {
    return length - RTCP_INDEX_LENGTH;
  }

  sealRtcp(packet: Uint8Array, length: number, ssrc: number, index: number): number {
    const indexAt = length + this.tagLength;
    writeUint32(packet, indexAt, index | 0x80000000);
    setGcmIv(this.#rtcp.iv, this.#rtcpSalt, ssrc, index);
    this.#rtcp.seal(packet, RTCP_CLEAR_LENGTH, length, indexAt);
    return indexAt + RTCP_INDEX_LENGTH;
  }

  openRtcp(packet: Uint8Array, length: number, ssrc: number, index: number, encrypted: boolean): number {
    const indexAt = this.rtcpIndexAt(length);
    const end = indexAt - this.tagLength;
    setGcmIv(this.#rtcp.iv, this.#rtcpSalt, ssrc, index);
    return this.#rtcp.open(packet, encrypted ? RTCP_CLEAR_LENGTH : end, end, indexAt) ? end : -1;
  }

  close(): void {
    this.#rtp.close();
    this.#rtcp.close();
  }
}

/**
 * RFC 3711. The roll-over counter is authenticated although it is not sent: it takes the place of the tag while the
 * MAC is computed. SRTCP's index word lies before the tag:
 *
 *   SRTP    | header | payload, encrypted         | (roll-over counter) → tag 10 |
 *   SRTCP   | 8 bytes | rest, encrypted if E = 1  | E + index | tag 10 |
 */
class CounterModeTransform implements PacketTransform {
  readonly tagLength = SRTP_PROFILES.AES128_CM_HMAC_SHA1_80.authTagLength;
  readonly #rtp: CounterModeKey;
  readonly #rtcp: CounterModeKey;
  readonly #rtpSalt: Uint8Array;
  readonly #rtcpSalt: Uint8Array;
  readonly #received = new Uint8Array(this.tagLength);

  constructor({ rtp, rtcp }: SessionKeys, ciphers: SrtpCiphers) {
    this.#rtp = ciphers.counterMode(rtp.encryptionKey, rtp.authenticationKey);
    this.#rtcp = ciphers.counterMode(rtcp.encryptionKey, rtcp.authenticationKey);
    this.#rtpSalt = rtp.salt;
    this.#rtcpSalt = rtcp.salt;
  }

  sealRtp(packet: Uint8Array, headerLength: number, length: number, ssrc: number, index: number): number {
    setCounterModeIv(this.#rtp.iv, this.#rtpSalt, ssrc, index);
    this.#rtp.crypt(packet, headerLength, length);
    writeUint32(packet, length, rollover(index));
    this.#writeTag(packet, length, this.#rtp.mac(packet, length + 4));
    return length + this.tagLength;
  }

  openRtp(packet: Uint8Array, headerLength: number, length: number, ssrc: number, index: number): number {
    const end = length - this.tagLength;
    this.#keepTag(packet, end);
    writeUint32(packet, end, rollover(index));
    if (!this.#matches(this.#rtp.mac(packet, end + 4))) return -1;
    setCounterModeIv(this.#rtp.iv, this.#rtpSalt, ssrc, index);
    this.#rtp.crypt(packet, headerLength, end);
    return end;
  }

  rtcpIndexAt(length: number): number {
    return length - this.tagLength - RTCP_INDEX_LENGTH;
  }

  sealRtcp(packet: Uint8Array, length: number, ssrc: number, index: number): number {
    setCounterModeIv(this.#rtcp.iv, this.#rtcpSalt, ssrc, index);
    this.#rtcp.crypt(packet, RTCP_CLEAR_LENGTH, length);
    writeUint32(packet, length, index | 0x80000000);
    const end = length + RTCP_INDEX_LENGTH;
    this.#writeTag(packet, end, this.#rtcp.mac(packet, end));
    return end + this.tagLength;
  }

  openRtcp(packet: Uint8Array, length: number, ssrc: number, index: number, encrypted: boolean): number {
    const end = length - this.tagLength;
    this.#keepTag(packet, end);
    if (!this.#matches(this.#rtcp.mac(packet, end))) return -1;
    const plainEnd = this.rtcpIndexAt(length);
    if (encrypted) {
      setCounterModeIv(this.#rtcp.iv, this.#rtcpSalt, ssrc, index);
      this.#rtcp.crypt(packet, RTCP_CLEAR_LENGTH, plainEnd);
    }
    return plainEnd;
  }

  close(): void {
    this.#rtp.close();
    this.#rtcp.close();
  }

  #writeTag(packet: Uint8Array, at: number, mac: Uint8Array): void {
    for (let i = 0; i < this.tagLength; i++) packet[at + i] = mac[i];
  }

  #keepTag(packet: Uint8Array, at: number): void {
    for (let i = 0; i < this.tagLength; i++) this.#received[i] = packet[at + i];
  }

  /** In constant time. */
  #matches(mac: Uint8Array): boolean {
    let difference = 0;
    for (let i = 0; i < this.tagLength; i++) difference |= this.#received[i] ^ mac[i];
    return difference === 0;
  }
}

/** RFC 7714, sections 8.1 and 9.1: (00 00 | SSRC | index, 48 bits) ⊕ salt; SRTCP's index is 00 00 | 31 bits. */
function setGcmIv(iv: Uint8Array, salt: Uint8Array, ssrc: number, index: number): void {
  const high = (index / 0x1_0000_0000) | 0;
  iv[0] = salt[0];
  iv[1] = salt[1];
  iv[2] = salt[2] ^ (ssrc >>> 24);
  iv[3] = salt[3] ^ (ssrc >>> 16);
  iv[4] = salt[4] ^ (ssrc >>> 8);
  iv[5] = salt[5] ^ ssrc;
  iv[6] = salt[6] ^ (high >>> 8);
  iv[7] = salt[7] ^ high;
  iv[8] = salt[8] ^ (index >>> 24);
  iv[9] = salt[9] ^ (index >>> 16);
  iv[10] = salt[10] ^ (index >>> 8);
  iv[11] = salt[11] ^ index;
}

/** RFC 3711, section 4.1.1: (salt · 2^16) ⊕ (SSRC · 2^64) ⊕ (index · 2^16). */
function setCounterModeIv(iv: Uint8Array, salt: Uint8Array, ssrc: number, index: number): void {
  const high = (index / 0x1_0000_0000) | 0;
  iv[0] = salt[0];
  iv[1] = salt[1];
  iv[2] = salt[2];
  iv[3] = salt[3];
  iv[4] = salt[4] ^ (ssrc >>> 24);
  iv[5] = salt[5] ^ (ssrc >>> 16);
  iv[6] = salt[6] ^ (ssrc >>> 8);
  iv[7] = salt[7] ^ ssrc;
  iv[8] = salt[8] ^ (high >>> 8);
  iv[9] = salt[9] ^ high;
  iv[10] = salt[10] ^ (index >>> 24);
  iv[11] = salt[11] ^ (index >>> 16);
  iv[12] = salt[12] ^ (index >>> 8);
  iv[13] = salt[13] ^ index;
  iv[14] = 0;
  iv[15] = 0;
}

function rollover(index: number): number {
  return Math.floor(index / 0x10000);
}
