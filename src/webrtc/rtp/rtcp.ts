/**
 * RTCP packets (RFC 3550, section 6; RFC 4585, section 6.2.1), compound or reduced-size (RFC 5506).
 *
 *   |V=2|P|count or FMT|   packet type   |  length in words − 1  |
 *   |                 SSRC of the sender                        | …
 *
 * Reading allocates, in proportion to the packet's size: RTCP comes a few times a second at most.
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from '../../wire/integers.ts';
import { readTransportFeedback, type TransportFeedback } from './transport-feedback.ts';

export type RtcpPacket =
  | SenderReport
  | ReceiverReport
  | SourceDescription
  | Goodbye
  | Nack
  | TransportFeedback
  /** Well-formed, and nothing an audio session acts on: PLI, FIR, REMB, XR, APP and what is yet to be invented. */
  | { readonly type: 'ignored'; readonly packetType: number; readonly format: number };

/** Whether a packet among RTP is RTCP (RFC 5761, section 4): its types live where RTP would have payload types 64 to 95. */
export function isRtcp(packet: Uint8Array): boolean {
  return packet.length > 1 && packet[1] >= 192 && packet[1] < 224;
}

export interface SenderReport {
  readonly type: 'sender-report';
  readonly ssrc: number;
  /** NTP time (RFC 3550, section 4): seconds since 1900, and 2^-32 seconds. */
  readonly ntpSeconds: number;
  readonly ntpFraction: number;
  readonly rtpTimestamp: number;
  readonly packets: number;
  readonly octets: number;
  readonly reports: readonly ReportBlock[];
}

export interface ReceiverReport {
  readonly type: 'receiver-report';
  readonly ssrc: number;
  readonly reports: readonly ReportBlock[];
}

export interface ReportBlock {
  /** Whose packets are reported on. */
  readonly ssrc: number;
  /** Of the packets expected since the last report, in 256ths. */
  readonly fractionLost: number;
  /** Since the beginning; 24 bits with a sign. */
  readonly cumulativeLost: number;
  readonly highestSequence: number;
  /** Interarrival jitter in timestamp units. */
  readonly jitter: number;
  /** Middle 32 bits of the last sender report's NTP time, 0 when there was none. */
  readonly lastSr: number;
  /** Time since then, in 1/65536 s. */
  readonly delaySinceLastSr: number;
}

export interface SourceDescription {
  readonly type: 'source-description';
  readonly chunks: readonly { readonly ssrc: number; readonly cname: string | null }[];
}

export interface Goodbye {
  readonly type: 'goodbye';
  readonly ssrcs: readonly number[];
  readonly reason: string;
}

export interface Nack {
  readonly type: 'nack';
  readonly senderSsrc: number;
  readonly mediaSsrc: number;
  /** Sequence numbers that the peer misses. */
  readonly lost: readonly number[];
}

export const RTCP_SENDER_REPORT = 200;
const RECEIVER_REPORT = 201;
const SOURCE_DESCRIPTION = 202;
const GOODBYE = 203;
const TRANSPORT_LAYER_FEEDBACK = 205;
const FORMAT_NACK = 1;
const FORMAT_TRANSPORT_FEEDBACK = 15;

const SDES_CNAME = 1;
const REPORT_BLOCK_LENGTH = 24;
const MAX_TEXT_LENGTH = 255;
const text = new TextDecoder();

/** The packets of packet[0, length), or null when any part of it is malformed. */
export function parseRtcp(buffer: Uint8Array, length: number): RtcpPacket[] | null {
  if (length > buffer.length || length < 4) return null;
  const packets: RtcpPacket[] = [];
  for (let at = 0; at < length; ) {
    if (at + 4 > length || buffer[at] >>> 6 !== 2) return null;
    const end = at + 4 + 4 * readUint16(buffer, at + 2);
    if (end > length) return null;
    let contentEnd = end;
    if ((buffer[at] & 0x20) !== 0) {
      // Only the last packet of a compound one may be padded (RFC 3550, section 6.4.1).
      const padding = buffer[end - 1];
      if (end !== length || padding === 0 || padding > end - at - 4) return null;
      contentEnd = end - padding;
    }
    const packet = parseOne(buffer.subarray(at, contentEnd));
    if (!packet) return null;
    packets.push(packet);
    at = end;
  }
  return packets;
}

