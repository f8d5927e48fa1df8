import { readUint16 } from '../../wire/integers.ts';
import type { RandomSource, Timeout } from '../machine.ts';
import { MissingPackets } from './missing-packets.ts';
import { ReceiveStream } from './receive-stream.ts';
import { RedSender, type RedDistance } from './red-sender.ts';
import {
  parseRtcp,
  writeGoodbye,
  writeNack,
  writeReceiverReport,
  writeSenderReport,
  writeSourceDescription,
  type ReportBlock,
  type RtcpPacket,
} from './rtcp.ts';
import { rtcpInterval } from './rtcp-interval.ts';
import { MAX_RTP_HEADER_LENGTH, RtpPacket, writeRtpHeader, type RtpExtensionIds } from './rtp-packet.ts';
import { SendHistory } from './send-history.ts';
import { SendStream } from './send-stream.ts';
import { writeTransportFeedback } from './transport-feedback.ts';
import { TransportLog } from './transport-log.ts';

export interface RtpSessionOptions {
  readonly random: RandomSource;
  /** Unix time in ms = `now` + this. Sender reports carry wall-clock time; this is the only use of it. */
  readonly ntpEpochOffset: number;
  /** SSRC to send with, as the SDP answer announces it. */
  readonly ssrc: number;
  /** Canonical name of this endpoint (RFC 7022), up to 255 bytes of UTF-8. */
  readonly cname: string;
  /** Of the RTP timestamps, in Hz: 48000 for Opus. */
  readonly clockRate: number;
  /** The m-line's identification, sent in each packet when its extension was negotiated. */
  readonly mid: string;
  readonly extensions: RtpExtensionIds;
  /** Negotiated `a=rtcp-fb` of the payload type: `nack` and `transport-cc`. */
  readonly nack: boolean;
  readonly transportFeedback: boolean;
  /** Number what is sent transport-wide, so that the peer gives feedback. */
  readonly transportNumbers: boolean;
  /** Negotiated `a=rtcp-rsize`. */
  readonly reducedSize: boolean;
  /** Redundancy (RFC 2198) for what is sent, where it was negotiated. */
  readonly red?: RedOptions;
}

export interface RedOptions {
  readonly payloadType: number;
  /** Payload type of the blocks inside. */
  readonly blockType: number;
  readonly distance: RedDistance;
}

/** One packet to send. */
export interface RtpFrame {
  readonly payload: Uint8Array;
  readonly payloadType: number;
  /** First sample's position on the sender's media clock, in units of the clock rate, from any origin. */
  readonly timestamp: number;
  /** The first packet after silence (RFC 3551, section 4.1). */
  readonly marker: boolean;
  /** −dBov, 0 (loudest) to 127 (silence), with 128 added where there is voice (RFC 6464). */
  readonly audioLevel?: number;
}

export type RtpSessionOutput =
  /** A packet for the SRTCP sender. */
  | { readonly type: 'rtcp'; readonly data: Uint8Array }
  /** An RTP packet to protect and send once more, byte for byte as it was: `SrtpSender.repeatRtp`. */
  | { readonly type: 'retransmit'; readonly data: Uint8Array }
  /** The peer has ended this stream. */
  | { readonly type: 'bye'; readonly ssrc: number; readonly reason: string }
  | Timeout;

/** Packets dropped, or requests not met. */
export type RtpFault = 'malformed-rtp' | 'malformed-rtcp' | 'retransmission-unavailable';

