import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { stringify } from 'yaml';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../support/earshot-process.ts';
import { metric } from './relay-deployment.ts';

const ENVIRONMENT = { EARSHOT_SECRET: 'a secret that all roles of this test share' };
const CLUSTER = 2;

/** A relay that can be killed and started again. */
export class RestartableRelay {
  readonly udp: string;
  readonly trunk: string;
  readonly #http: string;
  readonly #extra: readonly string[];
  #process: EarshotProcess | null = null;

  private constructor(udp: string, trunk: string, http: string, extra: readonly string[]) {
    this.udp = udp;
    this.trunk = trunk;
    this.#http = http;
    this.#extra = extra;
  }

  static async prepare(extra: readonly string[]): Promise<RestartableRelay> {
    const [udp, trunk] = [`127.0.0.1:${await freeUdpPort()}`, `127.0.0.1:${await freeUdpPort(2)}`];
    return new RestartableRelay(udp, trunk, `127.0.0.1:${await freeTcpPort()}`, extra);
  }

  async start(): Promise<void> {
    const { udp, trunk } = this;
    this.#process = new EarshotProcess(['relay', '--udp', udp, '--trunk', trunk, '--http', this.#http, '--workers', '1', ...this.#extra], ENVIRONMENT);
    await this.#process.ready(`http://${this.#http}`);
  }

  /** Ends it as a crash would. Idempotent. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  /** `earshot_relay_` left out. */
  metric(series: string): Promise<number> {
    return metric(`http://${this.#http}`, `earshot_relay_${series}`);
  }
}

/**
 * caller ─► ingress 1 or 2 ═► relay 1 or 2 of the one cluster ═► transceiver; offers go through a gateway. Only the
 * ingresses have public addresses.
 */
export class GlobalDeployment {
  readonly endpoint: string;
  readonly ingress: readonly RestartableRelay[];
  readonly relays: readonly RestartableRelay[];
  readonly #others: readonly EarshotProcess[];
  readonly #folder: string;

  private constructor(endpoint: string, ingress: readonly RestartableRelay[], relays: readonly RestartableRelay[], others: readonly EarshotProcess[], folder: string) {
    this.endpoint = endpoint;
    this.ingress = ingress;
    this.relays = relays;
    this.#others = others;
    this.#folder = folder;
  }

  static async start(agent: string): Promise<GlobalDeployment> {
    const folder = await mkdtemp(path.join(tmpdir(), 'earshot-e2e-'));
    const file = path.join(folder, 'clusters.yaml');
    const [http, trunk, gatewayHttp] = [`127.0.0.1:${await freeTcpPort()}`, `127.0.0.1:${await freeUdpPort(2)}`, `127.0.0.1:${await freeTcpPort()}`];
    const ingress = [await RestartableRelay.prepare(['--clusters', file]), await RestartableRelay.prepare(['--clusters', file])];
    const relays = [await RestartableRelay.prepare(['--cluster', String(CLUSTER)]), await RestartableRelay.prepare(['--cluster', String(CLUSTER)])];
    await writeFile(file, stringify({
      clusters: [{ id: CLUSTER, name: 'far', latitude: 0, longitude: 0, signaling: `http://${http}`, trunk: relays.map((relay) => relay.trunk) }],
      ingress: ingress.map(({ udp }, i) => ({ address: udp, latitude: 0, longitude: i })),
    }));
    const others = [
      new EarshotProcess(
        ['transceiver', '--http', http, '--trunk', trunk, '--ingress', '127.0.0.1:9', '--agent', agent, '--cluster', String(CLUSTER), '--workers', '1'],
        ENVIRONMENT,
      ),
      new EarshotProcess(['gateway', '--http', gatewayHttp, '--clusters', file, '--attempt-timeout', '10s', '--drain-timeout', '0s'], ENVIRONMENT),
    ];
    const deployment = new GlobalDeployment(`http://${gatewayHttp}/v1/realtime/calls`, ingress, relays, others, folder);
    try {
      // One after the other: each of them takes a core while it starts.
      await others[0].ready(`http://${http}`);
      for (const relay of [...relays, ...ingress]) await relay.start();
      await others[1].ready(`http://${gatewayHttp}`);
    } catch (error) {
      await deployment[Symbol.asyncDispose]();
      throw error;
    }
    return deployment;
  }

  /** Resolves when an ingress has found both paths to work. */
  async pathsUp(i: number): Promise<void> {
    for (const { trunk } of this.relays) {
      while ((await this.ingress[i].metric(`path_condition{cluster="far",path="${trunk}",condition="up"}`)) !== 1) await pause(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.ingress, ...this.relays, ...this.#others].map((one) => one.kill()));
    await rm(this.#folder, { recursive: true });
  }
}