function parseOne(packet: Uint8Array): RtcpPacket | null {
  const count = packet[0] & 0x1f;
  const packetType = packet[1];
  switch (packetType) {
    case RTCP_SENDER_REPORT:
      return parseSenderReport(packet, count);
    case RECEIVER_REPORT: {
      const reports = packet.length < 8 ? null : parseReports(packet, 8, count);
      return reports && { type: 'receiver-report', ssrc: readUint32(packet, 4), reports };
    }
    case SOURCE_DESCRIPTION:
      return parseSourceDescription(packet, count);
    case GOODBYE:
      return parseGoodbye(packet, count);
    case TRANSPORT_LAYER_FEEDBACK:
      if (count === FORMAT_NACK) return parseNack(packet);
      if (count === FORMAT_TRANSPORT_FEEDBACK) return readTransportFeedback(packet);
      break;
  }
  return { type: 'ignored', packetType, format: count };
}

function parseSenderReport(packet: Uint8Array, count: number): SenderReport | null {
  const reports = packet.length < 28 ? null : parseReports(packet, 28, count);
  return (
    reports && {
      type: 'sender-report',
      ssrc: readUint32(packet, 4),
      ntpSeconds: readUint32(packet, 8),
      ntpFraction: readUint32(packet, 12),
      rtpTimestamp: readUint32(packet, 16),
      packets: readUint32(packet, 20),
      octets: readUint32(packet, 24),
      reports,
    }
  );
}

/** What follows the blocks is a profile's extension, which the length lets us skip. */
function parseReports(packet: Uint8Array, start: number, count: number): ReportBlock[] | null {
  if (start + count * REPORT_BLOCK_LENGTH > packet.length) return null;
  return Array.from({ length: count }, (_, i): ReportBlock => {
    const at = start + i * REPORT_BLOCK_LENGTH;
    const lost = readUint32(packet, at + 4);
    return {
      ssrc: readUint32(packet, at),
      fractionLost: lost >>> 24,
      cumulativeLost: (lost << 8) >> 8,
      highestSequence: readUint32(packet, at + 8),
      jitter: readUint32(packet, at + 12),
      lastSr: readUint32(packet, at + 16),
      delaySinceLastSr: readUint32(packet, at + 20),
    };
  });
}

function parseSourceDescription(packet: Uint8Array, count: number): SourceDescription | null {
  const chunks: { ssrc: number; cname: string | null }[] = [];
  let at = 4;
  for (let i = 0; i < count; i++) {
    if (at + 4 >= packet.length) return null;
    const ssrc = readUint32(packet, at);
    let cname: string | null = null;
    at += 4;
    while (packet[at] !== 0) {
      const end = at + 2 + packet[at + 1];
      // One null octet at least ends the list. `end` is NaN where the length itself is missing.
      if (!(end < packet.length)) return null;
      if (packet[at] === SDES_CNAME) cname = text.decode(packet.subarray(at + 2, end));
      at = end;
    }
    at = (at + 4) & ~3;
    if (at > packet.length) return null;
    chunks.push({ ssrc, cname });
  }
  return { type: 'source-description', chunks };
}

function parseGoodbye(packet: Uint8Array, count: number): Goodbye | null {
  const end = 4 + 4 * count;
  if (end > packet.length) return null;
  const ssrcs = Array.from({ length: count }, (_, i) => readUint32(packet, 4 + 4 * i));
  if (end === packet.length) return { type: 'goodbye', ssrcs, reason: '' };
  const reasonEnd = end + 1 + packet[end];
  if (reasonEnd > packet.length) return null;
  return { type: 'goodbye', ssrcs, reason: text.decode(packet.subarray(end + 1, reasonEnd)) };
}

function parseNack(packet: Uint8Array): Nack | null {
  if (packet.length < 12 || packet.length % 4 !== 0) return null;
  const lost: number[] = [];
  for (let at = 12; at < packet.length; at += 4) {
    const first = readUint16(packet, at);
    const following = readUint16(packet, at + 2);
    lost.push(first);
    for (let bit = 0; bit < 16; bit++) if ((following & (1 << bit)) !== 0) lost.push((first + bit + 1) & 0xffff);
  }
  return { type: 'nack', senderSsrc: readUint32(packet, 4), mediaSsrc: readUint32(packet, 8), lost };
}

