import { readUint32 } from '../../wire/integers.ts';
import type { RandomSource } from '../machine.ts';
import { compactNtp, compactToMs, toNtp } from './ntp.ts';
import type { ReportBlock, SenderReport } from './rtcp.ts';
import type { RtpHeader } from './rtp-packet.ts';

/** State of the one stream that a session sends: numbering, what sender reports say, what the peer reports back. */
export class SendStream {
  /** Header of the next packet, kept to be filled in and written again and again. */
  readonly header: RtpHeader;
  packets = 0;
  octets = 0;
  /** Null until the peer has reported. */
  rttMs: number | null = null;
  remoteLoss: number | null = null;
  remoteJitter: number | null = null;
  readonly #clockRate: number;
  readonly #timestampOffset: number;
  #lastSentAt = Number.NaN;

  constructor(ssrc: number, clockRate: number, mid: Uint8Array | null, random: RandomSource) {
    const bytes = new Uint8Array(8);
    random(bytes);
    this.#clockRate = clockRate;
    this.#timestampOffset = readUint32(bytes, 0);
    this.header = {
      marker: false,
      payloadType: 0,
      // Below 2^15: were the first packets lost across a roll-over, the receiver could not guess its counter (RFC 3711,
      // section 3.3.1, starts from the first packet that arrives).
      sequence: readUint32(bytes, 4) & 0x7fff,
      timestamp: 0,
      ssrc,
      mid,
      audioLevel: -1,
      transportSequence: -1,
    };
  }

  /** Fills in the header of a packet whose first sample is at `timestamp` of the media clock. */
  nextHeader(payloadType: number, timestamp: number, marker: boolean, audioLevel: number): RtpHeader {
    const { header } = this;
    header.payloadType = payloadType;
    header.timestamp = (timestamp + this.#timestampOffset) >>> 0;
    header.marker = marker;
    header.audioLevel = audioLevel;
    return header;
  }

  /** The packet with that header has been written. */
  handleSent(octets: number, now: number): void {
    const { header } = this;
    this.packets++;
    this.octets += octets;
    this.#lastSentAt = now;
    header.sequence = (header.sequence + 1) & 0xffff;
    if (header.transportSequence >= 0) header.transportSequence = (header.transportSequence + 1) & 0xffff;
  }

  /** `unixMs` is `now` on the wall clock. */
  senderReport(now: number, unixMs: number): Omit<SenderReport, 'type' | 'reports'> {
    const ntp = toNtp(unixMs);
    const samplesSince = Math.round(((now - this.#lastSentAt) * this.#clockRate) / 1000);
    return {
      ssrc: this.header.ssrc,
      ntpSeconds: ntp.seconds,
      ntpFraction: ntp.fraction,
      rtpTimestamp: (this.header.timestamp + samplesSince) >>> 0,
      packets: this.packets >>> 0,
      octets: this.octets >>> 0,
    };
  }

  /** What the peer says of this stream. Round trip = now − LSR − DLSR (RFC 3550, section 6.4.1). */
  handleReport(report: ReportBlock, unixMs: number): void {
    this.remoteLoss = report.fractionLost / 256;
    this.remoteJitter = report.jitter;
    if (report.lastSr === 0) return;
    const ntp = toNtp(unixMs);
    const roundTrip = (compactNtp(ntp.seconds, ntp.fraction) - report.lastSr - report.delaySinceLastSr) | 0;
    // Rounding, or a peer that counts wrongly: no packet arrives before it was sent.
    this.rttMs = Math.max(0, compactToMs(roundTrip));
  }
}
