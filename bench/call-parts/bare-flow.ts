import { randomFillSync } from 'node:crypto';
import type { UdpSocket, UdpSocketHandler } from '../../src/net/udp-socket.ts';
import { loadSrtpCiphers, RtpSession, SrtpReceiver, SrtpSender } from '../../src/webrtc/index.ts';
import { parseAddress, type TransportAddress } from '../../src/wire/address.ts';
import { bindingRequest } from '../relay-parts/binding-request.ts';
import type { OpenSocket } from '../support/core-end.ts';
import { CALLERS_KEYS, ECHO_KEYS } from './bare-keys.ts';
import { type Flow, FlowFigures } from './caller.ts';
import { STAMPED_FRAME_BYTES, writeStamp } from './stamp.ts';

const { ciphers } = loadSrtpCiphers();
const BUFFER_BYTES = 1500;
/** As often as a caller shows that it is still there. */
const CHECK_MS = 5000;

/**
 * The frames of a call without the call: RTP and SRTP as a {@link Caller} has them, under keys that are agreed beforehand,
 * through a relay to a `bare-echo`. The relay learns the way from a binding request, which nobody answers.
 */
export class BareFlow implements Flow, UdpSocketHandler {
  readonly figures = new FlowFigures();
  readonly #frame = { payload: new Uint8Array(STAMPED_FRAME_BYTES), payloadType: 111, timestamp: 0, marker: false };
  readonly #rtp: RtpSession;
  readonly #sender = new SrtpSender(CALLERS_KEYS, ciphers);
  readonly #receiver = new SrtpReceiver(ECHO_KEYS, ciphers);
  readonly #packet = new Uint8Array(BUFFER_BYTES);
  readonly #request: Uint8Array;
  readonly #relay: TransportAddress;
  #socket: UdpSocket | null = null;
  #nextCheck = 0;

  private constructor(relay: TransportAddress, ufrag: string, ssrc: number) {
    this.#relay = relay;
    this.#request = bindingRequest(`${ufrag}:bare`);
    this.#rtp = new RtpSession({ ...RTP, ssrc }, performance.now());
  }

  /** @param target `host:port/ufrag`: a relay, and the routing token of a `bare-echo` */
  static async open(target: string, ssrc: number, openSocket: OpenSocket): Promise<BareFlow> {
    const slash = target.indexOf('/');
    const flow = new BareFlow(parseAddress(target.slice(0, slash)), target.slice(slash + 1), ssrc);
    flow.#socket = await openSocket(flow);
    return flow;
  }

  sendFrame(now: number): void {
    writeStamp(this.#frame.payload, now);
    const length = this.#sender.protectRtp(this.#packet, this.#rtp.writeRtp(this.#packet, this.#frame, now));
    this.#frame.timestamp += 960;
    this.figures.countSent(now);
    this.#socket?.send(this.#packet.subarray(0, length), this.#relay);
    this.#socket?.flush();
  }

  tick(now: number): void {
    if (now < this.#nextCheck) return;
    this.#nextCheck = now + CHECK_MS;
    this.#socket?.send(this.#request, this.#relay);
    this.#socket?.flush();
  }

  datagram(data: Uint8Array): void {
    const length = this.#receiver.unprotectRtp(data, data.length);
    const packet = length < 0 ? null : this.#rtp.handleRtp(data, length, performance.now());
    if (packet !== null) this.figures.countReceived(data.subarray(packet.payloadOffset));
  }

  batchEnd(): void {
    // Nothing is answered.
  }

  async close(): Promise<void> {
    this.#sender.close();
    this.#receiver.close();
    await this.#socket?.close();
    this.#socket = null;
  }
}

/** As a call has it, but for RTCP, which nobody polls. */
const RTP = {
  random: randomFillSync,
  ntpEpochOffset: performance.timeOrigin,
  cname: 'bare',
  clockRate: 48_000,
  mid: '0',
  extensions: { mid: 1 },
  nack: true,
  transportFeedback: false,
  transportNumbers: false,
  reducedSize: true,
};
