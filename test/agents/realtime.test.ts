import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { realtime } from '../../src/agents/realtime.ts';
import { TestCall } from '../conversation/harness.ts';
import { encodeWav, readWav } from '../media/wav.ts';
import { RealtimeServer, type RealtimeConnection } from '../support/realtime-server.ts';

const hello = encodeWav(readWav('hello.wav'));
const KEY = 'sk-upstream';
const calls: TestCall[] = [];

afterEach(() => {
  for (const call of calls.splice(0)) call.conversation.close('test', call.now);
});

/** Lets the network run until something holds; the test's own time-out is the limit. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await turnOfLoop();
}

async function connect(server: RealtimeServer, session: object = {}): Promise<{ call: TestCall; upstream: RealtimeConnection }> {
  const connected = server.connected();
  const call = new TestCall(realtime({ upstream: server.url, upstreamKey: KEY }), session);
  calls.push(call);
  await call.start();
  const upstream = await connected;
  await until(() => call.types().includes('session.created'));
  return { call, upstream };
}

const LIMIT = { timeout: 20_000 };

test('the session is what the client asked for on top of what the server has, and is created once', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server, { instructions: 'Sing.', audio: { input: { turn_detection: null }, output: { voice: 'marin' } } });
  assert.deepEqual(call.types(), ['session.created']);
  const { session } = call.find('session.created');
  assert.equal(session.id, 'sess_upstream');
  assert.deepEqual([session.instructions, session.audio.output.voice, session.audio.input.turn_detection], ['Sing.', 'marin', null]);
  assert.deepEqual(session.audio.output.format, { type: 'audio/pcm', rate: 24_000 });
  call.send({ type: 'session.update', event_id: 'mine', session: { type: 'realtime', instructions: 'Hum.' } });
  await until(() => call.types().includes('session.updated'));
  assert.equal(upstream.received.at(-1)?.['event_id'], 'mine');
  assert.equal(call.find('session.updated')['session'].instructions, 'Hum.');
});

test('the caller is heard, and text goes through as it is', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server);
  await call.say(hello.slice(0, 50));
  await until(() => upstream.audio >= 24_000 * 0.9);
  const event = { type: 'conversation.item.create', item: { id: 'a', type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }] } };
  call.send(event);
  await until(() => call.types().includes('conversation.item.done'));
  assert.deepEqual(upstream.received.at(-1), event);
  assert.equal(call.types().filter((type) => type === 'conversation.item.added').length, 1, 'told once');
});

test('what the server says is paced, one message after the other, under its own ids', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server);
  upstream.say('1', 300);
  upstream.say('2', 200);
  await until(() => call.types().filter((type) => type === 'response.done').length === 2);
  assert.equal(call.types().includes('response.output_audio.delta'), false, 'the sound goes over RTP');
  await call.wait(1000);
  assert.equal(call.frames.length, 25 + 1 + 3, 'silence between them and at the end');
  const output = call.events.filter(({ type }) => type.startsWith('output_audio_buffer.'));
  assert.deepEqual(
    output.map(({ type, response_id: id }) => `${type.slice(20)} ${id}`),
    ['started resp_1', 'stopped resp_1', 'started resp_2', 'stopped resp_2'],
  );
});

test('a function call reaches the client, and its output the server', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server, { tools: [{ type: 'function', name: 'weather', parameters: {} }] });
  upstream.callFunction('1', 'weather', '{"city":"Ulm"}');
  await until(() => call.types().includes('response.done'));
  assert.equal(call.find('response.function_call_arguments.done')['arguments'], '{"city":"Ulm"}');
  const output = upstream.next('response.create');
  call.send({ type: 'conversation.item.create', item: { type: 'function_call_output', call_id: 'call_1', output: 'rain' } });
  call.send({ type: 'response.create' });
  await output;
  assert.deepEqual(upstream.received.map(({ type }) => type), ['session.update', 'conversation.item.create', 'response.create']);
});

test('the caller speaks over an answer: silence at once, and the server is told what was heard', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server);
  upstream.say('1', 2000, { open: true });
  upstream.say('2', 500);
  await until(() => call.types().includes('response.done'));
  await call.wait(600);
  const frames = call.frames.length;
  upstream.send({ type: 'input_audio_buffer.speech_started', audio_start_ms: 0, item_id: 'item_user' });
  await until(() => call.types().filter((type) => type === 'conversation.item.truncated').length === 2);
  const truncated = upstream.received.filter(({ type }) => type === 'conversation.item.truncate');
  assert.deepEqual(truncated.map((event) => [event['item_id'], event['audio_end_ms']]), [['item_1', 600], ['item_2', 0]]);
  assert.equal(call.find('output_audio_buffer.cleared')['response_id'], 'resp_1');
  const late = { response_id: 'resp_1', item_id: 'item_1', output_index: 0, content_index: 0, delta: Buffer.alloc(9600).toString('base64') };
  upstream.send({ type: 'response.output_audio.delta', ...late });
  upstream.send({ type: 'rate_limits.updated', rate_limits: [] });
  await until(() => call.types().includes('rate_limits.updated'));
  await call.wait(500);
  assert.equal(call.frames.length, frames + 3, 'silence at the end, and nothing of the second message or of what came late');
  upstream.say('3', 100);
  await until(() => call.types().filter((type) => type === 'response.created').length === 3);
  await call.wait(300);
  assert.equal(call.last('output_audio_buffer.stopped')['response_id'], 'resp_3', 'the next answer is heard whole');
  assert.equal(upstream.received.filter(({ type }) => type === 'conversation.item.truncate').length, 2);
});

test('an answer that comes right behind an interruption is heard whole', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server);
  upstream.say('1', 2000);
  await until(() => call.types().includes('response.done'));
  await call.wait(400);
  upstream.send({ type: 'input_audio_buffer.speech_started', audio_start_ms: 0, item_id: 'item_user' });
  upstream.say('2', 300);
  await until(() => call.types().filter((type) => type === 'response.done').length === 2);
  await call.wait(600);
  assert.equal(call.last('output_audio_buffer.stopped')['response_id'], 'resp_2');
  await until(() => call.types().includes('conversation.item.truncated'));
  assert.deepEqual(upstream.received.filter(({ type }) => type === 'conversation.item.truncate').map((event) => event['item_id']), ['item_1']);
});

test('a client that clears the output ends the sound, and the server is told what was heard', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server);
  upstream.say('1', 2000);
  await until(() => call.types().includes('response.done'));
  await call.wait(400);
  const truncate = upstream.next('conversation.item.truncate');
  call.send({ type: 'output_audio_buffer.clear' });
  assert.equal((await truncate)['audio_end_ms'], 400);
  assert.ok(call.types().includes('output_audio_buffer.cleared'));
});

test("the server's errors reach the client in its words, and what is no event never reaches the server", LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server);
  call.send({ type: 'no.such', event_id: 'mine' });
  await until(() => call.types().includes('error'));
  assert.deepEqual(call.last('error')['error'], { type: 'invalid_request_error', code: 'invalid_value', message: "Invalid value: 'no.such'.", param: 'type', event_id: 'mine' });
  call.conversation.handleEvent('{', call.now);
  assert.equal(call.last('error')['error'].code, 'invalid_json');
  assert.equal(upstream.received.length, 2);
});

test('a connection that breaks is told, made anew with the session as it was, and told what was said', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server, { instructions: 'A' });
  call.send({ type: 'session.update', session: { type: 'realtime', instructions: 'B' } });
  call.send({ type: 'conversation.item.create', item: { id: 'q', type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }] } });
  upstream.say('1', 300, { open: true });
  await until(() => call.types().includes('response.output_audio_transcript.delta'));
  const again = server.connected();
  upstream.cut();
  await until(() => call.types().includes('error'));
  assert.equal(call.last('error')['error'].code, 'upstream_disconnected');
  assert.equal(call.last('error')['error'].type, 'server_error');
  assert.equal(call.find('response.done')['response'].status, 'failed');
  call.send({ type: 'response.create' });
  const second = await again;
  await second.next('response.create');
  assert.deepEqual(second.received.map(({ type }) => type), ['session.update', 'conversation.item.create', 'response.create']);
  assert.equal((second.received[0]['session'] as { instructions: string }).instructions, 'B');
  assert.equal((second.received[1]['item'] as { content: { text: string }[] }).content[0].text, 'Hi');
  assert.deepEqual(call.hangups, []);
  assert.equal(call.types().filter((type) => type === 'session.created').length, 1);
  second.say('2', 100);
  await until(() => call.types().filter((type) => type === 'response.done').length === 2);
  assert.equal(call.events.filter((event) => event.type === 'conversation.item.added' && event['item'].id === 'q').length, 1, 'not told again');
});

test('a server that refuses the key ends the call, with the reason', LIMIT, async () => {
  await using server = await RealtimeServer.start('another key');
  const call = new TestCall(realtime({ upstream: server.url, upstreamKey: KEY }));
  calls.push(call);
  await call.start();
  await until(() => call.hangups.length > 0);
  assert.deepEqual(call.hangups, ['upstream_unavailable']);
  assert.match(call.last('error')['error'].message, /answered 401/);
});

test('a session that the server refuses is told, and the call goes on with its own', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const connected = server.connected();
  const call = new TestCall(realtime({ upstream: server.url, upstreamKey: KEY }), { audio: { input: {} } });
  calls.push(call);
  const upstreamSession = connected.then((upstream) => {
    upstream.refuseSession = 'No such voice.';
    return upstream;
  });
  await call.start();
  const upstream = await upstreamSession;
  await until(() => call.types().includes('session.created'));
  assert.equal(call.find('error')['error'].message, 'No such voice.');
  upstream.say('1', 100);
  await until(() => call.types().includes('response.done'));
});

test('the end of the call ends the connection', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server);
  const closed = once(upstream.socket, 'close');
  call.conversation.close('test', call.now);
  await closed;
});

test("the client's model counts when the operator has set none", LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { upstream } = await connect(server, { model: 'mine' });
  assert.equal(upstream.path, '/v1/realtime?model=none');
  const connected = server.connected();
  const call = new TestCall(realtime({ upstream: server.url.replace(/\?.*/, ''), upstreamKey: KEY }), { model: 'mine' });
  calls.push(call);
  await call.start();
  assert.equal((await connected).path, '/v1/realtime?model=mine');
  const chosen = server.connected();
  const other = new TestCall(realtime({ upstream: server.url.replace(/\?.*/, ''), upstreamKey: KEY }), { model: 'realtime' });
  calls.push(other);
  await other.start();
  assert.equal((await chosen).path, '/v1/realtime', 'the name of the agent chose it, and is no model');
});

