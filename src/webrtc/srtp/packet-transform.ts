import { readUint16, readUint32, writeUint16, writeUint32 } from '../../wire/integers.ts';
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
  ciphers: SrtpCiphers,
): PacketTransform {
  return profile === 'AEAD_AES_128_GCM' ? new GcmTransform(keys, ciphers) : new CounterModeTransform(keys, ciphers);
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
  readonly #rtpSalt: GcmSalt;
  readonly #rtcpSalt: GcmSalt;

  constructor({ rtp, rtcp }: SessionKeys, ciphers: SrtpCiphers) {
    this.#rtp = ciphers.gcm(rtp.encryptionKey);
    this.#rtcp = ciphers.gcm(rtcp.encryptionKey);
    this.#rtpSalt = new GcmSalt(rtp.salt);
    this.#rtcpSalt = new GcmSalt(rtcp.salt);
  }

  sealRtp(packet: Uint8Array, headerLength: number, length: number, ssrc: number, index: number): number {
    this.#rtpSalt.writeIv(this.#rtp.iv, ssrc, index);
    this.#rtp.seal(packet, headerLength, length, 0);
    return length + this.tagLength;
  }

  openRtp(packet: Uint8Array, headerLength: number, length: number, ssrc: number, index: number): number {
    const end = length - this.tagLength;
    this.#rtpSalt.writeIv(this.#rtp.iv, ssrc, index);
    return this.#rtp.open(packet, headerLength, end, 0) ? end : -1;
  }

  rtcpIndexAt(length: number): number {
    return length - RTCP_INDEX_LENGTH;
  }

  sealRtcp(packet: Uint8Array, length: number, ssrc: number, index: number): number {
    const indexAt = length + this.tagLength;
    writeUint32(packet, indexAt, index | 0x80000000);
    this.#rtcpSalt.writeIv(this.#rtcp.iv, ssrc, index);
    this.#rtcp.seal(packet, RTCP_CLEAR_LENGTH, length, indexAt);
    return indexAt + RTCP_INDEX_LENGTH;
  }

  openRtcp(packet: Uint8Array, length: number, ssrc: number, index: number, encrypted: boolean): number {
    const indexAt = this.rtcpIndexAt(length);
    const end = indexAt - this.tagLength;
    this.#rtcpSalt.writeIv(this.#rtcp.iv, ssrc, index);
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
  readonly #rtpSalt: CounterModeSalt;
  readonly #rtcpSalt: CounterModeSalt;
  readonly #received = new Uint8Array(this.tagLength);

  constructor({ rtp, rtcp }: SessionKeys, ciphers: SrtpCiphers) {
    this.#rtp = ciphers.counterMode(rtp.encryptionKey, rtp.authenticationKey);
    this.#rtcp = ciphers.counterMode(rtcp.encryptionKey, rtcp.authenticationKey);
    this.#rtpSalt = new CounterModeSalt(rtp.salt);
    this.#rtcpSalt = new CounterModeSalt(rtcp.salt);
  }

  sealRtp(packet: Uint8Array, headerLength: number, length: number, ssrc: number, index: number): number {
    this.#rtpSalt.writeIv(this.#rtp.iv, ssrc, index);
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
    this.#rtpSalt.writeIv(this.#rtp.iv, ssrc, index);
    this.#rtp.crypt(packet, headerLength, end);
    return end;
  }

  rtcpIndexAt(length: number): number {
    return length - this.tagLength - RTCP_INDEX_LENGTH;
  }

  sealRtcp(packet: Uint8Array, length: number, ssrc: number, index: number): number {
    this.#rtcpSalt.writeIv(this.#rtcp.iv, ssrc, index);
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
      this.#rtcpSalt.writeIv(this.#rtcp.iv, ssrc, index);
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

/**
 * RFC 7714, sections 8.1 and 9.1: (00 00 | SSRC | index, 48 bits) ⊕ salt; SRTCP's index is 00 00 | 31 bits.
 * The salt is kept as numbers: they lie in the object itself, while bytes would be two more places to fetch per packet.
 */
class GcmSalt {
  readonly #first: number;
  readonly #second: number;
  readonly #third: number;

  constructor(salt: Uint8Array) {
    this.#first = readUint32(salt, 0) | 0;
    this.#second = readUint32(salt, 4) | 0;
    this.#third = readUint32(salt, 8) | 0;
  }

  writeIv(iv: Uint8Array, ssrc: number, index: number): void {
    writeUint32(iv, 0, this.#first ^ (ssrc >>> 16));
    writeUint32(iv, 4, this.#second ^ ((ssrc << 16) | high16(index)));
    writeUint32(iv, 8, this.#third ^ index);
  }
}

/** RFC 3711, section 4.1.1: (salt · 2^16) ⊕ (SSRC · 2^64) ⊕ (index · 2^16). */
class CounterModeSalt {
  readonly #first: number;
  readonly #second: number;
  readonly #third: number;
  readonly #last: number;

  constructor(salt: Uint8Array) {
    this.#first = readUint32(salt, 0) | 0;
    this.#second = readUint32(salt, 4) | 0;
    this.#third = readUint32(salt, 8) | 0;
    this.#last = readUint16(salt, 12);
  }

  writeIv(iv: Uint8Array, ssrc: number, index: number): void {
    writeUint32(iv, 0, this.#first);
    writeUint32(iv, 4, this.#second ^ ssrc);
    // 48 bits of index at byte 8: its upper 32, then its lower 16.
    writeUint32(iv, 8, this.#third ^ ((high16(index) << 16) | ((index >>> 16) & 0xffff)));
    writeUint16(iv, 12, this.#last ^ (index & 0xffff));
    writeUint16(iv, 14, 0);
  }
}

/** The upper 16 of an index's 48 bits. */
function high16(index: number): number {
  return (index / 0x1_0000_0000) | 0;
}

function rollover(index: number): number {
  return Math.floor(index / 0x10000);
}
