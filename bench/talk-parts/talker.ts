import { randomFillSync } from 'node:crypto';
import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import type { UdpSocket, UdpSocketHandler } from '../../src/net/udp-socket.ts';
import { DtlsCertificate, loadSrtpCiphers, Offerer, type RedDistance, type Session } from '../../src/webrtc/index.ts';
import { parseAddress, type TransportAddress } from '../../src/wire/address.ts';
import { ImpairedPath, type Impairment } from './impairment.ts';
import { seededRandom } from '../../test/support/random.ts';

export interface TalkerOptions {
  /** `…/v1/realtime/calls` */
  readonly url: string;
  readonly agent: string;
  readonly impairment: Impairment;
  readonly seed: number;
  /** Redundancy that the caller sends; null to offer none. */
  readonly redundancy: RedDistance | null;
}

/** One frame that reached the caller's ear. The payload is valid during the call only. */
export interface HeardFrame {
  readonly payload: Uint8Array;
  /** 1/48,000 s, extended. */
  readonly timestamp: number;
  readonly at: number;
}

/** How often timers are looked at while a call is set up. */
const TIMERS_MS = 20;

const ciphers = loadSrtpCiphers().ciphers;
const certificate = DtlsCertificate.generate();

/** A caller of Earshot's own client core behind an impaired path: says one frame per tick, and tells what it hears. */
export class Talker implements UdpSocketHandler {
  onHeard: (frame: HeardFrame) => void = () => undefined;
  onEvent: (event: { readonly type: string; readonly [field: string]: unknown }) => void = () => undefined;
  readonly connected: Promise<void>;
  readonly #session: Session;
  readonly #out: ImpairedPath;
  readonly #in: ImpairedPath;
  #socket: UdpSocket | null = null;
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};
  #mediaTime = 0;
  #deadline = 0;
  #channel: number | null = null;

  private constructor(session: Session, { impairment, seed }: TalkerOptions) {
    this.#session = session;
    this.#out = new ImpairedPath(impairment, seededRandom(seed));
    this.#in = new ImpairedPath(impairment, seededRandom(seed + 1));
    this.connected = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Resolves when the call is up; its path is impaired from then on. */
  static async call(options: TalkerOptions): Promise<Talker> {
    const offerer = new Offerer({
      certificate: await certificate,
      audio: true,
      data: true,
      ciphers,
      random: randomFillSync,
      ntpEpochOffset: performance.timeOrigin,
      ...(options.redundancy === null ? {} : { redundancy: options.redundancy }),
    });
    const body = new FormData();
    body.set('sdp', offerer.offer);
    body.set('session', JSON.stringify({ type: 'realtime', model: options.agent }));
    const response = await fetch(options.url, { method: 'POST', body });
    const answer = await response.text();
    if (!response.ok) throw new Error(`the server answered ${response.status}: ${answer}`);
    const talker = new Talker(offerer.accept(answer, performance.now()), options);
    talker.#socket = await openUdpSocket({ address: parseAddress('127.0.0.1:0'), handler: talker });
    talker.#drain();
    const timer = setInterval(() => talker.tick(performance.now()), TIMERS_MS);
    await talker.connected.finally(() => clearInterval(timer));
    talker.#out.active = true;
    talker.#in.active = true;
    return talker;
  }

  /** Packets that the path has lost so far, there and back. */
  get lost(): { readonly out: number; readonly in: number } {
    return { out: this.#out.lost, in: this.#in.lost };
  }

  get stats(): NonNullable<ReturnType<Session['stats']>> {
    return this.#session.stats()!;
  }

  say(frame: Uint8Array, now: number): void {
    this.#session.sendAudio(frame, this.#mediaTime, false, now);
    this.#mediaTime += 960;
    this.#drain();
  }

  /** Sends a client event; lost when the data channel is not open yet. */
  sendEvent(event: { readonly type: string; readonly [field: string]: unknown }): void {
    if (this.#channel !== null) this.#session.sendMessage(this.#channel, JSON.stringify(event), performance.now());
    this.#drain();
  }

  /** Timers that are due. */
  tick(now: number): void {
    if (now < this.#deadline) return;
    this.#session.handleTimeout(now);
    this.#drain();
  }

  datagram(data: Uint8Array, from: TransportAddress): void {
    this.#in.pass(data, (packet) => {
      this.#session.handleDatagram(packet, from, performance.now());
      this.#drain();
    });
  }

  batchEnd(): void {
    this.#socket?.flush();
  }

  async close(): Promise<void> {
    this.#out.active = false;
    this.#session.close(performance.now());
    this.#drain();
    this.#session.dispose();
    await this.#socket?.close();
    this.#socket = null;
  }

  #drain(): void {
    for (;;) {
      const output = this.#session.poll();
      if (output.type === 'timeout') {
        this.#deadline = output.at;
        break;
      }
      if (output.type === 'transmit') this.#send(output.data, output.to);
      else if (output.type === 'audio') this.onHeard({ payload: output.payload, timestamp: output.timestamp, at: performance.now() });
      else if (output.type === 'message') this.onEvent(JSON.parse(String(output.data)) as { type: string });
      else if (output.type === 'connected') {
        this.#channel = this.#session.openChannel({ label: 'oai-events' }, performance.now());
        this.#resolve();
      } else if (output.type === 'closed') this.#reject(new Error(`the call ended: ${output.reason}`));
    }
    this.#socket?.flush();
  }

  #send(data: Uint8Array, to: TransportAddress): void {
    this.#out.pass(data, (packet) => {
      this.#socket?.send(packet, to);
      this.#socket?.flush();
    });
  }
}