test('an observer who comes before the server has answered sees one session, the right one', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const call = new TestCall(realtime({ upstream: server.url, upstreamKey: KEY }));
  calls.push(call);
  const seen: { type: string; session: { id: string } }[] = [];
  call.conversation.observe((json) => seen.push(JSON.parse(json) as (typeof seen)[number]));
  await call.start();
  await until(() => seen.length > 0);
  assert.deepEqual(seen.map(({ type, session }) => [type, session.id]), [['session.created', 'sess_upstream']]);
});

test('without a server it does not start', () => {
  assert.throws(() => realtime({}), /--upstream/);
  assert.throws(() => realtime({ upstream: 'https://example.org' }), /--upstream/);
});

const connectionErrors = (call: TestCall): string[] =>
  call.events.filter(({ type, error }) => type === 'error' && error.type === 'server_error').map(({ error }) => `${error.code}: ${error.message}`);

test('a server that takes the connection and says nothing, or falls silent later, is given up for lost', LIMIT, async (t) => {
  await using server = await RealtimeServer.start(KEY);
  server.mute = true;
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  const waiting = server.connected();
  const call = new TestCall(realtime({ upstream: server.url, upstreamKey: KEY }));
  calls.push(call);
  await call.start();
  await waiting;
  server.mute = false;
  t.mock.timers.tick(15_000);
  await until(() => connectionErrors(call).length === 1);
  assert.match(connectionErrors(call)[0], /^upstream_disconnected: .*\(no answer\)/);
  const second = server.connected();
  t.mock.timers.tick(250);
  const upstream = await second;
  await until(() => call.types().includes('session.created'));
  upstream.say('1', 300, { open: true });
  await until(() => call.types().includes('response.output_audio_transcript.delta'));
  upstream.socket.pause();
  t.mock.timers.tick(15_000);
  await until(() => connectionErrors(call).length === 2);
  assert.equal(call.find('response.done')['response'].status, 'failed');
  await call.wait(500);
  assert.equal(call.last('output_audio_buffer.stopped')['response_id'], 'resp_1', 'what had come is heard to its end');
  assert.deepEqual(call.hangups, []);
});

