import { fileURLToPath } from 'node:url';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../../test/support/earshot-process.ts';
import { TcpLink } from '../support/tcp-link.ts';
import type { PathConditions } from './delayed-path.ts';
import { PathThread } from './path-thread.ts';

const TALKER = fileURLToPath(new URL('./talker.js', import.meta.url));
const SECRETS = { EARSHOT_SECRET: 'a secret of the bench alone' };

/**
 * A relay and a transceiver that callers reach through a path with delay and loss. HTTP has the delay as well, over
 * connections that are open already: what the first request of a page costs besides, a client that calls again does not pay.
 */
export class DelayedDeployment {
  readonly path: PathThread;
  /** Where offers are posted: with the delay of the path, and without. */
  readonly endpoint: string;
  readonly directEndpoint: string;
  readonly #http: TcpLink;
  readonly #processes: readonly EarshotProcess[];
  readonly #metricsUrl: string;

  private constructor(path: PathThread, http: TcpLink, origin: string, processes: readonly EarshotProcess[]) {
    this.path = path;
    this.endpoint = `http://${http.address}/v1/realtime/calls`;
    this.directEndpoint = `${origin}/v1/realtime/calls`;
    this.#http = http;
    this.#metricsUrl = `${origin}/metrics`;
    this.#processes = processes;
  }

  static async start(): Promise<DelayedDeployment> {
    const udp = `127.0.0.1:${await freeUdpPort()}`;
    const admin = `127.0.0.1:${await freeTcpPort()}`;
    const http = `127.0.0.1:${await freeTcpPort()}`;
    const path = await PathThread.open(udp);
    const quiet = ['--log-level', 'error'];
    const trunk = `127.0.0.1:${await freeUdpPort()}`;
    const relay = new EarshotProcess(['relay', '--udp', udp, '--trunk', '127.0.0.1:0', '--transceivers', trunk, '--http', admin, ...quiet], SECRETS);
    const transceiver = new EarshotProcess(
      ['transceiver', '--http', http, '--trunk', trunk, '--ingress', path.address, '--agent', TALKER, '--workers', '1', ...quiet],
      SECRETS,
    );
    await Promise.all([relay.ready(`http://${admin}`), transceiver.ready(`http://${http}`)]);
    const link = await TcpLink.open('127.0.0.1:0', http, { roundTripMs: 0, handshakes: 0 });
    return new DelayedDeployment(path, link, `http://${http}`, [relay, transceiver]);
  }

  /** A new path for the next call. */
  async impose(conditions: PathConditions): Promise<void> {
    this.#http.roundTripMs = conditions.roundTripMs;
    await this.path.impose(conditions);
  }

  /** The transceiver's metrics, as Prometheus text. */
  async metrics(): Promise<string> {
    return (await fetch(this.#metricsUrl)).text();
  }

  async close(): Promise<void> {
    this.#http.close();
    await this.path.close();
    await Promise.all(this.#processes.map((process) => process.kill()));
  }
}
