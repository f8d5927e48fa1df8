import { readUint16, readUint32, writeUint16, writeUint32 } from '../../wire/integers.ts';

/**
 * RTP packets (RFC 3550, section 5.1) and their header extensions (RFC 8285).
 *
 *    0                   1                   2                   3
 *   |V=2|P|X|  CC   |M|     PT      |       sequence number         |
 *   |                           timestamp                           |
 *   |                             SSRC                              |
 *   |              CSRC list, CC words                              |
 *   |  X: profile 0xBEDE or 0x100x  |  length, in words             | elements …
 *   |  payload …                              | P: padding, its own length last
 */
export const RTP_HEADER_LENGTH = 12;

const ONE_BYTE_PROFILE = 0xbede;
const TWO_BYTE_PROFILE = 0x1000;
const EMPTY = new Uint8Array(0);

/**
 * A view of one received packet, meant to be reused: `read` points it at the next packet, and allocates nothing.
 * Offsets count from the start of `buffer`. Everything is valid until the next `read`, and while the bytes stay.
 */
export class RtpPacket {
  buffer: Uint8Array = EMPTY;
  marker = false;
  payloadType = 0;
  sequence = 0;
  timestamp = 0;
  ssrc = 0;
  csrcCount = 0;
  /** 0 without a header extension. */
  extensionProfile = 0;
  extensionOffset = 0;
  extensionLength = 0;
  payloadOffset = 0;
  payloadLength = 0;
  paddingLength = 0;
  /** Length of the element that `findExtension` found last. */
  elementLength = 0;

  /** Reads packet[0, length). False when that is not a well-formed RTP packet; the fields are then undefined. */
  read(buffer: Uint8Array, length: number): boolean {
    if (length < RTP_HEADER_LENGTH || length > buffer.length || buffer[0] >>> 6 !== 2) return false;
    this.buffer = buffer;
    this.marker = buffer[1] >>> 7 === 1;
    this.payloadType = buffer[1] & 0x7f;
    this.sequence = readUint16(buffer, 2);
    this.timestamp = readUint32(buffer, 4);
    this.ssrc = readUint32(buffer, 8);
    this.csrcCount = buffer[0] & 0x0f;
    this.extensionProfile = 0;
    this.extensionLength = 0;
    this.paddingLength = 0;
    let at = RTP_HEADER_LENGTH + 4 * this.csrcCount;
    if ((buffer[0] & 0x10) !== 0) {
      if (at + 4 > length) return false;
      this.extensionProfile = readUint16(buffer, at);
      this.extensionLength = 4 * readUint16(buffer, at + 2);
      this.extensionOffset = at + 4;
      at += 4 + this.extensionLength;
    }
    if (at > length) return false;
    if ((buffer[0] & 0x20) !== 0) {
      this.paddingLength = buffer[length - 1];
      if (this.paddingLength === 0 || at + this.paddingLength > length) return false;
    }
    this.payloadOffset = at;
    this.payloadLength = length - at - this.paddingLength;
    return true;
  }

  /** Offset of the element with this id, its length in `elementLength`; -1 when there is none. */
  findExtension(id: number): number {
    if (this.extensionLength === 0) return -1;
    const oneByte = this.extensionProfile === ONE_BYTE_PROFILE;
    // The low four bits of the two-byte profile are for the application (RFC 8285, section 4.3).
    if (!oneByte && (this.extensionProfile & 0xfff0) !== TWO_BYTE_PROFILE) return -1;
    const { buffer } = this;
    const end = this.extensionOffset + this.extensionLength;
    for (let at = this.extensionOffset; at < end; ) {
      if (buffer[at] === 0) {
        at++;
        continue;
      }
      const elementId = oneByte ? buffer[at] >>> 4 : buffer[at];
      // In the one-byte form, 15 ends the list, whatever follows.
      if (oneByte && elementId === 15) return -1;
      if (!oneByte && at + 1 === end) return -1;
      const length = oneByte ? (buffer[at] & 0x0f) + 1 : buffer[at + 1];
      at += oneByte ? 1 : 2;
      if (at + length > end) return -1;
      if (elementId === id) {
        this.elementLength = length;
        return at;
      }
      at += length;
    }
    return -1;
  }
}

/** Ids that the answer settled on. One without an id, or with one that the one-byte form cannot carry, is not sent. */
export interface RtpExtensionIds {
  /** urn:ietf:params:rtp-hdrext:sdes:mid */
  readonly mid?: number;
  /** urn:ietf:params:rtp-hdrext:ssrc-audio-level (RFC 6464) */
  readonly audioLevel?: number;
  /** http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01 */
  readonly transportSequence?: number;
}

/** What `writeRtpHeader` writes. Meant to be reused: the writer of a stream keeps one and changes its fields. */
export interface RtpHeader {
  marker: boolean;
  payloadType: number;
  sequence: number;
  timestamp: number;
  ssrc: number;
  /** Up to 16 ASCII bytes, null to leave it out. */
  mid: Uint8Array | null;
  /** −dBov, 0 (loudest) to 127 (silence), with 128 added where there is voice; −1 to leave it out. */
  audioLevel: number;
  /** −1 to leave it out. */
  transportSequence: number;
}

/** The most that `writeRtpHeader` writes. */
export const MAX_RTP_HEADER_LENGTH = RTP_HEADER_LENGTH + 4 + 24;

/**
 * Writes a header with its extensions, in the one-byte form, to the start of `out`. Returns its length.
 * `out` has room for {@link MAX_RTP_HEADER_LENGTH}.
 */
export function writeRtpHeader(out: Uint8Array, header: RtpHeader, ids: RtpExtensionIds): number {
  out[1] = (header.marker ? 0x80 : 0) | header.payloadType;
  writeUint16(out, 2, header.sequence);
  writeUint32(out, 4, header.timestamp);
  writeUint32(out, 8, header.ssrc);
  const start = RTP_HEADER_LENGTH + 4;
  let at = start;
  if (header.mid !== null && header.mid.length > 0 && header.mid.length <= 16 && fitsOneByte(ids.mid)) {
    out[at++] = (ids.mid << 4) | (header.mid.length - 1);
    for (let i = 0; i < header.mid.length; i++) out[at++] = header.mid[i];
  }
  if (header.audioLevel >= 0 && fitsOneByte(ids.audioLevel)) {
    out[at++] = ids.audioLevel << 4;
    out[at++] = header.audioLevel;
  }
  if (header.transportSequence >= 0 && fitsOneByte(ids.transportSequence)) {
    out[at++] = (ids.transportSequence << 4) | 1;
    writeUint16(out, at, header.transportSequence);
    at += 2;
  }
  if (at === start) {
    out[0] = 0x80;
    return RTP_HEADER_LENGTH;
  }
  out[0] = 0x90;
  while ((at & 3) !== 0) out[at++] = 0;
  writeUint16(out, RTP_HEADER_LENGTH, ONE_BYTE_PROFILE);
  writeUint16(out, RTP_HEADER_LENGTH + 2, (at - start) / 4);
  return at;
}

function fitsOneByte(id: number | undefined): id is number {
  return id !== undefined && id >= 1 && id <= 14;
}