test('a server that breaks off every session at once is not asked for ever', LIMIT, async (t) => {
  await using server = await RealtimeServer.start(KEY);
  t.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  const { call } = await connect(server);
  for (let pause = 250, broken = 1; pause <= 4000; pause *= 2, broken++) {
    server.connections.at(-1)!.cut();
    await until(() => connectionErrors(call).length === broken);
    const again = server.connected();
    t.mock.timers.tick(pause);
    await (await again).next('session.update');
    await until(() => call.types().filter((type) => type === 'session.updated').length === broken);
  }
  server.connections.at(-1)!.cut();
  await until(() => call.hangups.length > 0);
  assert.match(connectionErrors(call).at(-1)!, /^upstream_unavailable: .*broken off/);
  assert.equal(server.connections.length, 6);
});

test('a server that closes for want of a valid key is not asked again', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server);
  upstream.send({ type: 'error', error: { type: 'invalid_request_error', code: 'invalid_api_key', message: 'Revoked.' } });
  upstream.socket.close(3000, 'invalid_request_error.invalid_api_key');
  await until(() => call.hangups.length > 0);
  const errors = call.events.filter(({ type }) => type === 'error').map(({ error }) => error.code);
  assert.deepEqual(errors, ['invalid_api_key', 'upstream_unavailable']);
  assert.match(call.last('error')['error'].message, /closed with 3000 invalid_request_error\.invalid_api_key/);
});

