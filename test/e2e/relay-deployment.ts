import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Caller, type PlaceOptions } from '../../bench/call-parts/caller.ts';
import { readStamp } from '../../bench/call-parts/stamp.ts';
import { EarshotProcess, type ProcessExit, freeTcpPort, freeUdpPort } from '../support/earshot-process.ts';

export const ENVIRONMENT = { EARSHOT_SECRET: 'a secret that both roles of this test share' };
const FRAME_MS = 20;
/** Workers may each take a port after the first. */
const TRUNK_PORTS = 4;

export interface DeploymentOptions {
  readonly agent: string;
  readonly redis?: string;
  /** 0 unless given. */
  readonly cluster?: number;
  /** Whether a relay can take over from the one before. */
  readonly handover?: boolean;
  /** Where relays shall find the transceiver's trunk, in place of where it is. */
  readonly advertiseTrunk?: string;
  /** Trunks of further transceivers that the relay knows, beside its own, for instant connect; it knows none unless given. */
  readonly transceivers?: readonly string[];
}

/** One relay that can be killed and started again, and one transceiver, as processes of their own. */
export class Deployment {
  readonly endpoint: string;
  /** The relay's public address, and that of its first worker's trunk. */
  readonly udp: string;
  readonly trunk: string;
  readonly #relayArguments: readonly string[];
  readonly #relayHttp: string;
  readonly #transceiverArguments: readonly string[];
  #transceiver: EarshotProcess | null = null;
  #relay: EarshotProcess | null = null;

  private constructor(endpoint: string, udp: string, relayHttp: string, relayArguments: readonly string[], transceiverArguments: readonly string[]) {
    this.endpoint = endpoint;
    this.udp = udp;
    this.trunk = relayArguments[4];
    this.#relayHttp = relayHttp;
    this.#relayArguments = relayArguments;
    this.#transceiverArguments = transceiverArguments;
  }

  static async start({ agent, redis, handover, cluster = 0, advertiseTrunk, transceivers }: DeploymentOptions): Promise<Deployment> {
    const udp = `127.0.0.1:${await freeUdpPort()}`;
    const relayHttp = `127.0.0.1:${await freeTcpPort()}`;
    const http = `127.0.0.1:${await freeTcpPort()}`;
    const trunk = `127.0.0.1:${await freeUdpPort(TRUNK_PORTS)}`;
    const relay = ['relay', '--udp', udp, '--trunk', trunk, '--http', relayHttp, '--workers', '2', '--cluster', String(cluster)];
    if (redis !== undefined) relay.push('--redis', redis);
    if (handover) relay.push('--handover', path.join(await mkdtemp(path.join(tmpdir(), 'earshot-')), 'relay.sock'));
    const ownTrunk = `127.0.0.1:${await freeUdpPort(TRUNK_PORTS)}`;
    const transceiver = ['transceiver', '--http', http, '--trunk', ownTrunk, '--ingress', udp, '--agent', agent, '--workers', '1', '--cluster', String(cluster)];
    if (transceivers !== undefined) relay.push('--transceivers', [ownTrunk, ...transceivers].join());
    if (advertiseTrunk !== undefined) transceiver.push('--advertise-trunk', advertiseTrunk);
    const deployment = new Deployment(`http://${http}/v1/realtime/calls`, udp, `http://${relayHttp}`, relay, transceiver);
    await Promise.all([deployment.startTransceiver(), deployment.startRelay()]);
    return deployment;
  }

  /** Where the transceiver's trunk is, whatever it advertises. */
  get transceiverTrunk(): string {
    return this.#transceiverArguments[4];
  }

  get relay(): EarshotProcess {
    return this.#relay!;
  }

  get transceiver(): EarshotProcess {
    return this.#transceiver!;
  }

  /** Where the transceiver's HTTP API is, `http://127.0.0.1:port`. */
  get signaling(): string {
    return new URL(this.endpoint).origin;
  }

  async startTransceiver(): Promise<void> {
    this.#transceiver = new EarshotProcess(this.#transceiverArguments, ENVIRONMENT);
    await this.#transceiver.ready(this.signaling);
  }

  /** Tells the transceiver to stop; resolves when it has taken note, with a promise of its end. */
  async drainTransceiver(): Promise<{ readonly exited: Promise<ProcessExit> }> {
    process.kill(this.transceiver.pid, 'SIGTERM');
    for (let status = 200; status === 200; ) status = (await fetch(`${this.signaling}/readyz`)).status;
    return { exited: this.transceiver.exited() };
  }

  /** Starts a relay; resolves with the time of `performance.now()` from which on it forwarded. */
  async startRelay(): Promise<number> {
    const relay = new EarshotProcess(this.#relayArguments, ENVIRONMENT);
    this.#relay = relay;
    await relay.ready(this.#relayHttp);
    const [, time = ''] = /"time":"([^"]+)"[^\n]*"relay started"/.exec(relay.output) ?? [];
    return Date.parse(time) - performance.timeOrigin;
  }

