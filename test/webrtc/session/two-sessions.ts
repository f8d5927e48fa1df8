import {
  DtlsCertificate,
  loadSrtpCiphers,
  Answerer,
  Offerer,
  type AnswererOptions,
  type OffererOptions,
  type OpenChannelOptions,
  type Session,
  type SessionOutput,
} from '../../../src/webrtc/index.ts';
import { parseAddress, sameAddress, type TransportAddress } from '../../../src/wire/address.ts';
import { seededBytes, seededRandom } from '../../support/random.ts';

export interface Impairments {
  /** Chance that a datagram is lost, that it arrives twice. */
  readonly loss?: number;
  readonly duplication?: number;
  /** Milliseconds one way; each datagram takes between the two, so they overtake one another. */
  readonly minDelay?: number;
  readonly maxDelay?: number;
}

export interface HeardAudio {
  readonly payload: Uint8Array;
  readonly sequence: number;
  readonly timestamp: number;
}

export type Event = Exclude<SessionOutput, { type: 'timeout' | 'transmit' }>;

/** One end of a call in virtual time, with everything that came out of it. */
export class End {
  readonly session: Session;
  readonly events: Event[] = [];
  /** Payloads heard, as numbers: tests send a counter. */
  readonly heard: number[] = [];
  /** Virtual time at which each kind of event came first. */
  readonly times: Partial<Record<Event['type'] | 'audio', number>> = {};
  address: TransportAddress;
  wakeAt = 0;
  /** Takes what is heard, in place of `heard`. */
  onAudio: ((audio: HeardAudio, now: number) => void) | null = null;

  constructor(session: Session, address: string) {
    this.session = session;
    this.address = parseAddress(address);
  }

  has(type: Event['type']): boolean {
    return this.events.some((event) => event.type === type);
  }

  messages(): (string | Uint8Array)[] {
    return this.events.flatMap((event) => (event.type === 'message' ? [event.data] : []));
  }

  closeReason(): string | null {
    return this.events.flatMap((event) => (event.type === 'closed' ? [event.reason] : []))[0] ?? null;
  }
}

export interface TwoSessionsOptions extends Impairments {
  readonly seed?: number;
  readonly audio?: boolean;
  readonly data?: boolean;
  /** Whether the caller offers SNAP; true unless set. */
  readonly snap?: boolean;
  /** Channels that both open under an id agreed beforehand. */
  readonly channels?: readonly OpenChannelOptions[];
  readonly editOffer?: (sdp: string) => string;
  readonly editAnswer?: (sdp: string) => string;
  readonly caller?: Partial<OffererOptions>;
  readonly server?: Partial<AnswererOptions>;
}

export interface Datagram {
  readonly at: number;
  readonly data: Uint8Array;
  readonly from: TransportAddress;
  readonly to: TransportAddress;
}

export const SERVER_ADDRESS = '198.51.100.1:3478';
export const CLIENT_ADDRESS = '192.0.2.1:40000';

const certificates = await Promise.all([DtlsCertificate.generate(), DtlsCertificate.generate()]);
const { ciphers } = loadSrtpCiphers();

/** A caller and a server of ours on a virtual clock, joined by a network that loses, repeats and reorders. */
export class TwoSessions {
  now = 0;
  readonly caller: End;
  readonly server: End;
  readonly answerer: Answerer;
  /** As the caller made it. */
  readonly offer: string;
  impairments: Impairments;
  /** Sees every datagram that arrives; false swallows it. */
  filter: (datagram: Datagram) => boolean = () => true;
  /** Sees every datagram that is sent, lost ones included. */
  tap: (datagram: Datagram) => void = () => {};
  /** Sees every event at the moment it comes. */
  onEvent: (end: End, event: Event) => void = () => {};
  readonly #fraction: () => number;
  #inFlight: Datagram[] = [];