export interface RtpSessionStats {
  /** Null until the peer has answered a sender report. */
  readonly rttMs: number | null;
  /** Share of packets lost on the way here and, as reported by the peer, on the way there; of the latest interval. */
  readonly localLoss: number | null;
  readonly remoteLoss: number | null;
  /** Interarrival jitter here, and as reported by the peer. */
  readonly jitterMs: number | null;
  readonly remoteJitterMs: number | null;
  readonly packetsReceived: number;
  readonly octetsReceived: number;
  /** Of the stream heard last, since its beginning. Negative when duplicates outnumber losses. */
  readonly packetsLost: number;
  readonly packetsSent: number;
  readonly octetsSent: number;
  readonly packetsRetransmitted: number;
  readonly packetsRequested: number;
  /** Older frames that go along with each one now. */
  readonly redundancy: number;
  readonly faults: Readonly<Record<RtpFault, number>>;
}

/** SSRCs heard at a time: one, and a second one while the peer exchanges its track. */
const MAX_STREAMS = 4;
/** Packets asked for at a time: all that the history holds. */
const MAX_REQUESTED = 32;
/**
 * How often feedback goes out while packets arrive. Browsers take 50 to 250 ms, by their bandwidth: at that of one voice,
 * 250. A tenth of a second would mean one packet of feedback for every five of voice.
 */
const TRANSPORT_FEEDBACK_INTERVAL_MS = 250;
/** RTCP packets stay below this, and with SRTCP's tag within any path's MTU. */
const MAX_RTCP_LENGTH = 1152;

/**
 * RTP and RTCP of one audio m-line (RFC 3550, RFC 4585, RFC 5506), on plain packets: SRTP is the business of whoever
 * calls. A state machine as `../machine.ts` describes it. Receiving and writing a packet allocate nothing,
 * but for a view where a copy is kept for NACK.
 */
