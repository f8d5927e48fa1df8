import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { EarshotProcess, freeTcpPort } from '../support/earshot-process.ts';

export interface GatewayCluster {
  readonly id: number;
  readonly name: string;
  /** `http://127.0.0.1:port` */
  readonly signaling: string;
  /** The relay's public address. */
  readonly udp: string;
  /** Several public addresses instead, with the HTTP of each relay. */
  readonly ingress?: readonly { readonly address: string; readonly http: string }[];
}

export interface GatewayServer {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Where offers are posted. */
  readonly endpoint: string;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** `earshot gateway` in front of clusters, the first of which is preferred. Disposing of it asserts a clean end. */
export async function startGateway(clusters: readonly GatewayCluster[], env: Readonly<Record<string, string>>): Promise<GatewayServer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'earshot-e2e-'));
  const file = path.join(folder, 'clusters.yaml');
  const entries = clusters.map(({ id, name, signaling, udp, ingress = [{ address: udp }] }) => ({
    id, name, latitude: 50, longitude: 8 + id, signaling, ingress,
  }));
  await writeFile(file, stringify({ clusters: entries }));
  const http = `127.0.0.1:${await freeTcpPort()}`;
  // A dead cluster refuses the connection at once; a machine that is busy must not make a living one look slow.
  const gateway = new EarshotProcess(['gateway', '--http', http, '--clusters', file, '--attempt-timeout', '10s', '--drain-timeout', '0s'], env);
  const url = `http://${http}`;
  await gateway.ready(url);
  let isKilled = false;
  return {
    url,
    endpoint: `${url}/v1/realtime/calls`,
    async kill() {
      isKilled = true;
      await gateway.kill();
    },
    async [Symbol.asyncDispose]() {
      if (!isKilled) await gateway.stop();
      await rm(folder, { recursive: true });
    },
  };
}
