import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createLogger } from '../../src/observe/log.ts';
import { createAdminServer, type AnsweredRequest } from '../../src/signaling/base-server.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { errorOf, OFFER, sendRaw, startServer } from './harness.ts';

test('a browser page of another origin may call and read what it needs', async () => {
  await using server = await startServer();
  const preflight = await fetch(`${server.url}/v1/realtime/calls`, {
    method: 'OPTIONS',
    headers: {
      Origin: 'https://app.example',
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'authorization,content-type,x-openai-agents-sdk',
    },
  });
  assert.equal(preflight.status, 200);
  assert.equal(preflight.headers.get('access-control-allow-origin'), '*');
  const allowed = preflight.headers.get('access-control-allow-headers') ?? '';
  for (const name of ['Authorization', 'Content-Type', 'X-OpenAI-Agents-SDK', 'If-Match']) assert.ok(allowed.includes(name), name);
  for (const method of ['POST', 'PATCH', 'DELETE']) assert.ok(preflight.headers.get('access-control-allow-methods')?.includes(method), method);

  const headers = { Origin: 'https://app.example' };
  const created = await server.post('/v1/realtime/calls', OFFER, { headers });
  assert.equal(created.headers.get('access-control-allow-origin'), '*');
  for (const name of ['Location', 'ETag']) assert.ok(created.headers.get('access-control-expose-headers')?.includes(name), name);
  const refused = await server.post('/v1/realtime/calls', OFFER, { key: 'wrong', headers });
  assert.equal(refused.status, 401);
  assert.equal(refused.headers.get('access-control-allow-origin'), '*', 'or the page could not read why');
});

test('a connection stays open for the next offer, longer than load balancers keep it', async () => {
  await using server = await startServer();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ports = new Set<number | undefined>();
  for (let i = 0; i < 2; i++) {
    const request = get(`${server.url}/healthz`, { agent });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    ports.add(response.socket.localPort);
    assert.equal(response.headers['keep-alive'], 'timeout=72');
    await once(response.resume(), 'end');
  }
  agent.destroy();
  assert.equal(ports.size, 1);
});

test('OPTIONS says what an endpoint takes, also to clients that are no browser', async () => {
  await using server = await startServer();
  for (const path of ['/v1/realtime/calls', '/v1/realtime?model=x']) {
    const response = await fetch(server.url + path, { method: 'OPTIONS' });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('accept-post'), 'application/sdp');
  }
  const call = await fetch(`${server.url}/v1/realtime/calls/rtc_1`, { method: 'OPTIONS' });
  assert.equal(call.headers.get('accept-patch'), 'application/trickle-ice-sdpfrag');
});

test('a server without a key cannot be driven by other web sites or through a rebound name', async () => {
  await using server = await startServer({ apiKey: null });
  const send = (headers: Record<string, string>): Promise<number> =>
    new Promise((resolve, reject) => {
      get(`${server.url}/healthz`, { headers }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      }).on('error', reject);
    });
  const host = `127.0.0.1:${server.port}`;
  const cases: [headers: Record<string, string>, status: number][] = [
    [{ host }, 200],
    [{ host: `localhost:${server.port}` }, 200],
    [{ host: 'talk.localhost' }, 200],
    [{ host: `[::1]:${server.port}` }, 200],
    [{ host: 'rebound.example' }, 403],
    [{ host: 'localhost.example' }, 403],
    [{ host: '127.0.0.1.example' }, 403],
    [{ host: '192.168.1.4:8080' }, 403],
    [{ host, origin: 'http://localhost:3000' }, 200],
    [{ host, origin: 'http://127.0.0.1:5173' }, 200],
    [{ host, origin: 'https://evil.example' }, 403],
    [{ host, origin: 'http://localhost.evil.example' }, 403],
    [{ host, origin: 'null' }, 403],
  ];
  for (const [headers, status] of cases) assert.equal(await send(headers), status, JSON.stringify(headers));
  assert.equal((await server.post('/v1/realtime/calls', OFFER, { headers: { Origin: 'https://evil.example' } })).status, 403);
  assert.equal(server.calls.requests.length, 0);
});

test('a server with a key answers under any name', async () => {
  await using server = await startServer();
  assert.match(await sendRaw(server.port, 'GET /healthz HTTP/1.1\r\nHost: voice.example\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 200 /);
});

test('probes and metrics answer without a key, readiness follows the role', async () => {
  let ready = true;
  await using server = await startServer({ ready: () => ready, metrics: async () => 'earshot_calls 3\n' });
  const status = async (path: string): Promise<number> => (await fetch(server.url + path)).status;
  assert.equal(await status('/healthz'), 200);
  assert.equal(await status('/readyz'), 200);
  ready = false;
  assert.equal(await status('/readyz'), 503);
  assert.equal(await status('/healthz'), 200);
  const metrics = await fetch(`${server.url}/metrics`);
  assert.equal(await metrics.text(), 'earshot_calls 3\n');
  assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
});

test('a start says where it listens, and no word of the answers that warm it up', async () => {
  await using server = await startServer();
  assert.equal(server.log.length, 1);
  assert.match(server.log[0], new RegExp(`listening at ${server.url}`));
});

test('a role without an API serves its probes and nothing else', async () => {
  const logger = createLogger({ level: 'silent' });
  const server = createAdminServer({ logger, metrics: async () => 'm 1\n', ready: () => true });
  const { port } = await server.listen(parseAddress('127.0.0.1:0'));
  try {
    assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200);
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), 'm 1\n');
    const missing = await fetch(`http://127.0.0.1:${port}/v1/realtime/calls`, { method: 'POST' });
    assert.equal(missing.status, 404);
    assert.equal((await errorOf(missing)).code, 'not_found');
  } finally {
    await server.close();
  }
});

