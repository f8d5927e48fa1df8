import type { TransportAddress } from '../../wire/address.ts';
import { DataChannels, type OpenChannelOptions } from '../datachannel/data-channels.ts';
import { DtlsEndpoint, type DtlsConnected, type DtlsEndpointOptions, type DtlsSendKeys } from '../dtls/endpoint.ts';
import { EarlyRecords } from '../dtls/early-records.ts';
import { IceClientAgent } from '../ice/client-agent.ts';
import type { IceCredentials } from '../ice/credentials.ts';
import type { IceLiteAgent } from '../ice/lite-agent.ts';
import type { RandomSource } from '../machine.ts';
import { ReceivedFrames } from '../rtp/received-frames.ts';
import { isRtcp } from '../rtp/rtcp.ts';
import { RtpSession } from '../rtp/rtp-session.ts';
import type { SrtpCiphers } from '../srtp/ciphers.ts';
import { SrtpReceiver } from '../srtp/srtp-receiver.ts';
import { SrtpSender } from '../srtp/srtp-sender.ts';
import { DtlsInStun } from './dtls-in-stun.ts';
import { PacketQueue } from './packet-queue.ts';
import { audioOutput, frameToSend, timeoutOutput, transmit } from './reused-outputs.ts';
import { SecondCopies } from './second-copies.ts';
import { ICE_FAILURES, type SessionCloseReason, type SessionDataOptions, type SessionDropReason } from './session-types.ts';
import type { SessionOptions, SessionOutput, SessionStats } from './session-types.ts';

/**
 * One WebRTC session: ICE, DTLS, SRTP, RTP and data channels over one 5-tuple (RFC 8843 BUNDLE), sans-IO.
 *
 *            handleDatagram                                     poll
 *   bytes ──► first byte (RFC 7983) ┬─ STUN ──► ice  ─────────► transmit, state
 *                                   ├─ DTLS ──► dtls ─► sctp ──► transmit, channel, message
 *                                   └─ SRTP ──► srtp ─► rtp  ──► audio
 *
 * Datagrams other than STUN are read only from addresses that ICE has validated. DTLS may come inside of STUN as well.
 *
 * A DTLS 1.3 server may send half a round trip after the ClientHello (`dtls.earlySending`): `ready-to-send` then comes
 * before `connected`. Media that comes before `connected` waits until the peer is known to be who the offer named.
 */
export class Session {
  readonly #ice: IceLiteAgent | IceClientAgent;
  /** The same, where it is one that checks. */
  readonly #client: IceClientAgent | null;
  readonly #dtlsOptions: Omit<DtlsEndpointOptions, 'now' | 'mtu'>;
  readonly #dtlsInStun: DtlsInStun | null;
  readonly #rtp: RtpSession | null;
  readonly #dataOptions: SessionDataOptions | null;
  readonly #ciphers: SrtpCiphers;
  readonly #random: RandomSource;
  #dtls: DtlsEndpoint | null = null;
  #channels: DataChannels | null = null;
  #srtpIn: SrtpReceiver | null = null;
  #srtpOut: SrtpSender | null = null;
  #selected: TransportAddress | null = null;
  /** Keys to send early with, and when: see {@link FIRST_ANSWER_HOLD}. */
  #held: { readonly keys: DtlsSendKeys; readonly until: number } | null = null;
  /** `ready-to-send` has been told. */
  #ready = false;
  /** A flight could not be sent for want of a path. */
  #flightWaits = false;
  /** When the first check was answered; null when DTLS has come since, which only a client that has the answer sends. */
  #answeredAt: number | null = null;
  /** What is known of the path before anything over it has measured it, ms: it takes so long, or less. */
  #roundTrip: number | null = null;
  /** Bytes that may yet be sent to a peer that has not proven who it is. */
  #earlyBudget = EARLY_BUDGET;
  /** Media that came before the keys to read it may be used. */
  readonly #earlyMedia = new EarlyRecords();
  /** The same when they may: what of it is still to be read. */
  #heldMedia: Uint8Array[] = [];
  #closeReason: SessionCloseReason | null = null;

