import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientSecrets } from '../../src/signaling/client-secret.ts';
import { API_KEY, errorOf, FRAGMENT, OFFER, SECRET, startServer } from './harness.ts';

interface ClientSecret {
  value: string;
  expires_at: number;
  session: Record<string, unknown>;
}

const now = (): number => Math.floor(Date.now() / 1000);
const session = { type: 'realtime' as const, model: 'parrot', instructions: 'whisper' };

test('nothing of the API answers without a key or with a wrong one', async () => {
  await using server = await startServer();
  const requests: [method: string, path: string][] = [
    ['POST', '/v1/realtime/client_secrets'],
    ['POST', '/v1/realtime/calls'],
    ['POST', '/v1/realtime'],
    ['DELETE', '/v1/realtime/calls/rtc_1'],
    ['PATCH', '/v1/realtime/calls/rtc_1'],
    ['POST', '/v1/realtime/calls/rtc_1/hangup'],
  ];
  const wrong = [undefined, '', 'Bearer', 'Bearer ', `Basic ${API_KEY}`, API_KEY, `Bearer ${API_KEY}x`, 'Bearer k', 'Bearer ek_', 'Bearer ek_AQ', `Bearer x ${API_KEY}`];
  for (const [method, path] of requests) {
    for (const authorization of wrong) {
      const headers = authorization === undefined ? {} : { Authorization: authorization };
      const response = await fetch(server.url + path, { method, headers });
      assert.equal(response.status, 401, `${method} ${path} with ${authorization}`);
      assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer/);
      assert.equal((await errorOf(response)).type, 'authentication_error');
    }
  }
  assert.equal(server.calls.requests.length + server.calls.hangups.length, 0);
});

test('a client secret is issued in the form of the OpenAI API and begins a call with its session', async () => {
  await using server = await startServer();
  const response = await server.post('/v1/realtime/client_secrets', { session, expires_after: { anchor: 'created_at', seconds: 60 } });
  assert.equal(response.status, 200);
  const secret = (await response.json()) as ClientSecret;
  assert.match(secret.value, /^ek_[A-Za-z0-9_-]+$/);
  assert.ok(Math.abs(secret.expires_at - now() - 60) <= 2);
  assert.deepEqual(secret.session, session);
  assert.equal((await server.post('/v1/realtime/calls', OFFER, { key: secret.value })).status, 201);
  assert.deepEqual(server.calls.requests, [{ offer: OFFER, session }]);
});

test('a client secret asked for with nothing lasts ten minutes', async () => {
  await using server = await startServer();
  const response = await fetch(`${server.url}/v1/realtime/client_secrets`, { method: 'POST', headers: { Authorization: `Bearer ${API_KEY}` } });
  const secret = (await response.json()) as ClientSecret;
  assert.ok(Math.abs(secret.expires_at - now() - 600) <= 2);
  assert.deepEqual(secret.session, { type: 'realtime' });
});

test('a malformed request for a client secret says which field is at fault', async () => {
  await using server = await startServer();
  const cases: [body: unknown, param: string | null][] = [
    [{ expires_after: { seconds: 9 } }, 'expires_after.seconds'],
    [{ expires_after: { seconds: 7201 } }, 'expires_after.seconds'],
    [{ expires_after: { seconds: 60.5 } }, 'expires_after.seconds'],
    [{ expires_after: { anchor: 'never', seconds: 60 } }, 'expires_after.anchor'],
    [{ session: { model: {} } }, 'session.model'],
    [{ session: 'x' }, 'session'],
    [[], null],
  ];
  for (const [body, param] of cases) {
    const response = await server.post('/v1/realtime/client_secrets', body);
    assert.equal(response.status, 400, JSON.stringify(body));
    assert.equal((await errorOf(response)).param, param);
  }
  const broken = await server.post('/v1/realtime/client_secrets', '{"session"', { type: 'application/json' });
  assert.deepEqual([broken.status, (await errorOf(broken)).code], [400, 'invalid_json']);
});

test('a session too large for a client secret is refused with its size', async () => {
  await using server = await startServer();
  const instructions = Array.from({ length: 1500 }, (_, i) => `${Math.imul(i, 0x9e3779b1) >>> 0}`).join(' ');
  const response = await server.post('/v1/realtime/client_secrets', { session: { instructions } });
  assert.equal(response.status, 400);
  const error = await errorOf(response);
  assert.deepEqual([error.code, error.param], ['session_too_large', 'session']);
});

