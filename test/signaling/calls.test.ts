import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { CallError } from '../../src/signaling/call-service.ts';
import { ANSWER, API_KEY, errorOf, EXPIRES_AT, FRAGMENT, OFFER, sendRaw, startServer } from './harness.ts';

test('an SDP offer is answered as the OpenAI SDK and WHIP clients expect', async () => {
  await using server = await startServer();
  const response = await server.post('/v1/realtime/calls?model=parrot', OFFER);
  assert.equal(response.status, 201);
  assert.equal(response.headers.get('content-type'), 'application/sdp');
  assert.equal(response.headers.get('location'), '/v1/realtime/calls/rtc_1');
  assert.equal(response.headers.get('etag'), '"ice-1"');
  assert.equal(await response.text(), ANSWER);
  assert.deepEqual(server.calls.requests, [{ offer: OFFER, session: { type: 'realtime', model: 'parrot' } }]);
});

test('the older URL takes offers and points at the same resource', async () => {
  await using server = await startServer();
  const response = await server.post('/v1/realtime?model=parrot', OFFER, { type: 'application/sdp; charset=utf-8' });
  assert.equal(response.status, 201);
  assert.equal(response.headers.get('location'), '/v1/realtime/calls/rtc_1');
});

test('?dcid says which negotiated channel carries the events, in every form of an offer', async () => {
  await using server = await startServer();
  const form = new FormData();
  form.set('sdp', OFFER);
  for (const [path, body] of [['/v1/realtime/calls?dcid=0', OFFER], ['/v1/realtime?model=m&dcid=65534', OFFER], ['/v1/realtime/calls?dcid=7', form]] as const) {
    const response = await server.post(path, body);
    assert.equal(response.status, 201, path);
    assert.equal(response.headers.get('earshot-events-channel'), /dcid=(\d+)/.exec(path)![1]);
  }
  assert.equal((await server.post('/v1/realtime/calls', OFFER)).headers.get('earshot-events-channel'), null);
  const { value } = (await (await server.post('/v1/realtime/client_secrets', {})).json()) as { value: string };
  assert.equal((await server.post('/v1/realtime/calls?dcid=1', OFFER, { key: value })).status, 201);
  assert.deepEqual(server.calls.requests.map(({ eventsChannelId }) => eventsChannelId), [0, 65_534, 7, undefined, 1]);
  for (const bad of ['dcid=', 'dcid=65535', 'dcid=-1', 'dcid=1.5', 'dcid=oai-events', 'dcid=000001', 'dcid=1&dcid=2', 'dcid=0x1', 'dcid=%20']) {
    const response = await server.post(`/v1/realtime/calls?${bad}`, OFFER);
    assert.equal(response.status, 400, bad);
    const error = await errorOf(response);
    assert.deepEqual([error.code, error.param], ['invalid_value', 'dcid'], bad);
    assert.match(error.message, /^dcid: .*0 to 65534/, bad);
  }
  assert.equal(server.calls.requests.length, 5);
});

test('?instant answers ahead: nothing is created, and it says until when it is good', async () => {
  await using server = await startServer();
  for (const query of ['instant', 'instant=', 'instant=true', 'instant=1&model=parrot&dcid=3']) {
    const response = await server.post(`/v1/realtime/calls?${query}`, OFFER);
    assert.equal(response.status, 200, query);
    assert.equal(response.headers.get('content-type'), 'application/sdp');
    assert.equal(response.headers.get('expires'), new Date(EXPIRES_AT * 1000).toUTCString());
    assert.deepEqual([response.headers.get('location'), response.headers.get('etag')], [null, null]);
    assert.equal(await response.text(), ANSWER);
  }
  assert.deepEqual(server.calls.requests.at(-1), { offer: OFFER, session: { type: 'realtime', model: 'parrot' }, eventsChannelId: 3 });
  assert.equal(server.calls.live.size, 0);
  for (const query of ['instant=false', 'instant=0']) assert.equal((await server.post(`/v1/realtime/calls?${query}`, OFFER)).status, 201);
  for (const query of ['instant=yes', 'instant&instant']) {
    const error = await errorOf(await server.post(`/v1/realtime/calls?${query}`, OFFER));
    assert.deepEqual([error.code, error.param], ['invalid_value', 'instant']);
  }
});