  constructor(options: TwoSessionsOptions = {}) {
    const { seed = 1, audio = true, data = true, snap = true, channels = [], editOffer = (sdp) => sdp, editAnswer = (sdp) => sdp } = options;
    this.impairments = options;
    this.#fraction = seededRandom(seed);
    const random = seededBytes(seed);
    const offerer = new Offerer({ certificate: certificates[0], audio, data, snap, channels, ciphers, random, ntpEpochOffset: 1.7e12, ...options.caller });
    this.offer = offerer.offer;
    this.answerer = new Answerer({
      offer: editOffer(offerer.offer),
      channels,
      ufrag: 'serverUfrag',
      certificate: certificates[1],
      candidates: [parseAddress(SERVER_ADDRESS)],
      ciphers,
      random,
      ntpEpochOffset: 1.7e12,
      now: 0,
      ...options.server,
    });
    this.server = new End(this.answerer.session, SERVER_ADDRESS);
    this.caller = new End(offerer.accept(editAnswer(this.answerer.answer), 0), CLIENT_ADDRESS);
  }

  /** Acts on what the sessions want after a method was called from outside. */
  drain(): void {
    for (const end of [this.caller, this.server]) this.#drain(end);
  }

  deliver(data: Uint8Array, from: TransportAddress, to: End): boolean {
    const authenticated = to.session.handleDatagram(data.slice(), from, this.now);
    this.#drain(to);
    return authenticated;
  }

  /** Lets time pass up to `until` ms. */
  run(until: number): void {
    this.drain();
    for (;;) {
      const ends = [this.caller, this.server];
      const arrival = this.#inFlight.reduce((min, { at }) => Math.min(min, at), Infinity);
      const next = Math.min(arrival, ...ends.map(({ wakeAt }) => wakeAt));
      if (next > until) break;
      this.now = Math.max(this.now, next);
      const due = this.#inFlight.filter(({ at }) => at <= this.now);
      this.#inFlight = this.#inFlight.filter(({ at }) => at > this.now);
      for (const datagram of due) {
        const to = ends.find(({ address }) => sameAddress(address, datagram.to));
        if (to && this.filter(datagram)) this.deliver(datagram.data, datagram.from, to);
      }
      for (const end of ends) {
        if (end.wakeAt > this.now) continue;
        end.session.handleTimeout(this.now);
        this.#drain(end);
        if (end.wakeAt <= this.now) throw new Error('a session asks to be woken in the past');
      }
    }
    this.now = until;
  }

  /** Runs until both ends are connected, at most ten virtual seconds. */
  connect(): this {
    for (let at = 0; at < 10_000 && !(this.caller.has('connected') && this.server.has('connected')); at += 5) this.run(this.now + 5);
    return this;
  }

  /** `count` frames from one end, 20 ms apart, numbered from `first`. */
  speak(from: End, count: number, first = 0): void {
    for (let i = first; i < first + count; i++) {
      from.session.sendAudio(numberedFrame(i), i * 960, false, this.now);
      this.#drain(from);
      this.run(this.now + 20);
    }
  }

  #drain(end: End): void {
    const other = end === this.caller ? this.server : this.caller;
    for (;;) {
      const output = end.session.poll();
      if (output.type === 'timeout') {
        end.wakeAt = output.at;
        return;
      }
      if (output.type !== 'transmit') end.times[output.type] ??= this.now;
      if (output.type === 'transmit') this.#send(output.data, end.address, output.to, other);
      else if (output.type === 'audio' && end.onAudio) end.onAudio(output, this.now);
      else if (output.type === 'audio') end.heard.push(new DataView(output.payload.slice().buffer).getUint32(1));
      else {
        const event = structuredClone(output);
        end.events.push(event);
        this.onEvent(end, event);
      }
    }
  }

  #send(data: Uint8Array, from: TransportAddress, to: TransportAddress, other: End): void {
    this.tap({ at: this.now, data, from, to });
    if (!sameAddress(to, other.address)) return;
    const { loss = 0, duplication = 0, minDelay = 10, maxDelay = minDelay } = this.impairments;
    const copies = this.#fraction() < loss ? 0 : this.#fraction() < duplication ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const at = this.now + minDelay + this.#fraction() * (maxDelay - minDelay);
      this.#inFlight.push({ at, data: data.slice(), from, to });
    }
  }
}

export function numberedFrame(i: number): Uint8Array {
  const frame = new Uint8Array(40);
  frame[0] = 0xf8;
  new DataView(frame.buffer).setUint32(1, i);
  return frame;
}