  /** Of what leaves while the call comes up; null when it is up. */
  #copies: SecondCopies | null = new SecondCopies();

  /** What waits to be polled, in the order in which it comes out. */
  readonly #events: SessionOutput[] = [];
  /** Frames of the packet that came last; null without an audio section. */
  readonly #frames: ReceivedFrames | null;
  /** Protected packets that wait to be polled. */
  readonly #outgoing = new PacketQueue();
  readonly #payloadType: number;

  /** Deadlines of the machines below as of their last poll; a machine is polled again only after it was touched. */
  #iceTouched = true;
  #dtlsTouched = false;
  #channelsTouched = false;
  #rtpTouched = true;
  #iceAt = Number.NEGATIVE_INFINITY;
  #dtlsAt = Infinity;
  #channelsAt = Infinity;
  #rtpAt = Infinity;
  #now = Number.NaN;

  readonly counters: Record<SessionDropReason, number> = {
    empty: 0, 'unknown-kind': 0, 'unvalidated-source': 0, 'no-keys': 0, 'early-media-full': 0,
    'no-audio': 0, 'payload-type': 0,
  };

  constructor(options: SessionOptions) {
    this.#ice = options.ice;
    this.#client = options.ice instanceof IceClientAgent ? options.ice : null;
    this.#dtlsOptions = options.dtls;
    this.#dataOptions = options.data;
    this.#ciphers = options.ciphers;
    this.#random = options.random;
    this.#now = options.now;
    this.#rtp = options.audio ? new RtpSession(options.audio, options.now) : null;
    this.#frames = options.audio && new ReceivedFrames(options.audio.payloadType, options.audio.red?.payloadType ?? null);
    this.#payloadType = options.audio?.payloadType ?? 0;
    this.#dtlsInStun = options.dtlsInStun
      ? new DtlsInStun({ checks: this.#client !== null, open: () => this.#openDtls() })
      : null;
    this.#ice.cargo = this.#dtlsInStun;
    // A server waits for the ClientHello; a client speaks first, as soon as there is a way to.
    if (options.dtls.role === 'server') this.#openDtls();
  }

  /** The address that is sent to; null before ICE has found one. */
  get selected(): TransportAddress | null {
    return this.#selected;
  }

  /** Share of our audio that the peer last reported lost, 0 to 1; null before its first report. */
  get remoteLoss(): number | null {
    return this.#rtp?.remoteLoss ?? null;
  }

  get closed(): boolean {
    return this.#closeReason !== null;
  }

  /**
   * One datagram from the peer. SRTP is decrypted in place: `data` is changed.
   * @returns true when the datagram authenticated (STUN integrity, DTLS record or SRTP tag): only then may the way it
   * came be used for answers.
   */
  handleDatagram(data: Uint8Array, from: TransportAddress, now: number): boolean {
    this.#now = now;
    const first = data[0];
    if (first === undefined) return this.#drop('empty');
    if (first < 4) {
      this.#iceTouched = true;
      return this.#ice.handleStun(data, from, now);
    }
    if (this.#closeReason !== null) return false;
    // The selected address is one that ICE accepts, and nearly always the very object that was given with its check.
    if (from !== this.#selected && !this.#ice.accepts(from)) return this.#drop('unvalidated-source');
    if (first >= 128 && first < 192) return this.#handleMedia(data, now);
    if (first >= 20 && first < 64) {
      if (!this.#dtls) return this.#drop('no-keys');
      this.#dtlsTouched = true;
      if (this.#answeredAt !== null) {
        this.#roundTrip = now - this.#answeredAt;
        this.#dtls.longestRoundTripTime = this.#roundTrip;
        this.#answeredAt = null;
      }
      this.#dtlsInStun?.arrived(data);
      return this.#dtls.handleDatagram(data, now);
    }
    return this.#drop('unknown-kind');
  }

  /** To be called when the time of the last polled timeout has come; calling it early is harmless. */
  handleTimeout(now: number): void {
    this.#now = now;
    if (this.#iceAt <= now) {
      this.#ice.handleTimeout(now);
      this.#iceTouched = true;
    }
    if (this.#dtlsAt <= now && this.#dtls && this.#selected) {
      this.#dtls.handleTimeout(now);
      this.#dtlsTouched = true;
    }
    if (this.#channelsAt <= now && this.#channels) {
      this.#channels.handleTimeout(now);
      this.#channelsTouched = true;
    }
    if (this.#rtpAt <= now && this.#rtp) {
      this.#rtp.handleTimeout(now);
      this.#rtpTouched = true;
    }
    if (this.#held && this.#held.until <= now) {
      this.#startSending(this.#held.keys.srtp);
      this.#events.push({ type: 'ready-to-send' });
    }
  }

  /**
   * Sends one RTP packet with `payload`; `timestamp` counts samples of 1/48,000 s from any start.
   * Before keys are in place, or without an audio section, nothing is sent.
   */
  sendAudio(payload: Uint8Array, timestamp: number, marker: boolean, now: number): void {
    if (!this.#srtpOut || !this.#rtp || this.#closeReason !== null) return;
    this.#now = now;
    frameToSend.payload = payload;
    frameToSend.payloadType = this.#payloadType;
    frameToSend.timestamp = timestamp;
    frameToSend.marker = marker;
    const buffer = this.#outgoing.reserve();
    const length = this.#rtp.writeRtp(buffer, frameToSend, now);
    this.#outgoing.commit(this.#srtpOut.protectRtp(buffer, length));
  }

  /** Opens a data channel and returns its id. Null before DTLS is up or without a data section. */
  openChannel(options: OpenChannelOptions, now: number): number | null {
    if (!this.#channels) return null;
    this.#now = now;
    this.#channelsTouched = true;
    return this.#channels.open(options, now);
  }

  /**
   * Sends on a channel; nothing happens on one that is closed or closing.
   * @throws {RangeError} when the message is larger than the peer takes.
   */
  sendMessage(channelId: number, data: string | Uint8Array, now: number): void {
    if (!this.#channels?.isOpen(channelId) || this.#closeReason !== null) return;
    this.#now = now;
    this.#channelsTouched = true;
    this.#channels.send(channelId, data, now);
  }

  /** Bytes that wait on a channel for their first transmission. */
  bufferedAmount(channelId: number): number {
    return this.#channels?.bufferedAmount(channelId) ?? 0;
  }

  /** Takes new credentials of both sides (RFC 8445, section 9); media goes on over the old pair meanwhile. */
  restartIce(local: IceCredentials, remote: IceCredentials, now: number): void {
    this.#now = now;
    this.#ice.restart(local, remote, now);
    this.#iceTouched = true;
  }

  /** Says goodbye (RTCP BYE, DTLS close_notify) and ends. Idempotent. */
  close(now: number): void {
    if (this.#closeReason !== null) return;
    this.#now = now;
    this.#rtp?.close(now);
    this.#rtpTouched = true;
    while (this.#rtpTouched && this.#rtp) this.#pollRtp();
    this.#dtls?.close(now);
    this.#dtlsTouched = this.#dtls !== null;
    this.#end('closed-locally');
  }

  /** Frees native memory (cipher contexts). The session is unusable afterwards. Idempotent. */
  dispose(): void {
    this.#srtpIn?.close();
    this.#srtpOut?.close();
    this.#srtpIn = null;
    this.#srtpOut = null;
  }

  /** Null without an audio section. */
  stats(): SessionStats | null {
    if (!this.#rtp || !this.#frames) return null;
    return { ...this.#rtp.stats(), packetsRedundant: this.#frames.redundant, framesRecovered: this.#frames.recovered };
  }

  /** A picture of all machines for debugging: no keys, no addresses. */
  dump(): object {
    return {
      closeReason: this.#closeReason,
      drops: { ...this.counters },
      ice: this.#ice.dump(),
      dtls: this.#dtls?.dump() ?? null,
      dtlsInStun: this.#dtlsInStun?.dump() ?? null,
      srtp: { in: this.#srtpIn?.counters ?? null, out: this.#srtpOut?.counters ?? null },
      channels: this.#channels?.dump() ?? null,
      rtp: this.stats(),
    };
  }

  /** The output is valid until the next poll of any session of the thread. */
  poll(): SessionOutput {
    this.#outgoing.release();
    for (;;) {
      const ready = this.#nextReady();
      if (ready) return ready;
      const output =
        (this.#iceTouched && this.#pollIce()) ||
        (this.#dtlsTouched && this.#pollDtls()) ||
        (this.#channelsTouched && this.#pollChannels()) ||
        (this.#rtpTouched && this.#pollRtp());
      if (output) {
        if (output.type === 'transmit') this.#copies?.keep(output.data, this.#now);
        return output;
      }
      if (this.#iceTouched || this.#dtlsTouched || this.#channelsTouched || this.#rtpTouched) continue;
      if (this.#events.length > 0 || this.#outgoing.length > 0) continue;
      const copy = this.#copies?.poll(this.#now);
      if (copy) {
        if (this.#selected && this.#closeReason === null && this.#dtlsInStun?.allowsMore(copy.length) !== false) return transmit(copy, this.#selected);
        continue;
      }
      if (this.#copies?.isOver(this.#now)) this.#copies = null;
      if (this.#heldMedia.length > 0) {
        this.#handleMedia(this.#heldMedia.shift()!, this.#now);
        continue;
      }
      timeoutOutput.at = Math.min(this.#iceAt, this.#selected ? this.#dtlsAt : Infinity, this.#channelsAt, this.#rtpAt, this.#held?.until ?? Infinity, this.#copies?.at ?? Infinity);
      return timeoutOutput;
    }
  }

  #nextReady(): SessionOutput | null {
    const audio = this.#nextAudio();
    if (audio) return audio;
    if (this.#outgoing.length > 0) {
      const data = this.#outgoing.shift();
      if (this.#selected && data.length > 0 && this.#allowsEarly(data.length)) return transmit(data, this.#selected);
    }
    return this.#events.length > 0 ? this.#events.shift()! : null;
  }

  #handleMedia(data: Uint8Array, now: number): boolean {
    if (!this.#rtp) return this.#drop('no-audio');
    if (!this.#srtpIn) {
      if (this.#dtls?.state !== 'handshaking') return this.#drop('no-keys');
      return this.#earlyMedia.keep(data) ? false : this.#drop('early-media-full');
    }
    if (isRtcp(data)) {
      const length = this.#srtpIn.unprotectRtcp(data, data.length);
      if (length < 0) return false;
      this.#rtp.handleRtcp(data, length, now);
      this.#rtpTouched = true;
      return true;
    }
    const length = this.#srtpIn.unprotectRtp(data, data.length);
    if (length < 0) return false;
    if (this.#client?.handleMedia(now)) this.#iceTouched = true;
    const packet = this.#rtp.handleRtp(data, length, now);
    this.#rtpTouched = true;
    if (!packet || !this.#frames!.handle(packet)) this.#drop('payload-type');
    return true;
  }

  #nextAudio(): SessionOutput | null {
    const frames = this.#frames;
    const frame = frames?.poll();
    if (!frames || !frame) return null;
    if (frames.fromRedundancy) this.#rtp?.handleRecovered(frames.ssrc, frame.sequence);
    audioOutput.payload = frame.payload;
    audioOutput.sequence = frame.sequence;
    audioOutput.timestamp = frame.timestamp;
    audioOutput.marker = frame.marker;
    return audioOutput;
  }

  #pollIce(): SessionOutput | null {
    const output = this.#ice.poll();
    switch (output.type) {
      case 'transmit':
        return transmit(output.data, output.to);
      case 'selected': {
        const first = this.#selected === null;
        this.#selected = output.address;
        if (!first) return null;
        if (!this.#client) this.#answeredAt = this.#now;
        const dtls = this.#openDtls();
        if (this.#flightWaits && dtls.state === 'handshaking') dtls.sendFlightNow(this.#now);
        return { type: 'ice-connected' };
      }
      case 'state':
        if (output.state === 'failed') this.#end(ICE_FAILURES[output.reason]);
        return null;
      case 'timeout':
        this.#iceTouched = false;
        this.#iceAt = output.at;
        for (const data of this.#dtlsInStun?.takeRest() ?? []) this.#events.push({ type: 'transmit', data, to: this.#selected! });
        return null;
    }
  }

  #pollDtls(): SessionOutput | null {
    const output = this.#dtls!.poll();
    switch (output.type) {
      case 'transmit':
        if (!this.#selected) {
          this.#flightWaits = true;
          return null;
        }
        if (output.flight && this.#dtlsInStun && !this.#dtlsInStun.sendsDirectly(output.data)) return null;
        return transmit(output.data, this.#selected);
      case 'send-keys':
        if (this.#rtp && !output.srtp) return null;
        if (this.#dtlsInStun?.inFirstAnswer) {
          this.#held = { keys: output, until: this.#now + FIRST_ANSWER_HOLD };
          return null;
        }
        this.#startSending(output.srtp);
        return { type: 'ready-to-send' };
      case 'connected':
        return this.#connected(output);
      case 'data':
        if (this.#channels) {
          this.#channels.handlePacket(output.data, this.#now);
          this.#channelsTouched = true;
        }
        return null;
      case 'closed':
        this.#end(output.reason === 'peer-close' ? 'closed-by-peer' : 'dtls-failed');
        return null;
      case 'timeout':
        this.#dtlsTouched = false;
        this.#dtlsAt = output.at;
        return null;
    }
  }

  #pollChannels(): SessionOutput | null {
    const output = this.#channels!.poll();
    switch (output.type) {
      case 'transmit':
        if (this.#closeReason === null && this.#allowsEarly(output.data.length)) {
          this.#dtls!.send(output.data, this.#now);
          this.#dtlsTouched = true;
        }
        return null;
      case 'channel':
        return { type: 'channel', channel: output.channel };
      case 'message':
        return output;
      case 'channel-closed':
        return output;
      case 'buffered-low':
      case 'closed':
        return null;
      case 'timeout':
        this.#channelsTouched = false;
        this.#channelsAt = output.at;
        return null;
    }
  }

  #pollRtp(): SessionOutput | null {
    if (!this.#rtp) {
      this.#rtpTouched = false;
      return null;
    }
    const output = this.#rtp.poll();
    switch (output.type) {
      case 'rtcp':
        this.#protect(output.data, 'protectRtcp');
        return null;
      case 'retransmit':
        this.#protect(output.data, 'repeatRtp');
        return null;
      case 'bye':
        return null;
      case 'timeout':
        this.#rtpTouched = false;
        this.#rtpAt = output.at;
        return null;
    }
  }

  #openDtls(): DtlsEndpoint {
    this.#dtlsTouched = true;
    const mtu = this.#dtlsInStun ? { mtu: this.#dtlsInStun.mtu } : {};
    return (this.#dtls ??= new DtlsEndpoint({ ...this.#dtlsOptions, ...mtu, now: this.#now }));
  }

  #connected({ version, srtp }: DtlsConnected): SessionOutput | null {
    if (this.#rtp && !srtp) {
      this.#dtls!.close(this.#now);
      this.#end('no-srtp-profile');
      return null;
    }
    const wasReady = this.#ready;
    this.#roundTrip = this.#dtls!.measuredRoundTrip ?? this.#roundTrip;
    if (!wasReady) this.#startSending(srtp);
    else this.#channels?.hurry(this.#roundTrip, this.#now + ACKNOWLEDGEMENT_SLACK);
    this.#channelsTouched = this.#channels !== null;
    this.#earlyBudget = Infinity;
    if (srtp) {
      const { profile, remoteKey, remoteSalt } = srtp;
      this.#srtpIn = new SrtpReceiver({ profile, masterKey: remoteKey, masterSalt: remoteSalt }, this.#ciphers);
      this.#heldMedia = this.#earlyMedia.take();
    }
    this.#copies?.connected(this.#now);
    const dtlsInStun = this.#dtlsInStun?.used ?? false;
    const connected: SessionOutput = { type: 'connected', dtlsVersion: version, srtpProfile: srtp?.profile ?? null, dtlsInStun };
    if (wasReady) return connected;
    this.#events.push(connected);
    return { type: 'ready-to-send' };
  }

  #startSending(keys: DtlsSendKeys['srtp']): void {
    this.#ready = true;
    this.#held = null;
    if (keys) {
      const { profile, localKey, localSalt } = keys;
      this.#srtpOut = new SrtpSender({ profile, masterKey: localKey, masterSalt: localSalt }, this.#ciphers);
    }
    this.#startChannels();
  }

  /** Whether this much may go to a peer of which nothing is proven but that it knows our ICE password. */
  #allowsEarly(bytes: number): boolean {
    if (this.#earlyBudget === Infinity) return true;
    this.#earlyBudget -= bytes;
    return this.#earlyBudget >= 0;
  }

  #startChannels(): void {
    if (!this.#dataOptions) return;
    this.#channels = new DataChannels({
      ...this.#dataOptions,
      role: this.#dtlsOptions.role === 'client' ? 'dtls-client' : 'dtls-server',
      roundTripTime: this.#roundTrip,
      random: this.#random,
      now: this.#now,
    });
    for (const channel of this.#dataOptions.channels) this.#channels.open(channel, this.#now);
    // The client sends an INIT as well. Ours, half a round trip earlier, saves a round trip, and two make up for what is lost.
    this.#channels.connect(this.#now);
    this.#channelsTouched = true;
  }

  /** Queues a copy of a plain packet, protected. */
  #protect(packet: Uint8Array, method: 'protectRtcp' | 'repeatRtp'): void {
    if (!this.#srtpOut) return;
    const buffer = this.#outgoing.reserve();
    buffer.set(packet);
    this.#outgoing.commit(this.#srtpOut[method](buffer, packet.length));
  }

  #end(reason: SessionCloseReason): void {
    if (this.#closeReason !== null) return;
    this.#closeReason = reason;
    this.#ice.cargo = null;
    this.#held = null;
    this.#events.push({ type: 'closed', reason });
  }

  #drop(reason: SessionDropReason): false {
    this.counters[reason]++;
    return false;
  }
}

/**
 * Bytes of media and data that leave before the peer has proven who it is, and with that, that it receives them: some four
 * seconds of speech. What is over is not sent.
 */
const EARLY_BUDGET = 16_384;
/**
 * Milliseconds after the client's last flight by which it has acknowledged the data that came before it. It drops data that
 * overtake our flight, and the time-outs of SCTP know nothing of the path yet.
 */
const ACKNOWLEDGEMENT_SLACK = 20;
/**
 * What is sent early keeps this distance from a flight that leaves with the first answer of all, ms: Chromium, which may send
 * only when it has read that answer, forgets its own flight when data under our keys come in the same go.
 */
const FIRST_ANSWER_HOLD = 10;