test('an answer ahead expires with the client secret that it was asked for with', async () => {
  await using server = await startServer();
  const { value, expires_at: expiresAt } = (await (await server.post('/v1/realtime/client_secrets', {})).json()) as { value: string; expires_at: number };
  const response = await server.post('/v1/realtime/calls?instant', OFFER, { key: value });
  assert.equal(response.headers.get('expires'), new Date(expiresAt * 1000).toUTCString());
});

test('a form is read whether its fields are text or files, and its session reaches the call', async () => {
  await using server = await startServer();
  const session = { type: 'realtime', model: 'm', instructions: 'be kind', tools: [{ type: 'function', name: 't' }] };
  const asText = new FormData();
  asText.set('sdp', OFFER);
  asText.set('session', JSON.stringify(session));
  const asFiles = new FormData();
  asFiles.set('session', new Blob([JSON.stringify(session)], { type: 'application/json' }));
  asFiles.set('sdp', new Blob([OFFER], { type: 'application/sdp' }));
  for (const form of [asText, asFiles]) assert.equal((await server.post('/v1/realtime/calls', form)).status, 201);
  const typedFields =
    `--x\r\nContent-Disposition: form-data; name="sdp"\r\nContent-Type: application/sdp\r\n\r\n${OFFER}\r\n` +
    `--x\r\nContent-Disposition: form-data; name="session"\r\nContent-Type: application/json\r\n\r\n${JSON.stringify(session)}\r\n--x--\r\n`;
  assert.equal((await server.post('/v1/realtime/calls', typedFields, { type: 'multipart/form-data; boundary=x' })).status, 201);
  assert.equal(server.calls.requests.length, 3);
  for (const request of server.calls.requests) assert.deepEqual(request, { offer: OFFER, session });
});

test('a form that lacks the offer or has a broken session says which part is at fault', async () => {
  await using server = await startServer();
  const cases: [Record<string, string>, code: string, param: string][] = [
    [{ session: '{}' }, 'missing_offer', 'sdp'],
    [{ sdp: OFFER, session: '{' }, 'invalid_json', 'session'],
    [{ sdp: OFFER, session: '[]' }, 'invalid_value', 'session'],
    [{ sdp: OFFER, session: 'null' }, 'invalid_value', 'session'],
    [{ sdp: OFFER, session: '{"model":7}' }, 'invalid_value', 'session.model'],
    [{ sdp: OFFER, session: '{"type":"transcription"}' }, 'invalid_value', 'session.type'],
  ];
  for (const [fields, code, param] of cases) {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    const response = await server.post('/v1/realtime/calls', form);
    assert.equal(response.status, 400, JSON.stringify(fields));
    const error = await errorOf(response);
    assert.deepEqual([error.type, error.code, error.param], ['invalid_request_error', code, param]);
  }
  assert.equal(server.calls.requests.length, 0);
});

test('a session cannot smuggle in a prototype', async () => {
  await using server = await startServer();
  const form = new FormData();
  form.set('sdp', OFFER);
  form.set('session', '{"__proto__":{"model":"evil"},"audio":{"__proto__":{"x":1}}}');
  assert.equal((await server.post('/v1/realtime/calls', form)).status, 201);
  const [{ session }] = server.calls.requests;
  assert.equal(session.model, undefined);
  assert.equal((session as { audio?: { x?: number } }).audio?.x, undefined);
});

test('an error of the call service keeps its status, code and the line at fault', async () => {
  await using server = await startServer();
  const response = await server.post('/v1/realtime/calls', 'this is no SDP');
  assert.equal(response.status, 400);
  assert.deepEqual(await errorOf(response), {
    type: 'invalid_request_error',
    code: 'invalid_offer',
    message: 'The offer does not begin with v=0.',
    param: 'sdp line 1',
  });
});