  /** Starts a relay that takes over from the one before it; resolves with the end of that one. */
  async replaceRelay(): Promise<ProcessExit> {
    const before = this.relay;
    const successor = new EarshotProcess(this.#relayArguments, ENVIRONMENT);
    this.#relay = successor;
    const exit = await Promise.race([before.exited(), successor.exited().then(() => null)]);
    if (exit === null) throw new Error(`the successor ended:\n${successor.output}`);
    await successor.ready(this.#relayHttp);
    return exit;
  }

  /** Ends the relay as a crash would. */
  async killRelay(): Promise<void> {
    await this.relay.kill();
  }

  /** The value of one series of the relay's metrics, `earshot_relay_` left out; 0 when there is none. */
  relayMetric(series: string): Promise<number> {
    return metric(this.#relayHttp, `earshot_relay_${series}`);
  }

  /** The value of one series of the transceiver's metrics, by its full name. */
  transceiverMetric(series: string): Promise<number> {
    return metric(this.signaling, series);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#relay?.kill(), this.#transceiver?.kill()]);
  }
}

/** A call of many: when its frames left, and when frames came. */
export interface Line {
  readonly caller: Caller;
  /** Times at which frames left, ms. */
  readonly sentAt: number[];
  /** Times at which frames came, ms. */
  readonly heardAt: number[];
  /** Times at which the frames that came had left, when an echo sent them. */
  readonly echoedFrom: number[];
  ended: string | null;
}

/** Calls at once, all of which send a frame every 20 ms, or with `silent` nothing but what keeps a call up. */
export class Callers {
  readonly lines: Line[] = [];
  #silent: boolean;
  readonly #clock: NodeJS.Timeout;
  readonly #startedAt = performance.now();
  #ticks = 0;

  private constructor(silent: boolean) {
    this.#silent = silent;
    this.#clock = setInterval(() => this.#tick(), 5);
  }

  /** Resolves when every call is up and has heard something. */
  static async place(endpoint: string, count: number, silent = false, options: PlaceOptions = {}): Promise<Callers> {
    const callers = new Callers(silent);
    for (let i = 0; i < count; i++) {
      const caller = await Caller.place(endpoint, options);
      const line: Line = { caller, sentAt: [], heardAt: [], echoedFrom: [], ended: null };
      caller.onHeard = (payload, at) => {
        line.heardAt.push(at);
        line.echoedFrom.push(readStamp(payload));
      };
      caller.onEnded = (reason) => (line.ended = reason);
      callers.lines.push(line);
      await caller.connected;
    }
    await callers.hear(performance.now());
    return callers;
  }

  /** Sends no more frames, waits for those under way, and tells how many of those sent since never came back. */
  async fallSilent(since: number): Promise<{ sent: number; lost: number }> {
    this.#silent = true;
    const count = (of: (line: Line) => readonly number[]): number =>
      this.lines.reduce((sum, line) => sum + of(line).filter((at) => at >= since).length, 0);
    const echoed = (): number => count((line) => line.echoedFrom);
    for (let before = -1; before !== echoed(); await pause(300)) before = echoed();
    const sent = count((line) => line.sentAt);
    return { sent, lost: sent - echoed() };
  }

  /** From now on nothing leaves by itself, checks neither: only what comes can heal a flow. */
  holdStill(): void {
    clearInterval(this.#clock);
  }

  /** Resolves when every call has heard something after `since`, or has ended. */
  async hear(since: number): Promise<void> {
    while (this.lines.some(({ heardAt, ended }) => ended === null && (heardAt.at(-1) ?? 0) < since)) await pause(5);
  }

  /** For each call: milliseconds from `upAt` until it heard something again. */
  gaps(upAt: number): number[] {
    return this.lines.map(({ heardAt }) => Math.max(0, (heardAt.find((at) => at >= upAt) ?? Number.POSITIVE_INFINITY) - upAt));
  }

  /** Hangs up. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#clock);
    await Promise.all(this.lines.splice(0).map(({ caller }) => caller.close()));
  }

  #tick(): void {
    const now = performance.now();
    const isFrame = Math.floor((now - this.#startedAt) / FRAME_MS) > this.#ticks;
    if (isFrame) this.#ticks++;
    for (const { caller, sentAt, ended } of this.lines) {
      if (ended !== null) continue;
      if (isFrame && !this.#silent) {
        sentAt.push(now);
        caller.sendFrame(now);
      }
      caller.tick(now);
    }
  }
}

/** The value of one series of a process's metrics; 0 when there is none. */
export async function metric(url: string, series: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ') + 1));
}
