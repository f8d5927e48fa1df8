import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import type { UdpSocket, UdpSocketHandler } from '../../src/net/udp-socket.ts';
import type { Session, SessionOutput } from '../../src/webrtc/index.ts';
import { parseAddress, type TransportAddress } from '../../src/wire/address.ts';
import { CoreEnd, makeOffer, type OpenSocket } from '../support/core-end.ts';
import { readStamp, STAMPED_FRAME_BYTES, writeStamp } from './stamp.ts';

/** What a flow of stamped frames measured. */
export class FlowFigures {
  sent = 0;
  /** Round trips in ms, in order of arrival. */
  roundTrips: number[] = [];
  #from = Number.POSITIVE_INFINITY;

  /** Frames sent from now on count, and no others. */
  restart(now: number): void {
    this.sent = 0;
    this.roundTrips = [];
    this.#from = now;
  }

  countSent(now: number): void {
    if (now >= this.#from) this.sent++;
  }

  countReceived(frame: Uint8Array): void {
    const sentAt = readStamp(frame);
    if (sentAt >= this.#from) this.roundTrips.push(performance.now() - sentAt);
  }
}

/** Something that sends one stamped frame per tick and gets it back. */
export interface Flow {
  readonly figures: FlowFigures;
  sendFrame(now: number): void;
  /** Timers that are due. */
  tick(now: number): void;
  close(): Promise<void>;
}

export interface PlaceOptions {
  /** HTTP headers of the offer. */
  readonly headers?: Readonly<Record<string, string>>;
  /** IPv4 address of the caller's socket. */
  readonly from?: string;
  /** Gives the socket instead of that. */
  readonly openSocket?: OpenSocket;
  /** Given the answer and its HTTP headers; returns the one to use. */
  readonly readAnswer?: (answer: string, headers: Headers) => string;
}

/** One echo call of Earshot's own client core. */
export class Caller implements Flow {
  readonly figures = new FlowFigures();
  /** Told of every frame that is heard, measured or not, and when. The payload is valid during the call only. */
  onHeard: (payload: Uint8Array, at: number) => void = () => undefined;
  /** Told why the call ended, if that was not by `close`. */
  onEnded: (reason: string) => void = () => undefined;
  /** From the POST of the offer to keys in place, ms. */
  setupMs = Number.NaN;
  readonly connected: Promise<void>;
  readonly #frame = new Uint8Array(STAMPED_FRAME_BYTES);
  readonly #end: CoreEnd;
  readonly #placedAt: number;
  #resolveConnected: () => void = () => {};
  #rejectConnected: (error: Error) => void = () => {};
  #mediaTime = 0;

  private constructor(session: Session, placedAt: number) {
    this.#end = new CoreEnd(session, (output) => this.#handle(output));
    this.#placedAt = placedAt;
    this.connected = new Promise((resolve, reject) => {
      this.#resolveConnected = resolve;
      this.#rejectConnected = reject;
    });
  }

  /** Posts an offer to `url` (`…/v1/realtime/calls`) and starts to connect. */
  static async place(url: string, options: PlaceOptions = {}): Promise<Caller> {
    const { headers = {}, from = '127.0.0.1', readAnswer = (answer: string) => answer } = options;
    const offerer = await makeOffer({ audio: true, data: false });
    const placedAt = performance.now();
    const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/sdp', ...headers }, body: offerer.offer });
    const answer = await response.text();
    if (!response.ok) throw new Error(`the server answered ${response.status}: ${answer}`);
    const caller = new Caller(offerer.accept(readAnswer(answer, response.headers), performance.now()), placedAt);
    await caller.#end.open(options.openSocket ?? ((handler) => openUdpSocket({ address: parseAddress(`${from}:0`), handler })));
    return caller;
  }

  /** The candidate that is sent to; null before one has answered. */
  get selected(): TransportAddress | null {
    return this.#end.session.selected;
  }

  sendFrame(now: number): void {
    writeStamp(this.#frame, now);
    this.#end.session.sendAudio(this.#frame, this.#mediaTime, false, now);
    this.#mediaTime += 960;
    this.figures.countSent(now);
    this.#end.drain();
  }

  tick(now: number): void {
    this.#end.tick(now);
  }

  async close(): Promise<void> {
    await this.#end.close();
  }

  #handle(output: SessionOutput): void {
    if (output.type === 'audio') {
      this.onHeard(output.payload, performance.now());
      this.figures.countReceived(output.payload);
    } else if (output.type === 'connected') {
      this.setupMs = performance.now() - this.#placedAt;
      this.#resolveConnected();
    } else if (output.type === 'closed') {
      this.#rejectConnected(new Error(`the call ended: ${output.reason}`));
      this.onEnded(output.reason);
    }
  }
}

/** The same frames over plain UDP to an echo server: what the machine itself takes. */
export class PlainFlow implements Flow, UdpSocketHandler {
  readonly figures = new FlowFigures();
  readonly #frame = new Uint8Array(STAMPED_FRAME_BYTES);
  readonly #target: TransportAddress;
  #socket: UdpSocket | null = null;

  private constructor(target: TransportAddress) {
    this.#target = target;
  }

  static async open(target: TransportAddress, openSocket: OpenSocket): Promise<PlainFlow> {
    const flow = new PlainFlow(target);
    flow.#socket = await openSocket(flow);
    return flow;
  }

  sendFrame(now: number): void {
    writeStamp(this.#frame, now);
    this.#socket?.send(this.#frame, this.#target);
    this.#socket?.flush();
    this.figures.countSent(now);
  }

  tick(): void {
    // Nothing has a deadline.
  }

  datagram(data: Uint8Array): void {
    this.figures.countReceived(data);
  }

  batchEnd(): void {
    // Nothing is answered.
  }

  async close(): Promise<void> {
    await this.#socket?.close();
    this.#socket = null;
  }
}