test('an empty offer is refused without asking the call service', async () => {
  await using server = await startServer();
  const response = await server.post('/v1/realtime/calls', '');
  assert.equal(response.status, 400);
  assert.equal((await errorOf(response)).code, 'missing_offer');
  assert.equal(server.calls.requests.length, 0);
});

test('a full server says when to come back', async () => {
  await using server = await startServer();
  server.calls.onCreate = async () => {
    throw new CallError(503, 'server_full', 'All places are taken.', { retryAfter: 7 });
  };
  const response = await server.post('/v1/realtime/calls', OFFER);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('retry-after'), '7');
  assert.equal((await errorOf(response)).type, 'server_error');
});

test('a draining server takes no new call but still hangs up', async () => {
  let ready = true;
  await using server = await startServer({ ready: () => ready });
  await server.post('/v1/realtime/calls', OFFER);
  ready = false;
  const refused = await server.post('/v1/realtime/calls', OFFER);
  assert.equal(refused.status, 503);
  assert.ok(refused.headers.has('retry-after'));
  assert.equal(server.calls.requests.length, 1);
  assert.equal((await server.post('/v1/realtime/calls/rtc_1/hangup', '', { type: 'application/json' })).status, 200);
});

test('offers that pile up are sent elsewhere instead of being queued without end', { timeout: 10_000 }, async () => {
  await using server = await startServer();
  let release = (): void => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  const piledUp = new Promise<void>((resolve) => {
    server.calls.onCreate = async ({ offer }) => {
      if (server.calls.requests.length === 512) resolve();
      await released;
      return { id: `rtc_${offer.length}`, answer: ANSWER, etag: 'e', busySeconds: 0 };
    };
  });
  const request = `POST /v1/realtime/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-of-the-tests\r\nContent-Type: application/sdp\r\nContent-Length: ${OFFER.length}\r\n`;
  const answers = sendRaw(server.port, `${request}\r\n${OFFER}`.repeat(511) + `${request}Connection: close\r\n\r\n${OFFER}`);
  await piledUp;
  const refused = await server.post('/v1/realtime/calls', OFFER);
  assert.equal(refused.status, 503);
  assert.equal((await errorOf(refused)).code, 'server_busy');
  release();
  assert.equal((await answers).match(/^HTTP\/1\.1 201 /gm)?.length, 512);
  assert.equal((await server.post('/v1/realtime/calls', OFFER)).status, 201);
});

test('an unexpected failure is logged and not shown', async () => {
  await using server = await startServer();
  server.calls.onCreate = async () => {
    throw new Error('password of the database: hunter2');
  };
  const response = await server.post('/v1/realtime/calls', OFFER);
  assert.equal(response.status, 500);
  const error = await errorOf(response);
  assert.equal(error.code, 'internal_error');
  assert.doesNotMatch(JSON.stringify(error), /hunter2/);
  const requestId = response.headers.get('x-request-id') ?? 'none';
  assert.match(error.message, new RegExp(requestId));
  assert.ok(server.log.some((line) => line.includes('hunter2') && line.includes(requestId)));
});

test('a status that only pretends to be an HTTP error does not leak either', async () => {
  await using server = await startServer();
  server.calls.onCreate = async () => {
    throw Object.assign(new Error('upstream said hunter2'), { statusCode: 502, code: 'UPSTREAM' });
  };
  const response = await server.post('/v1/realtime/calls', OFFER);
  assert.equal(response.status, 500);
  assert.doesNotMatch(await response.text(), /hunter2/);
});

