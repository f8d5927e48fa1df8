import { randomFillSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { createGatewayServer, startGateway, type Gateway, type GatewayOptions, type GatewayServerOptions } from '../../../src/gateway/index.ts';
import { createLogger } from '../../../src/observe/log.ts';
import { createHttpServer } from '../../../src/signaling/http-server.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { CallIdKeys } from '../../../src/wire/call-id.ts';
import { ANSWER, API_KEY, FakeCalls, OFFER, SECRET } from '../../signaling/harness.ts';

export const PLACES = {
  frankfurt: { latitude: 50.1, longitude: 8.7 },
  virginia: { latitude: 39, longitude: -77.5 },
  tokyo: { latitude: 35.7, longitude: 139.7 },
};
export type ClusterName = keyof typeof PLACES;

/** A cluster: the real HTTP API, with calls that are a table. */
export interface FakeCluster extends AsyncDisposable {
  readonly name: ClusterName;
  readonly id: number;
  readonly url: string;
  readonly calls: FakeCalls;
  readonly load: { calls: number; capacity: number };
  ready: boolean;
}

export async function startCluster(name: ClusterName, id: number, port = 0): Promise<FakeCluster> {
  const keys = new CallIdKeys(SECRET);
  const calls = new FakeCalls();
  calls.onCreate = async () => {
    const callId = keys.encodeCallId({ cluster: id, locator: { kind: 0, address: parseAddress('127.0.0.1:7100') }, nonce: 1 }, randomFillSync);
    calls.live.set(callId, { etag: 'ice-1' });
    return { id: callId, answer: ANSWER, etag: 'ice-1', busySeconds: 0 };
  };
  const cluster = { name, id, calls, ready: true, load: { calls: 0, capacity: 100 } };
  const server = await createHttpServer({
    calls,
    apiKey: API_KEY,
    secret: SECRET,
    metrics: async () => '',
    ready: () => cluster.ready,
    load: () => cluster.load,
    logger: createLogger({ level: 'silent' }),
  });
  const address = await server.listen(parseAddress(`127.0.0.1:${port}`));
  return Object.assign(cluster, { url: `http://127.0.0.1:${address.port}`, [Symbol.asyncDispose]: () => server.close() });
}

/** A server that answers as `listener` does, in the place of a cluster. */
export async function startStrangeCluster(name: ClusterName, id: number, listener: RequestListener): Promise<Pick<FakeCluster, 'name' | 'id' | 'url'> & AsyncDisposable> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    name,
    id,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

export interface TestGateway extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly log: string[];
  readonly gateway: Gateway;
  /** Replaces the clusters file. */
  writeClusters(entries: readonly object[]): Promise<void>;
  /** Posts an offer as a caller in this place, and asks why it went where it went. */
  offer(from: ClusterName | null, headers?: Record<string, string>): Promise<Response>;
}

export function clusterEntry({ name, id, url }: Pick<FakeCluster, 'name' | 'id' | 'url'>, extra: object = {}): object {
  return { id, name, ...PLACES[name], signaling: url, ...extra };
}

export async function startTestGateway(
  entries: readonly object[],
  overrides: Partial<GatewayOptions & Pick<GatewayServerOptions, 'ratePerAddress' | 'ratePerKey'>> = {},
): Promise<TestGateway> {
  const folder = await mkdtemp(path.join(tmpdir(), 'earshot-gateway-'));
  const clusters = path.join(folder, 'clusters.yaml');
  const writeClusters = (list: readonly object[]): Promise<void> => writeFile(clusters, stringify({ clusters: list }));
  await writeClusters(entries);
  const log: string[] = [];
  const logger = createLogger({ level: 'debug', pretty: false, write: (line) => log.push(line) });
  const gateway = await startGateway({ clusters, trustHeaders: 'generic', attemptTimeoutMs: 5_000, secret: SECRET, logger, ...overrides });
  const { ratePerAddress = 10_000, ratePerKey = 10_000 } = overrides;
  const server = await createGatewayServer({ gateway, ratePerAddress, ratePerKey, logger, metrics: async () => '' });
  const { port } = await server.listen(parseAddress('127.0.0.1:0'));
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    port,
    log,
    gateway,
    writeClusters,
    offer(from, headers = {}) {
      const at = from ? { 'X-Client-Latitude': String(PLACES[from].latitude), 'X-Client-Longitude': String(PLACES[from].longitude) } : {};
      return fetch(`${url}/v1/realtime/calls`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${API_KEY}`, 'Content-Type': 'application/sdp', 'Earshot-Explain': '1', ...at, ...headers },
        body: OFFER,
      });
    },
    async [Symbol.asyncDispose]() {
      await server.close();
      gateway.close();
      await rm(folder, { recursive: true });
    },
  };
}