test('the talk page is served so that its microphone can be used by nobody else', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'earshot-page-'));
  writeFileSync(join(directory, 'index.html'), '<!doctype html><title>Talk</title>');
  writeFileSync(join(directory, 'worklet.js'), 'export {};');
  try {
    await using server = await startServer({ publicDirectory: directory });
    const page = await fetch(`${server.url}/`);
    assert.equal(page.status, 200);
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/);
    const policy = page.headers.get('content-security-policy') ?? '';
    for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) assert.ok(policy.includes(part), part);
    assert.match(page.headers.get('permissions-policy') ?? '', /microphone=\(self\)/);
    assert.equal(page.headers.get('x-content-type-options'), 'nosniff');
    const script = await fetch(`${server.url}/worklet.js`);
    assert.match(script.headers.get('content-type') ?? '', /javascript/);
    assert.equal(script.headers.get('cache-control'), 'no-cache');
    const revalidation = `GET /worklet.js HTTP/1.1\r\nHost: x\r\nIf-None-Match: ${script.headers.get('etag')}\r\nConnection: close\r\n\r\n`;
    assert.match(await sendRaw(server.port, revalidation), /^HTTP\/1\.1 304 /);
    assert.equal((await fetch(`${server.url}/missing.js`)).status, 404);
    assert.match(await sendRaw(server.port, 'GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 40[34] /);
    assert.equal((await server.post('/v1/realtime/calls', OFFER)).status, 201, 'the page does not hide the API');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('what is not HTTP gets an error of the usual shape and a closed connection', async () => {
  await using server = await startServer();
  const cases: [bytes: string, status: number, code: string][] = [
    ['\u0016\u0003\u0001\r\n\r\n', 400, 'invalid_request'],
    [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
    ['GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 400, 'invalid_url'],
  ];
  for (const [bytes, status, code] of cases) {
    const [head, body] = (await sendRaw(server.port, bytes)).split('\r\n\r\n') as [string, string];
    assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.equal((JSON.parse(body) as { error: { code: string } }).error.code, code);
  }
});

test('arbitrary bodies and headers never make a server error', async () => {
  await using server = await startServer();
  const body = fc.oneof(fc.string(), fc.json(), fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('latin1')));
  const type = fc.constantFrom('application/sdp', 'application/json', 'multipart/form-data; boundary=x', 'multipart/form-data', 'text/plain');
  const path = fc.constantFrom('/v1/realtime/calls', '/v1/realtime/client_secrets', '/v1/realtime/calls/rtc_1/hangup', '/v1/realtime?model[]=1');
  await fc.assert(
    fc.asyncProperty(path, type, body, async (path, type, body) => {
      const wrapped = type.endsWith('=x') ? `--x\r\nContent-Disposition: form-data; name="session"\r\n\r\n${body}\r\n--x--\r\n` : body;
      const response = await server.post(path, wrapped, { type });
      await response.arrayBuffer();
      assert.ok(response.status < 500, `${response.status} ${path} ${type}`);
    }),
    { numRuns: 300 },
  );
});

test('each answered request is counted under the pattern of its route', async () => {
  const seen: AnsweredRequest[] = [];
  await using server = await startServer({ countRequest: (request) => seen.push(request) });
  await server.post('/v1/realtime/calls', OFFER);
  await server.post('/v1/realtime/calls/rtc_1/hangup', '', { type: 'application/json' });
  await fetch(`${server.url}/nowhere/secret`);
  assert.deepEqual(
    seen.map(({ method, route, status }) => `${method} ${route} ${status}`),
    ['POST /v1/realtime/calls 201', 'POST /v1/realtime/calls/:id/hangup 200', 'GET unknown 404'],
  );
});

test('closing does not wait for a client that never finishes its request', { timeout: 10_000 }, async () => {
  const server = await startServer();
  const socket = connect(server.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write('POST /v1/realtime/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n');
  await fetch(`${server.url}/healthz`);
  await server[Symbol.asyncDispose]();
  await assert.rejects(fetch(`${server.url}/healthz`));
  socket.destroy();
});

test('a port in use is an error with its address', async () => {
  await using server = await startServer();
  const other = createAdminServer({ logger: createLogger({ level: 'silent' }), metrics: async () => '', ready: () => true });
  await assert.rejects(other.listen(parseAddress(`127.0.0.1:${server.port}`)), { code: 'EADDRINUSE', port: server.port });
  await other.close();
});