test('DELETE and POST hangup end the call once; after that it is unknown', async () => {
  await using server = await startServer();
  const headers = { Authorization: 'Bearer key-of-the-tests' };
  await server.post('/v1/realtime/calls', OFFER);
  await server.post('/v1/realtime/calls', OFFER);
  assert.equal((await fetch(`${server.url}/v1/realtime/calls/rtc_1`, { method: 'DELETE', headers })).status, 200);
  assert.equal((await fetch(`${server.url}/v1/realtime/calls/rtc_2/hangup`, { method: 'POST', headers })).status, 200);
  const again = await fetch(`${server.url}/v1/realtime/calls/rtc_1`, { method: 'DELETE', headers });
  assert.equal(again.status, 404);
  assert.equal((await errorOf(again)).code, 'call_not_found');
  assert.deepEqual(server.calls.hangups.map(({ reason }) => reason), ['client_hangup', 'client_hangup', 'client_hangup']);
});

test('a client that leaves before its answer does not keep a call', { timeout: 10_000 }, async () => {
  await using server = await startServer();
  let answer = (): void => {};
  const asked = new Promise<void>((resolve) => {
    server.calls.onCreate = () => {
      resolve();
      return new Promise((done) => {
        answer = () => done({ id: 'rtc_left', answer: ANSWER, etag: 'e', busySeconds: 0 });
      });
    };
  });
  const hungUp = new Promise<string>((resolve) => {
    server.calls.hangup = async (id, reason) => {
      resolve(`${id} ${reason}`);
      return true;
    };
  });
  const socket = connect(server.port, '127.0.0.1');
  socket.write(
    `POST /v1/realtime/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-of-the-tests\r\nContent-Type: application/sdp\r\nContent-Length: ${OFFER.length}\r\n\r\n${OFFER}`,
  );
  await asked;
  socket.resetAndDestroy();
  await once(socket, 'close');
  // The reset reaches the server's socket before anything sent after it: one round trip of another connection is enough.
  await fetch(`${server.url}/healthz`);
  answer();
  assert.equal(await hungUp, 'rtc_left client_gone');
});

test('PATCH follows the preconditions of WHIP', async () => {
  await using server = await startServer();
  await server.post('/v1/realtime/calls', OFFER);
  const patch = (id: string, body: string, headers: Record<string, string>): Promise<Response> =>
    fetch(`${server.url}/v1/realtime/calls/${id}`, {
      method: 'PATCH',
      headers: { Authorization: 'Bearer key-of-the-tests', 'Content-Type': 'application/trickle-ice-sdpfrag', ...headers },
      body,
    });
  const candidate = 'a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n';

  const trickled = await patch('rtc_1', candidate, { 'If-Match': '"ice-1"' });
  assert.equal(trickled.status, 204);
  assert.equal(trickled.headers.get('etag'), null);

  assert.equal((await patch('rtc_1', candidate, {})).status, 428);
  assert.equal((await patch('rtc_1', candidate, { 'If-Match': '"ice-0"' })).status, 412);
  assert.equal((await patch('rtc_1', candidate, { 'If-Match': 'W/"ice-1"' })).status, 412);
  assert.equal((await patch('rtc_1', candidate, { 'If-Match': 'ice-1' })).status, 400);
  const bare = 'Host: x\r\nAuthorization: Bearer key-of-the-tests\r\nContent-Type: application/trickle-ice-sdpfrag\r\nIf-Match: *\r\nConnection: close';
  assert.match(await sendRaw(server.port, `PATCH /v1/realtime/calls/rtc_1 HTTP/1.1\r\n${bare}\r\n\r\n`), /^HTTP\/1\.1 204 /, 'no body at all');
  assert.equal((await patch('rtc_9', candidate, { 'If-Match': '*' })).status, 404);
  const wrongType = await patch('rtc_1', candidate, { 'If-Match': '*', 'Content-Type': 'application/sdp' });
  assert.equal(wrongType.status, 415);
  assert.equal(wrongType.headers.get('accept-patch'), 'application/trickle-ice-sdpfrag');

  const restarted = await patch('rtc_1', FRAGMENT, { 'If-Match': '*' });
  assert.equal(restarted.status, 200);
  assert.equal(restarted.headers.get('content-type'), 'application/trickle-ice-sdpfrag');
  assert.equal(restarted.headers.get('etag'), '"ice-2"');
  assert.equal(await restarted.text(), 'a=ice-ufrag:new\r\n');
  assert.equal((await patch('rtc_1', candidate, { 'If-Match': '"ice-1"' })).status, 412);
  assert.equal((await patch('rtc_1', candidate, { 'If-Match': '"other", "ice-2"' })).status, 204);
});

