import { randomFillSync } from 'node:crypto';
import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import type { UdpSocket, UdpSocketHandler } from '../../src/net/udp-socket.ts';
import { DtlsCertificate, loadSrtpCiphers, Offerer, warmUpCall, type Session } from '../../src/webrtc/index.ts';
import { parseAddress, type TransportAddress } from '../../src/wire/address.ts';
import type { Mark, Setup, SetupCaller, SetupTimes } from './setup-times.ts';

export interface CoreOptions {
  /** `…/v1/realtime/calls` */
  readonly endpoint: string;
  readonly snap: boolean;
  readonly sped: boolean;
  /** Open the events channel under an id agreed beforehand. */
  readonly negotiated: boolean;
  /** DTLS versions that may be agreed on; all unless given. */
  readonly dtls?: { readonly versions: readonly ('1.2' | '1.3')[] };
}

const FRAME_MS = 20;
/** 20 ms of silence in Opus. */
const SILENCE = Uint8Array.of(0xf8, 0xff, 0xfe);

/** Calls of Earshot's own client core. */
export class CoreCaller implements SetupCaller {
  readonly #options: CoreOptions;
  readonly #certificate: DtlsCertificate;

  private constructor(options: CoreOptions, certificate: DtlsCertificate) {
    this.#options = options;
    this.#certificate = certificate;
  }

  static async make(options: CoreOptions): Promise<CoreCaller> {
    const certificate = await DtlsCertificate.generate();
    for (let i = 0; i < 20; i++) warmUpCall({ certificate, ciphers, random: randomFillSync });
    return new CoreCaller(options, certificate);
  }

  async call(limitMs: number): Promise<Setup> {
    const { endpoint, negotiated, snap, sped, dtls } = this.#options;
    const offerer = new Offerer({
      certificate: this.#certificate,
      audio: true,
      data: true,
      snap,
      dtlsInStun: sped,
      ...(dtls && { dtls }),
      channels: negotiated ? [{ label: 'oai-events', negotiated: true, id: 0 }] : [],
      ciphers,
      random: randomFillSync,
      ntpEpochOffset: performance.timeOrigin,
    });
    const sentAt = performance.now();
    const headers = { 'Content-Type': 'application/sdp' };
    const response = await fetch(endpoint + (negotiated ? '?dcid=0' : ''), { method: 'POST', headers, body: offerer.offer });
    const answer = await response.text();
    if (!response.ok) throw new Error(`the server answered ${response.status}: ${answer}`);
    const appliedAt = performance.now();
    const run = new SetupRun(offerer.accept(answer, appliedAt), appliedAt, negotiated);
    const times = await run.finish(limitMs);
    return { answerMs: appliedAt - sentAt, appliedAt: performance.timeOrigin + appliedAt, times };
  }

  async close(): Promise<void> {
    // Nothing stays between calls.
  }
}

const { ciphers } = loadSrtpCiphers();

/** One call from its answer on. */
class SetupRun implements UdpSocketHandler {
  readonly #session: Session;
  readonly #appliedAt: number;
  readonly #negotiated: boolean;
  readonly #times: Record<Mark, number | null> = { ice: null, dtls: null, channel: null, created: null, agentAudio: null, callerAudio: null };
  #socket: UdpSocket | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isDone: () => void = () => {};

  constructor(session: Session, appliedAt: number, negotiated: boolean) {
    this.#session = session;
    this.#appliedAt = appliedAt;
    this.#negotiated = negotiated;
  }

  async finish(limitMs: number): Promise<SetupTimes> {
    const done = new Promise<void>((resolve) => (this.#isDone = resolve));
    this.#socket = await openUdpSocket({ address: parseAddress('127.0.0.1:0'), handler: this });
    this.#drain();
    let mediaTime = 0;
    const frames = setInterval(() => {
      this.#session.sendAudio(SILENCE, (mediaTime += 960), false, performance.now());
      this.#drain();
    }, FRAME_MS);
    const limit = setTimeout(this.#isDone, limitMs);
    await done;
    clearTimeout(limit);
    clearInterval(frames);
    this.#session.close(performance.now());
    this.#drain();
    if (this.#timer) clearTimeout(this.#timer);
    this.#session.dispose();
    await this.#socket.close();
    return this.#times;
  }

  datagram(data: Uint8Array, from: TransportAddress): void {
    this.#session.handleDatagram(data, from, performance.now());
    this.#drain();
  }

  batchEnd(): void {
    this.#socket?.flush();
  }

  #drain(): void {
    let output = this.#session.poll();
    for (; output.type !== 'timeout'; output = this.#session.poll()) {
      if (output.type === 'transmit') this.#socket?.send(output.data, output.to);
      else if (output.type === 'ice-connected') this.#mark('ice');
      else if (output.type === 'audio') this.#mark('agentAudio');
      else if (output.type === 'connected') {
        this.#mark('dtls');
        if (!this.#negotiated) this.#session.openChannel({ label: 'oai-events' }, performance.now());
      } else if (output.type === 'channel') this.#mark('channel');
      else if (output.type === 'message') this.#event(JSON.parse(String(output.data)) as { type: string; at: number });
    }
    this.#socket?.flush();
    if (this.#timer) clearTimeout(this.#timer);
    if (output.at !== Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.#wakeUp(), Math.max(0, output.at - performance.now()));
  }

  #wakeUp(): void {
    this.#session.handleTimeout(performance.now());
    this.#drain();
  }

  #event({ type, at }: { type: string; at: number }): void {
    if (type === 'session.created') this.#mark('created');
    if (type === 'bench.heard') this.#mark('callerAudio', at - performance.timeOrigin);
  }

  #mark(mark: Mark, at = performance.now()): void {
    this.#times[mark] ??= at - this.#appliedAt;
    if (Object.values(this.#times).every((time) => time !== null)) this.#isDone();
  }
}
