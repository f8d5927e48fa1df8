import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { parseAddress } from '../../src/wire/address.ts';
import { CallIdKeys } from '../../src/wire/call-id.ts';
import { SECRET } from '../signaling/harness.ts';
import { clusterEntry, startTestGateway } from './support/clusters.ts';

const timeout = 20_000;
const CALL = new CallIdKeys(SECRET).encodeCallId({ cluster: 1, locator: { kind: 0, address: parseAddress('127.0.0.1:7100') }, nonce: 1 }, randomFillSync);

/** A cluster that takes upgrades and sends back what it is sent, or refuses them. */
async function startEchoCluster(refuse = false): Promise<{ entry: object; server: Server; upgrades: Record<string, unknown>[] } & AsyncDisposable> {
  const upgrades: Record<string, unknown>[] = [];
  const server = createServer((request, response) => {
    if (request.url === '/readyz') response.end();
    else response.writeHead(404, { 'Content-Type': 'application/json' }).end('{"error":"gone"}');
  }).listen(0, '127.0.0.1');
  if (!refuse) {
    server.on('upgrade', (request, socket, head) => {
      upgrades.push({ url: request.url, ...request.headers });
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: yes\r\n\r\nwelcome,');
      socket.write(head);
      socket.on('error', () => {});
      socket.pipe(socket);
    });
  }
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    entry: clusterEntry({ name: 'frankfurt', id: 1, url }),
    server,
    upgrades,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function upgrade(port: number, path: string, after = ''): Socket {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1');
  socket.on('error', () => {});
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer key\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Key: abc\r\nSec-WebSocket-Protocol: realtime\r\n\r\n${after}`,
  );
  return socket;
}

async function received(socket: Socket, words: string): Promise<string> {
  let text = '';
  while (!text.includes(words)) {
    const [chunk] = (await once(socket, 'data')) as [string];
    text += chunk;
  }
  return text;
}

test('a sideband is joined with the cluster of its call, both ways, from the first byte on', { timeout }, async () => {
  await using cluster = await startEchoCluster();
  await using gateway = await startTestGateway([cluster.entry]);
  const socket = upgrade(gateway.port, `/v1/realtime?call_id=${CALL}`, 'early;');
  const head = await received(socket, 'early;');
  assert.match(head, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  assert.match(head, /Sec-WebSocket-Accept: yes\r\n\r\nwelcome,early;$/);
  socket.write('later;');
  await received(socket, 'later;');
  const [{ url, authorization, connection, upgrade: protocol, ...rest }] = cluster.upgrades;
  assert.deepEqual([url, authorization, connection, protocol], [`/v1/realtime?call_id=${CALL}`, 'Bearer key', 'Upgrade', 'websocket']);
  assert.equal(rest['sec-websocket-protocol'], 'realtime');
  assert.equal(gateway.gateway.counters.sidebands, 1);
  socket.destroy();
  while (gateway.gateway.counters.sidebands > 0) await new Promise((resolve) => setImmediate(resolve));
});

test('when either side goes, the other is told, and a gateway that closes leaves no socket open', { timeout }, async () => {
  await using cluster = await startEchoCluster();
  const far = once(cluster.server, 'upgrade') as Promise<[unknown, Socket]>;
  const gateway = await startTestGateway([cluster.entry]);
  const first = upgrade(gateway.port, `/v1/realtime?call_id=${CALL}`);
  await received(first, 'welcome');
  (await far)[1].destroy();
  await once(first, 'close');
  const second = upgrade(gateway.port, `/v1/realtime?call_id=${CALL}`);
  await received(second, 'welcome');
  await Promise.all([once(second, 'close'), gateway[Symbol.asyncDispose]()]);
});

test('what cannot be joined is refused in words', { timeout }, async () => {
  await using refusing = await startEchoCluster(true);
  await using gateway = await startTestGateway([refusing.entry]);
  const cases: [path: string, answer: RegExp][] = [
    [`/v1/realtime?call_id=${CALL}`, /^HTTP\/1\.1 404 Not Found\r\n[^]*\{"error":"gone"\}/],
    ['/v1/realtime?call_id=rtc_guess', /^HTTP\/1\.1 404 [^]*call_not_found/],
    ['/v1/realtime?model=m', /^HTTP\/1\.1 404 [^]*not_found/],
    ['/other', /^HTTP\/1\.1 404 [^]*not_found/],
    ['http://x/v1/realtime', /^HTTP\/1\.1 404 [^]*not_found/],
  ];
  for (const [path, answer] of cases) {
    const socket = upgrade(gateway.port, path);
    let text = '';
    for await (const chunk of socket) text += chunk as string;
    assert.match(text, answer);
  }
  await refusing[Symbol.asyncDispose]();
  const socket = upgrade(gateway.port, `/v1/realtime?call_id=${CALL}`);
  assert.match(await received(socket, '}'), /^HTTP\/1\.1 502 [^]*cluster_unreachable/);
});