test('the agents are listed as models, to those who may call', async () => {
  await using server = await startServer();
  const response = await fetch(`${server.url}/v1/models`, { headers: { Authorization: `Bearer ${API_KEY}` } });
  const { object, data } = (await response.json()) as { object: string; data: { id: string; object: string; created: number }[] };
  assert.equal(object, 'list');
  assert.deepEqual(data.map((model) => [model.id, model.object, Number.isInteger(model.created)]), [['parrot', 'model', true], ['echo', 'model', true]]);
  assert.equal((await fetch(`${server.url}/v1/models`)).status, 401);
});

test('a method that a resource lacks is answered with those it has', async () => {
  await using server = await startServer();
  const cases: [path: string, method: string, allow: string][] = [
    ['/v1/realtime/calls', 'GET', 'POST, OPTIONS'],
    ['/v1/realtime/calls', 'DELETE', 'POST, OPTIONS'],
    ['/v1/realtime', 'PUT', 'GET, HEAD, POST, OPTIONS'],
    ['/v1/realtime/client_secrets', 'GET', 'POST, OPTIONS'],
    ['/v1/models', 'POST', 'GET, HEAD, OPTIONS'],
    ['/v1/realtime/calls/rtc_1', 'GET', 'PATCH, DELETE, OPTIONS'],
    ['/v1/realtime/calls/rtc_1', 'POST', 'PATCH, DELETE, OPTIONS'],
    ['/v1/realtime/calls/rtc_1/hangup', 'DELETE', 'POST, OPTIONS'],
  ];
  for (const [path, method, allow] of cases) {
    const response = await fetch(server.url + path, { method });
    assert.equal(response.status, 405, `${method} ${path}`);
    assert.equal(response.headers.get('allow'), allow);
    assert.equal((await errorOf(response)).code, 'method_not_allowed');
  }
});

test('a body of another type is refused by name', async () => {
  await using server = await startServer();
  for (const type of ['text/plain', 'application/json', 'application/octet-stream', 'application/sdpx', 'nonsense']) {
    const response = await server.post('/v1/realtime/calls', OFFER, { type });
    assert.equal(response.status, 415, type);
    assert.equal(response.headers.get('accept-post'), 'application/sdp');
  }
  assert.equal((await server.post('/v1/realtime/client_secrets', '{}', { type: 'text/plain' })).status, 415);
  assert.equal(server.calls.requests.length, 0);
});

test('a body over 64 KiB is refused in every form, announced or not', async () => {
  await using server = await startServer();
  const big = OFFER + 'a=x\r\n'.repeat(14_000);
  const form = new FormData();
  form.set('sdp', big);
  const formWithFile = new FormData();
  formWithFile.set('sdp', new Blob([big]));
  for (const body of [big, form, formWithFile]) {
    const response = await server.post('/v1/realtime/calls', body);
    assert.equal(response.status, 413);
    assert.equal((await errorOf(response)).code, 'body_too_large');
  }
  const chunk = big.slice(0, 0x8000);
  const chunked = `8000\r\n${chunk}\r\n`.repeat(3);
  const answer = await sendRaw(
    server.port,
    `POST /v1/realtime/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-of-the-tests\r\nContent-Type: application/sdp\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`,
  );
  assert.match(answer, /^HTTP\/1\.1 413 /);
  assert.equal(server.calls.requests.length, 0);
});

test('a form of very many parts is refused', async () => {
  await using server = await startServer();
  const form = new FormData();
  for (let i = 0; i < 100; i++) form.append(`field${i}`, 'x');
  assert.equal((await server.post('/v1/realtime/calls', form)).status, 413);
});