test('a new connection gets the updates that the server took or has not answered, and none that it refused', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server, { instructions: 'A' });
  upstream.refuseSession = 'No such voice.';
  call.send({ type: 'session.update', session: { type: 'realtime', audio: { output: { voice: 'none' } } } });
  await until(() => call.types().includes('error'));
  assert.equal(call.last('error')['error'].event_id, null, 'the client gave none');
  call.send({ type: 'session.update', event_id: 'b', session: { type: 'realtime', instructions: 'B' } });
  await until(() => call.types().includes('session.updated'));
  upstream.socket.removeAllListeners('message');
  call.send({ type: 'session.update', event_id: 'c', session: { type: 'realtime', tool_choice: 'none' } });
  const again = server.connected();
  upstream.cut();
  const second = await again;
  await until(() => call.last('session.updated')['session'].tool_choice === 'none');
  const [first, asked] = second.received as unknown as { event_id: string; session: { instructions: string; tool_choice?: string; audio: { output: { voice?: string } } } }[];
  assert.deepEqual([first.session.instructions, first.session.audio.output.voice, first.session.tool_choice], ['B', undefined, undefined]);
  assert.deepEqual([asked.event_id, asked.session.tool_choice], ['c', 'none']);
});

test('what a server sends that is not as it should be goes on to the client, and harms nobody', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server);
  const types = ['session.updated', 'response.created', 'response.done', 'response.output_audio.delta', 'response.output_audio.done', 'error',
    'conversation.item.added', 'conversation.item.done', 'conversation.item.retrieved', 'conversation.item.deleted',
    'conversation.item.input_audio_transcription.completed', 'input_audio_buffer.speech_started'];
  const bodies = [{}, { session: null, item: null, response: null, error: null }, { session: 5, item: 'x', response: [], error: 'x', delta: 7, response_id: 1, item_id: {} },
    { item: { id: 'i', type: 'message', content: [null, 4] } }];
  for (const type of types) for (const body of bodies) upstream.socket.send(JSON.stringify({ type, ...body }));
  for (const text of ['', '{', '[]', 'null', '{"type":null}']) upstream.socket.send(text);
  upstream.say('1', 100);
  await until(() => call.types().includes('output_audio_buffer.started') || (call.step(), false));
  const again = server.connected();
  upstream.cut();
  await (await again).next('session.update');
  await until(() => call.types().includes('session.updated'));
  assert.deepEqual([call.hangups, call.logged], [[], []]);
});

test('an item that comes back with minutes of sound is told without it', LIMIT, async () => {
  await using server = await RealtimeServer.start(KEY);
  const { call, upstream } = await connect(server);
  const item = (audio: string): object => ({ id: 'u', type: 'message', role: 'user', content: [{ type: 'input_audio', transcript: 'Hi', audio }] });
  upstream.send({ type: 'conversation.item.retrieved', item: item('A'.repeat(400_000)) });
  upstream.send({ type: 'conversation.item.retrieved', item: item('AAAA') });
  await until(() => call.types().filter((type) => type === 'conversation.item.retrieved').length === 2);
  const [long, short] = call.events.filter(({ type }) => type === 'conversation.item.retrieved');
  assert.deepEqual(long['item'].content, [{ type: 'input_audio', transcript: 'Hi' }]);
  assert.equal(short['item'].content[0].audio, 'AAAA');
});