test('a deeply nested session is refused before anything recurses into it', async () => {
  await using server = await startServer();
  const nested = (depth: number): string => `{"x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  const ask = (depth: number): Promise<Response> =>
    server.post('/v1/realtime/client_secrets', `{"session":${nested(depth)}}`, { type: 'application/json' });
  assert.equal((await ask(50)).status, 200);
  assert.equal((await ask(20_000)).status, 400);
  const form = new FormData();
  form.set('sdp', OFFER);
  form.set('session', nested(20_000));
  assert.equal((await server.post('/v1/realtime/calls', form)).status, 400);
  const key = new ClientSecrets(SECRET).seal({ session: { ...session, x: [] }, expiresAt: now() + 60 });
  assert.equal((await server.post('/v1/realtime/calls', form, { key })).status, 400);
});

test('a client secret cannot be widened by the request that uses it', async () => {
  await using server = await startServer();
  const key = new ClientSecrets(SECRET).seal({ session, expiresAt: now() + 60 });
  const form = (asked: object): FormData => {
    const fields = new FormData();
    fields.set('sdp', OFFER);
    fields.set('session', JSON.stringify(asked));
    return fields;
  };
  const wider: [asked: object, param: string][] = [
    [{ instructions: 'shout' }, 'session.instructions'],
    [{ ...session, tools: [] }, 'session.tools'],
    [{ model: 'dearer' }, 'session.model'],
  ];
  for (const [asked, param] of wider) {
    const response = await server.post('/v1/realtime/calls', form(asked), { key });
    assert.equal(response.status, 403);
    assert.equal((await errorOf(response)).param, param);
  }
  assert.equal((await server.post('/v1/realtime/calls?model=dearer', OFFER, { key })).status, 403);
  assert.equal(server.calls.requests.length, 0);
  for (const same of [form(session), form({ model: 'parrot' }), form({})]) {
    assert.equal((await server.post('/v1/realtime/calls?model=parrot', same, { key })).status, 201);
  }
  for (const request of server.calls.requests) assert.deepEqual(request.session, session);
});

test('an expired client secret begins no call but still ends and moves one', async () => {
  await using server = await startServer();
  const key = new ClientSecrets(SECRET).seal({ session, expiresAt: now() - 1 });
  const response = await server.post('/v1/realtime/calls', OFFER, { key });
  assert.equal(response.status, 401);
  assert.equal((await errorOf(response)).code, 'expired_client_secret');

  await server.post('/v1/realtime/calls', OFFER);
  const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' };
  const call = `${server.url}/v1/realtime/calls/rtc_1`;
  assert.equal((await fetch(call, { method: 'PATCH', headers, body: FRAGMENT })).status, 200);
  assert.equal((await fetch(call, { method: 'DELETE', headers: { Authorization: `Bearer ${key}` } })).status, 200);
});

test('a client secret cannot issue client secrets', async () => {
  await using server = await startServer();
  const key = new ClientSecrets(SECRET).seal({ session, expiresAt: now() + 60 });
  const response = await server.post('/v1/realtime/client_secrets', {}, { key });
  assert.equal(response.status, 403);
  assert.equal((await errorOf(response)).code, 'api_key_required');
});

test('while a secret rotates, client secrets of the previous one are honoured', async () => {
  await using server = await startServer({ secret: 'the next secret', previousSecret: SECRET });
  const old = new ClientSecrets(SECRET).seal({ session, expiresAt: now() + 60 });
  assert.equal((await server.post('/v1/realtime/calls', OFFER, { key: old })).status, 201);
  const issued = (await (await server.post('/v1/realtime/client_secrets', {})).json()) as ClientSecret;
  assert.equal(new ClientSecrets(SECRET).open(issued.value), null, 'sealed with the current secret');
  assert.notEqual(new ClientSecrets('the next secret').open(issued.value), null);
});

test('without an API key nothing needs one, and a client secret still fixes its session', async () => {
  await using server = await startServer({ apiKey: null });
  assert.equal((await server.post('/v1/realtime/calls', OFFER, { key: null })).status, 201);
  assert.equal((await server.post('/v1/realtime/calls', OFFER, { key: 'anything' })).status, 201);
  const { value } = (await (await server.post('/v1/realtime/client_secrets', { session }, { key: null })).json()) as ClientSecret;
  assert.equal((await server.post('/v1/realtime/calls', OFFER, { key: value })).status, 201);
  assert.deepEqual(server.calls.requests.at(-1)?.session, session);
  assert.equal((await server.post('/v1/realtime/calls', OFFER, { key: `${value}A` })).status, 401);
});