// Writers. Each writes one packet at out[at…], which has room for it, and returns where the next one goes.

export function writeSenderReport(out: Uint8Array, at: number, report: Omit<SenderReport, 'type'>): number {
  writeUint32(out, at + 8, report.ntpSeconds);
  writeUint32(out, at + 12, report.ntpFraction);
  writeUint32(out, at + 16, report.rtpTimestamp);
  writeUint32(out, at + 20, report.packets);
  writeUint32(out, at + 24, report.octets);
  const end = writeReports(out, at + 28, report.reports);
  return finish(out, at, end, report.reports.length, RTCP_SENDER_REPORT, report.ssrc);
}

export function writeReceiverReport(out: Uint8Array, at: number, report: Omit<ReceiverReport, 'type'>): number {
  const end = writeReports(out, at + 8, report.reports);
  return finish(out, at, end, report.reports.length, RECEIVER_REPORT, report.ssrc);
}

/** One chunk with a CNAME, of which the first 255 bytes count. */
export function writeSourceDescription(out: Uint8Array, at: number, ssrc: number, cname: Uint8Array): number {
  out[at + 8] = SDES_CNAME;
  const end = writeText(out, at + 9, cname);
  // At least one null octet ends the items.
  return finish(out, at, pad(out, end, end + 1), 1, SOURCE_DESCRIPTION, ssrc);
}

/** `reason` may be empty; its first 255 bytes count. */
export function writeGoodbye(out: Uint8Array, at: number, ssrc: number, reason: Uint8Array): number {
  const end = reason.length === 0 ? at + 8 : writeText(out, at + 8, reason);
  return finish(out, at, pad(out, end, end), 1, GOODBYE, ssrc);
}

/** `lost` in ascending order (modulo 2^16), not empty. Needs at most four bytes per sequence number on top of 12. */
export function writeNack(out: Uint8Array, at: number, nack: Omit<Nack, 'type'>): number {
  const { lost } = nack;
  writeUint32(out, at + 8, nack.mediaSsrc);
  let end = at + 12;
  for (let i = 0; i < lost.length; ) {
    const first = lost[i++];
    let following = 0;
    while (i < lost.length) {
      const distance = (lost[i] - first) & 0xffff;
      if (distance === 0 || distance > 16) break;
      following |= 1 << (distance - 1);
      i++;
    }
    writeUint16(out, end, first);
    writeUint16(out, end + 2, following);
    end += 4;
  }
  return finish(out, at, end, FORMAT_NACK, TRANSPORT_LAYER_FEEDBACK, nack.senderSsrc);
}

function writeReports(out: Uint8Array, at: number, reports: readonly ReportBlock[]): number {
  for (const report of reports) {
    writeUint32(out, at, report.ssrc);
    writeUint32(out, at + 4, (report.fractionLost << 24) | (report.cumulativeLost & 0xffffff));
    writeUint32(out, at + 8, report.highestSequence);
    writeUint32(out, at + 12, report.jitter);
    writeUint32(out, at + 16, report.lastSr);
    writeUint32(out, at + 20, report.delaySinceLastSr);
    at += REPORT_BLOCK_LENGTH;
  }
  return at;
}

function writeText(out: Uint8Array, at: number, bytes: Uint8Array): number {
  const length = Math.min(bytes.length, MAX_TEXT_LENGTH);
  out[at] = length;
  for (let i = 0; i < length; i++) out[at + 1 + i] = bytes[i];
  return at + 1 + length;
}

/** Zeros from `at` to the first word boundary not before `atLeast`. RTCP packets start on word boundaries. */
function pad(out: Uint8Array, at: number, atLeast: number): number {
  const end = (atLeast + 3) & ~3;
  while (at < end) out[at++] = 0;
  return end;
}

function finish(out: Uint8Array, at: number, end: number, count: number, packetType: number, ssrc: number): number {
  out[at] = 0x80 | count;
  out[at + 1] = packetType;
  writeUint16(out, at + 2, (end - at) / 4 - 1);
  writeUint32(out, at + 4, ssrc);
  return end;
}