export class RtpSession {
  readonly #options: RtpSessionOptions;
  readonly #cname: Uint8Array;
  readonly #send: SendStream;
  readonly #history: SendHistory | null;
  readonly #red: RedSender | null;
  readonly #transportLog = new TransportLog();
  readonly #rtcp = new Uint8Array(MAX_RTCP_LENGTH + 64);
  readonly #faults: Record<RtpFault, number> = {
    'malformed-rtp': 0,
    'malformed-rtcp': 0,
    'retransmission-unavailable': 0,
  };
  /** Latest last. */
  #streams: RemoteStream[] = [];
  #latest: RemoteStream | null = null;
  /** When packets may have to be asked for: never too late, now and then in vain. */
  #nackAt = Number.POSITIVE_INFINITY;
  readonly #outputs: RtpSessionOutput[] = [];
  readonly #timeout = { type: 'timeout' as const, at: Number.POSITIVE_INFINITY };
  /** Sequence numbers that the peer has asked for; the bytes are looked up when they are sent. */
  readonly #requested: number[] = [];
  #now = Number.NaN;
  #reportAt = Number.NaN;
  #feedbackAt = Number.POSITIVE_INFINITY;
  #feedbackCount = 0;
  #mediaSsrc = 0;
  #sentAtLastReport = 0;
  /** Highest sequence number in the peer's last report. */
  #reportedSequence = 0;
  /** Packets that it has asked for again since: repeated ones count as received, and hide what the path loses. */
  #requestedSinceReport = 0;
  #packetsReceived = 0;
  #octetsReceived = 0;
  #packetsRetransmitted = 0;
  #packetsRequested = 0;
  #closed = false;

  constructor(options: RtpSessionOptions, now: number) {
    this.#options = options;
    this.#cname = encode(options.cname);
    this.#send = new SendStream(options.ssrc, options.clockRate, encode(options.mid), options.random);
    if (options.transportNumbers) this.#send.header.transportSequence = 0;
    this.#history = options.nack ? new SendHistory() : null;
    const { red } = options;
    this.#red = red === undefined ? null : new RedSender(red.blockType, red.distance);
    this.#now = now;
    this.#reportAt = now + rtcpInterval(options.random, true);
  }

  /**
   * One authentic packet. Null when it is malformed; else its view, valid until the next call of this method of any
   * session.
   */
  handleRtp(buffer: Uint8Array, length: number, now: number): RtpPacket | null {
    this.#now = now;
    const packet = received;
    if (!packet.read(buffer, length)) {
      this.#faults['malformed-rtp']++;
      return null;
    }
    this.#packetsReceived++;
    this.#octetsReceived += packet.payloadLength;
    const { receive, missing } = this.#stream(packet.ssrc);
    const sequence = receive.handlePacket(packet.sequence, packet.timestamp, packet.payloadLength, now);
    if (this.#history !== null && sequence >= 0 && missing.handlePacket(sequence, now)) this.#nackAt = Math.min(this.#nackAt, missing.nextAt);
    if (this.#options.transportFeedback) this.#noteTransport(packet, now);
    return packet;
  }

  /** The frame of a lost packet came as redundancy in a later one: it need not be asked for. */
  handleRecovered(ssrc: number, sequence: number): void {
    this.#find(ssrc)?.missing.handleRecovered(sequence & 0xffff);
  }

  /** One authentic packet, compound or reduced-size. */
  handleRtcp(buffer: Uint8Array, length: number, now: number): void {
    this.#now = now;
    if (this.#closed) return;
    const packets = parseRtcp(buffer, length);
    if (!packets) this.#faults['malformed-rtcp']++;
    else for (const packet of packets) this.#handle(packet, now);
  }

  /**
   * Writes the next packet to the start of `out`, leaving what is behind it to SRTP. Returns its length.
   * @throws {RangeError} when `out` has no room for payload and header ({@link MAX_RTP_HEADER_LENGTH}).
   */
  writeRtp(out: Uint8Array, frame: RtpFrame, now: number): number {
    this.#now = now;
    const redundant = this.#red === null ? null : this.#red.pack(frame.payload, frame.timestamp);
    const payload = redundant ?? frame.payload;
    const payloadType = redundant === null ? frame.payloadType : this.#options.red!.payloadType;
    if (payload.length + MAX_RTP_HEADER_LENGTH > out.length) {
      throw new RangeError(`a payload of ${payload.length} bytes does not fit a buffer of ${out.length}`);
    }
    const header = this.#send.nextHeader(payloadType, frame.timestamp, frame.marker, frame.audioLevel ?? -1);
    const headerLength = writeRtpHeader(out, header, this.#options.extensions);
    out.set(payload, headerLength);
    const length = headerLength + payload.length;
    this.#history?.store(header.sequence, out, length);
    this.#send.handleSent(payload.length, now);
    return length;
  }

  handleTimeout(now: number): void {
    this.#now = now;
  }

  /** Says BYE. Nothing else comes out of `poll` afterwards. Idempotent. */
  close(now: number, reason = ''): void {
    this.#now = now;
    if (this.#closed) return;
    this.#closed = true;
    this.#outputs.length = 0;
    const end = this.#writeReport(now);
    const data = this.#rtcp.subarray(0, writeGoodbye(this.#rtcp, end, this.#options.ssrc, encode(reason)));
    this.#outputs.push({ type: 'rtcp', data });
  }

  poll(): RtpSessionOutput {
    if (this.#outputs.length > 0) return this.#outputs.shift()!;
    if (this.#closed) return this.#timeoutAt(Number.POSITIVE_INFINITY);
    if (this.#requested.length === 0) {
      // The usual case, once per packet: nothing is due.
      const at = this.#nextAt();
      if (this.#now < at) return this.#timeoutAt(at);
    }
    return (
      this.#pollRetransmission() ??
      this.#pollNack() ??
      this.#pollFeedback() ??
      this.#pollReport() ??
      this.#timeoutAt(this.#nextAt())
    );
  }

  /** Fraction lost of the peer's last report on what is sent (RFC 3550, section 6.4.1), 0 to 1; null before the first. */
  get remoteLoss(): number | null {
    return this.#send.remoteLoss;
  }

  stats(): RtpSessionStats {
    const latest = this.#latest?.receive;
    const toMs = (units: number): number => (units * 1000) / this.#options.clockRate;
    const { remoteJitter } = this.#send;
    return {
      rttMs: this.#send.rttMs,
      localLoss: latest?.lossInInterval ?? null,
      remoteLoss: this.#send.remoteLoss,
      jitterMs: latest ? toMs(latest.jitter) : null,
      remoteJitterMs: remoteJitter === null ? null : toMs(remoteJitter),
      packetsReceived: this.#packetsReceived,
      octetsReceived: this.#octetsReceived,
      packetsLost: latest?.cumulativeLost ?? 0,
      packetsSent: this.#send.packets,
      octetsSent: this.#send.octets,
      packetsRetransmitted: this.#packetsRetransmitted,
      packetsRequested: this.#packetsRequested,
      redundancy: this.#red?.distance ?? 0,
      faults: { ...this.#faults },
    };
  }

  #handle(packet: RtcpPacket, now: number): void {
    switch (packet.type) {
      case 'sender-report':
        this.#find(packet.ssrc)?.receive.handleSenderReport(packet.ntpSeconds, packet.ntpFraction, now);
        this.#handleReports(packet.reports, now);
        return;
      case 'receiver-report':
        this.#handleReports(packet.reports, now);
        return;
      case 'nack':
        if (packet.mediaSsrc === this.#options.ssrc) this.#request(packet.lost);
        return;
      case 'goodbye':
        for (const ssrc of packet.ssrcs) {
          this.#streams = this.#streams.filter(({ receive }) => receive.ssrc !== ssrc);
          this.#latest = this.#streams.at(-1) ?? null;
          this.#outputs.push({ type: 'bye', ssrc, reason: packet.reason });
        }
        return;
      case 'source-description':
      case 'transport-feedback':
      case 'ignored':
        return;
    }
  }

  #handleReports(reports: readonly ReportBlock[], now: number): void {
    for (const report of reports) {
      if (report.ssrc !== this.#options.ssrc) continue;
      this.#send.handleReport(report, now + this.#options.ntpEpochOffset);
      // A report on an interval in which nothing was sent says nothing of the path.
      const expected = (report.highestSequence - this.#reportedSequence) >>> 0;
      if (expected === 0) continue;
      this.#red?.handleLoss(Math.max(report.fractionLost / 256, this.#requestedSinceReport / expected));
      this.#reportedSequence = report.highestSequence;
      this.#requestedSinceReport = 0;
    }
  }

  #request(sequences: readonly number[]): void {
    if (!this.#history) return;
    this.#requestedSinceReport += sequences.length;
    for (const sequence of sequences) {
      if (!this.#history.has(sequence)) this.#faults['retransmission-unavailable']++;
      else if (this.#requested.length < MAX_REQUESTED) this.#requested.push(sequence);
    }
  }

  #pollRetransmission(): RtpSessionOutput | null {
    for (let sequence = this.#requested.shift(); sequence !== undefined; sequence = this.#requested.shift()) {
      const data = this.#history?.take(sequence, this.#now);
      if (data) {
        this.#packetsRetransmitted++;
        return { type: 'retransmit', data };
      }
      this.#faults['retransmission-unavailable']++;
    }
    return null;
  }

  #noteTransport(packet: RtpPacket, now: number): void {
    const { transportSequence } = this.#options.extensions;
    if (transportSequence === undefined) return;
    const at = packet.findExtension(transportSequence);
    if (at < 0 || packet.elementLength < 2) return;
    if (this.#transportLog.empty) this.#feedbackAt = now + TRANSPORT_FEEDBACK_INTERVAL_MS;
    this.#transportLog.note(readUint16(packet.buffer, at), now);
    this.#mediaSsrc = packet.ssrc;
  }

  #pollReport(): RtpSessionOutput | null {
    if (this.#now < this.#reportAt) return null;
    this.#reportAt = this.#now + rtcpInterval(this.#options.random, false);
    return { type: 'rtcp', data: this.#rtcp.subarray(0, this.#writeReport(this.#now)) };
  }

  #pollNack(): RtpSessionOutput | null {
    if (this.#now < this.#nackAt) return null;
    for (const { receive, missing } of this.#streams) {
      if (missing.nextAt > this.#now) continue;
      const lost = missing.take(this.#now, this.#send.rttMs);
      if (lost.length === 0) continue;
      this.#packetsRequested += lost.length;
      const nack = { senderSsrc: this.#options.ssrc, mediaSsrc: receive.ssrc, lost };
      return { type: 'rtcp', data: this.#rtcp.subarray(0, writeNack(this.#rtcp, this.#writePrefix(), nack)) };
    }
    this.#nackAt = Math.min(...this.#streams.map(({ missing }) => missing.nextAt));
    return null;
  }

  #pollFeedback(): RtpSessionOutput | null {
    if (this.#now < this.#feedbackAt) return null;
    this.#feedbackAt = Number.POSITIVE_INFINITY;
    const feedback = {
      senderSsrc: this.#options.ssrc,
      mediaSsrc: this.#mediaSsrc,
      feedbackCount: this.#feedbackCount++ & 0xff,
      arrivals: this.#transportLog.take(),
    };
    const start = this.#writePrefix();
    const end = writeTransportFeedback(this.#rtcp, start, feedback, MAX_RTCP_LENGTH - start);
    return { type: 'rtcp', data: this.#rtcp.subarray(0, end) };
  }

  /** What must come before feedback: a report and a name, unless reduced size was negotiated (RFC 5506). */
  #writePrefix(): number {
    if (this.#options.reducedSize) return 0;
    const end = writeReceiverReport(this.#rtcp, 0, { ssrc: this.#options.ssrc, reports: [] });
    return writeSourceDescription(this.#rtcp, end, this.#options.ssrc, this.#cname);
  }

  /** A sender report when something has been sent since the last report, else a receiver report; and the name. */
  #writeReport(now: number): number {
    const reports = this.#streams.filter(({ receive }) => receive.active).map(({ receive }) => receive.takeReportBlock(now));
    const sending = this.#send.packets !== this.#sentAtLastReport;
    this.#sentAtLastReport = this.#send.packets;
    const end = sending
      ? writeSenderReport(this.#rtcp, 0, {
          ...this.#send.senderReport(now, now + this.#options.ntpEpochOffset),
          reports,
        })
      : writeReceiverReport(this.#rtcp, 0, { ssrc: this.#options.ssrc, reports });
    return writeSourceDescription(this.#rtcp, end, this.#options.ssrc, this.#cname);
  }

  #timeoutAt(at: number): Timeout {
    this.#timeout.at = at;
    return this.#timeout;
  }

  #nextAt(): number {
    return Math.min(this.#reportAt, this.#feedbackAt, this.#nackAt);
  }

  #find(ssrc: number): RemoteStream | undefined {
    for (const stream of this.#streams) if (stream.receive.ssrc === ssrc) return stream;
    return undefined;
  }

  /** The stream of this SSRC, now the latest. The one that has been silent longest makes room for a new one. */
  #stream(ssrc: number): RemoteStream {
    const latest = this.#latest;
    if (latest?.receive.ssrc === ssrc) return latest;
    const stream = this.#find(ssrc) ?? {
      receive: new ReceiveStream(ssrc, this.#options.clockRate),
      missing: new MissingPackets(),
    };
    this.#streams = [...this.#streams.filter((other) => other !== stream), stream].slice(-MAX_STREAMS);
    this.#latest = stream;
    return stream;
  }
}

/** One for all sessions of the thread: it stays in the processor's cache. */
const received = new RtpPacket();

interface RemoteStream {
  readonly receive: ReceiveStream;
  readonly missing: MissingPackets;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
