import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { API_KEY, OFFER, startServer, type TestServer } from './harness.ts';

/** A call, and the URL of its sideband. */
async function place(server: TestServer): Promise<{ id: string; url: string }> {
  const id = (await server.post('/v1/realtime/calls', OFFER)).headers.get('location')!.split('/').at(-1)!;
  return { id, url: `ws://127.0.0.1:${server.port}/v1/realtime?call_id=${id}` };
}

function open(url: string, key: string | null = API_KEY): WebSocket {
  return new WebSocket(url, { headers: key === null ? {} : { Authorization: `Bearer ${key}` } });
}

/** The next `count` messages. */
function messages(socket: WebSocket, count = 1): Promise<string[]> {
  return new Promise((resolve) => {
    const seen: string[] = [];
    socket.on('message', (data: Buffer) => {
      seen.push(data.toString());
      if (seen.length === count) resolve(seen);
    });
  });
}

async function refusal(socket: WebSocket): Promise<number | undefined> {
  socket.on('error', () => {});
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode?: number; resume(): void }];
  response.resume();
  socket.terminate();
  return response.statusCode;
}

const LIMIT = { timeout: 10_000 };

test('several observers follow a call, steer it, and leave without ending it', LIMIT, async () => {
  await using server = await startServer();
  const { id, url } = await place(server);
  const sockets = [open(url), open(url)];
  const seen = sockets.map((socket) => messages(socket, 2));
  sockets[0].once('open', () => sockets[0].send('{"type":"response.create"}'));
  await Promise.all(sockets.map((socket) => messages(socket)));
  for (const observer of server.calls.observers) observer.event('{"type":"response.created"}');
  for (const lines of await Promise.all(seen)) assert.deepEqual(lines, ['{"type":"session.created"}', '{"type":"response.created"}']);
  while (server.calls.observed.length === 0) await new Promise(setImmediate);
  assert.deepEqual(server.calls.observed, ['{"type":"response.create"}']);
  for (const socket of sockets) socket.close();
  while (server.calls.observers.size > 0) await new Promise(setImmediate);
  assert.ok(server.calls.live.has(id));
});

test('the end of the call closes the socket with its reason', LIMIT, async () => {
  await using server = await startServer();
  const { url } = await place(server);
  const socket = open(url);
  await messages(socket);
  const closed = once(socket, 'close') as Promise<[number, Buffer]>;
  for (const observer of server.calls.observers) observer.ended('client_hangup');
  const [code, reason] = await closed;
  assert.deepEqual([code, reason.toString()], [1000, 'client_hangup']);
});

test('a sideband asks for a key, as calls do', LIMIT, async () => {
  await using server = await startServer();
  const { url } = await place(server);
  assert.equal(await refusal(open(url, null)), 401);
  assert.equal(await refusal(open(url, 'wrong')), 401);
  assert.equal(server.calls.observers.size, 0);
  const secret = (await (await server.post('/v1/realtime/client_secrets', {})).json()) as { value: string };
  const socket = new WebSocket(url, ['realtime', `openai-insecure-api-key.${secret.value}`]);
  await messages(socket);
  assert.equal(socket.protocol, 'realtime', 'the key is not repeated');
  socket.terminate();
});

test('an unknown call, none at all, and no WebSocket are told apart', LIMIT, async () => {
  await using server = await startServer();
  const { url } = await place(server);
  const [code, reason] = (await once(open(url.replace(/rtc_.*/, 'rtc_none')), 'close')) as [number, Buffer];
  assert.deepEqual([code, reason.toString()], [1008, 'call_not_found']);
  assert.equal(await refusal(open(url.replace(/\?.*/, '?model=x'))), 400);
  const response = await fetch(url.replace('ws:', 'http:'), { headers: { Authorization: `Bearer ${API_KEY}` } });
  assert.equal(response.status, 426);
});

test('an observer that leaves while the call is being found is let go', LIMIT, async () => {
  await using server = await startServer();
  const { url } = await place(server);
  const observe = server.calls.observe.bind(server.calls);
  let find = (): void => {};
  const asked = new Promise<void>((asked) => {
    server.calls.observe = async (...args) => {
      asked();
      await new Promise<void>((resolve) => (find = resolve));
      return observe(...args);
    };
  });
  const socket = open(url);
  await once(socket, 'open');
  await asked;
  socket.close();
  await once(socket, 'close');
  find();
  await new Promise(setImmediate);
  assert.equal(server.calls.observers.size, 0);
});

test('an observer that answers nothing does not keep the server from closing', LIMIT, async () => {
  const server = await startServer();
  const { url } = await place(server);
  const socket = open(url);
  await messages(socket);
  // The peer is gone and the network does not know: nothing is read, so no closing handshake is answered.
  socket.pause();
  const closed = once(socket, 'close');
  await server[Symbol.asyncDispose]();
  socket.resume();
  await closed;
});
