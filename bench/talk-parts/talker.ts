import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import type { UdpSocket, UdpSocketHandler } from '../../src/net/udp-socket.ts';
import type { RedDistance, Session, SessionOutput } from '../../src/webrtc/index.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { seededRandom } from '../../test/support/random.ts';
import { CoreEnd, makeOffer, type OpenSocket } from '../support/core-end.ts';
import { ImpairedPath, type Impairment } from './impairment.ts';

export interface TalkerOptions {
  /** `…/v1/realtime/calls` */
  readonly url: string;
  readonly agent: string;
  readonly impairment: Impairment;
  readonly seed: number;
  /** Redundancy that the caller sends; null to offer none. */
  readonly redundancy: RedDistance | null;
  /** Gives the socket instead of one of its own. */
  readonly openSocket?: OpenSocket;
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

/** A caller of Earshot's own client core behind an impaired path: says one frame per tick, and tells what it hears. */
export class Talker {
  onHeard: (frame: HeardFrame) => void = () => undefined;
  onEvent: (event: { readonly type: string; readonly [field: string]: unknown }) => void = () => undefined;
  readonly connected: Promise<void>;
  readonly #end: CoreEnd;
  readonly #out: ImpairedPath;
  readonly #in: ImpairedPath;
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};
  readonly #open: OpenSocket;
  #mediaTime = 0;
  #channel: number | null = null;

  private constructor(session: Session, { impairment, seed, openSocket }: TalkerOptions) {
    this.#open = openSocket ?? ((handler) => openUdpSocket({ address: parseAddress('127.0.0.1:0'), handler }));
    this.#end = new CoreEnd(session, (output) => this.#handle(output));
    this.#out = new ImpairedPath(impairment, seededRandom(seed));
    this.#in = new ImpairedPath(impairment, seededRandom(seed + 1));
    this.connected = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Resolves when the call is up; its path is impaired from then on. */
  static async call(options: TalkerOptions): Promise<Talker> {
    const redundancy = options.redundancy === null ? {} : { redundancy: options.redundancy };
    const offerer = await makeOffer({ audio: true, data: true, ...redundancy });
    const body = new FormData();
    body.set('sdp', offerer.offer);
    body.set('session', JSON.stringify({ type: 'realtime', model: options.agent }));
    const response = await fetch(options.url, { method: 'POST', body });
    const answer = await response.text();
    if (!response.ok) throw new Error(`the server answered ${response.status}: ${answer}`);
    const talker = new Talker(offerer.accept(answer, performance.now()), options);
    await talker.#end.open((handler) => talker.#openSocket(handler));
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
    return this.#end.session.stats()!;
  }

  say(frame: Uint8Array, now: number): void {
    this.#end.session.sendAudio(frame, this.#mediaTime, false, now);
    this.#mediaTime += 960;
    this.#end.drain();
  }

  /** Sends a client event; lost when the data channel is not open yet. */
  sendEvent(event: { readonly type: string; readonly [field: string]: unknown }): void {
    if (this.#channel !== null) this.#end.session.sendMessage(this.#channel, JSON.stringify(event), performance.now());
    this.#end.drain();
  }

  /** Timers that are due. */
  tick(now: number): void {
    this.#end.tick(now);
  }

  async close(): Promise<void> {
    this.#out.active = false;
    await this.#end.close();
  }

  #handle(output: Exclude<SessionOutput, { type: 'timeout' | 'transmit' }>): void {
    if (output.type === 'audio') this.onHeard({ payload: output.payload, timestamp: output.timestamp, at: performance.now() });
    else if (output.type === 'message') this.onEvent(JSON.parse(String(output.data)) as { type: string });
    else if (output.type === 'connected') {
      this.#channel = this.#end.session.openChannel({ label: 'oai-events' }, performance.now());
      this.#resolve();
    } else if (output.type === 'closed') this.#reject(new Error(`the call ended: ${output.reason}`));
  }

  /** A socket with the impaired path between it and the call. */
  async #openSocket(handler: UdpSocketHandler): Promise<UdpSocket> {
    const socket = await this.#open({
      datagram: (data, from) => this.#in.pass(data, (packet) => handler.datagram(packet, from)),
      batchEnd: () => handler.batchEnd(),
    });
    let isOpen = true;
    return {
      address: socket.address,
      counters: socket.counters,
      send: (data, to) =>
        this.#out.pass(data, (packet) => {
          // What is still on its way goes nowhere once the call is over.
          if (!isOpen) return;
          socket.send(packet, to);
          socket.flush();
        }),
      flush: () => socket.flush(),
      close: () => {
        isOpen = false;
        return socket.close();
      },
    };
  }
}
