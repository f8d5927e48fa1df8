import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { RealtimeAgent, RealtimeSession, OpenAIRealtimeWebRTC, tool } from '@openai/agents-realtime';
import type { Agent } from '../../src/agents/agent.ts';
import { parrot } from '../../src/agents/parrot.ts';
import { realtime } from '../../src/agents/realtime.ts';
import { encodeWav, padded, readWav } from '../media/wav.ts';
import { RealtimeServer } from '../support/realtime-server.ts';
import { settled, TestCall } from './harness.ts';

/**
 * The unmodified SDK on the client's side; only the browser below it is replaced: its peer connection's data channel
 * ends in a conversation.
 */
class PeerConnection {
  static call: TestCall;
  connectionState = 'connected';
  readonly channel = new Channel();

  createDataChannel(label: string): Channel {
    assert.equal(label, 'oai-events');
    return this.channel;
  }

  addTrack(): void {}
  getSenders(): unknown[] {
    return [];
  }
  createOffer(): Promise<object> {
    return Promise.resolve({ type: 'offer', sdp: 'v=0' });
  }
  setLocalDescription(): Promise<void> {
    return Promise.resolve();
  }
  setRemoteDescription(): Promise<void> {
    const call = PeerConnection.call;
    this.channel.readyState = 'open';
    this.channel.toServer = (text) => call.conversation.handleEvent(text, call.now);
    call.deliver = (json) => this.channel.dispatchEvent(new MessageEvent('message', { data: json }));
    this.channel.dispatchEvent(new Event('open'));
    call.conversation.open(call.now);
    call.conversation.eventsOpen(call.now);
    return Promise.resolve();
  }
  close(): void {
    this.channel.close();
  }
}

class Channel extends EventTarget {
  readyState = 'connecting';
  toServer: (text: string) => void = () => {};

  send(text: string): void {
    this.toServer(text);
  }

  close(): void {
    this.readyState = 'closed';
  }
}

const originals = { fetch: globalThis.fetch, peer: (globalThis as { RTCPeerConnection?: unknown }).RTCPeerConnection };

before(() => {
  Object.assign(globalThis, {
    RTCPeerConnection: PeerConnection,
    fetch: () => Promise.resolve(new Response('v=0', { status: 201, headers: { Location: '/v1/realtime/calls/rtc_test' } })),
  });
});

after(() => {
  Object.assign(globalThis, { RTCPeerConnection: originals.peer, fetch: originals.fetch });
});

/** Lets the network run until something holds; the test's own time-out is the limit. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await turnOfLoop();
}

async function connect(agent: Agent, tools: NonNullable<ConstructorParameters<typeof RealtimeAgent>[0]['tools']> = []): Promise<{ call: TestCall; session: RealtimeSession; errors: unknown[]; seen: string[] }> {
  const call = new TestCall(agent);
  PeerConnection.call = call;
  const transport = new OpenAIRealtimeWebRTC({
    baseUrl: 'http://127.0.0.1/v1/realtime/calls',
    mediaStream: { getAudioTracks: () => [{}] },
    audioElement: {},
  });
  const session = new RealtimeSession(new RealtimeAgent({ name: 'caller', instructions: 'Repeat.', tools }), { transport });
  const errors: unknown[] = [];
  const seen: string[] = [];
  session.on('error', (error) => errors.push(error));
  session.on('transport_event', (event) => seen.push(event.type));
  await session.connect({ apiKey: 'ek_test' });
  await settled();
  return { call, session, errors, seen };
}

test('the SDK connects: its configuration is acknowledged, and its tracing after that', async () => {
  const { call, session, errors } = await connect(parrot);
  assert.deepEqual(call.types(), ['session.created', 'session.updated', 'session.updated'], 'created first');
  const updated = call.last('session.updated')['session'];
  assert.equal(updated.instructions, 'Repeat.');
  assert.equal(updated.audio.input.turn_detection.type, 'semantic_vad');
  assert.equal(updated.tracing, null);
  assert.deepEqual(errors, []);
  session.close();
});

test('the SDK follows a turn, an answer and an interruption, and knows the items of the conversation', async () => {
  const { call, session, errors, seen } = await connect(parrot);
  const interrupted: unknown[] = [];
  session.on('audio_interrupted', () => interrupted.push(true));
  await call.say(encodeWav(padded(readWav('hello.wav'), 300, 1500)));
  await call.say(encodeWav(padded(readWav('interrupt.wav'), 0, 3500)));
  assert.deepEqual(errors, []);
  for (const type of ['response.created', 'response.done', 'output_audio_buffer.cleared', 'output_audio_buffer.stopped']) {
    assert.ok(seen.includes(type), type);
  }
  assert.ok(call.types().includes('conversation.item.retrieved'), 'the SDK asks for what was cut short');
  const roles = session.history.map((item) => (item.type === 'message' ? item.role : item.type));
  assert.deepEqual(roles, ['user', 'assistant', 'user', 'assistant']);
  session.close();
});

test('the SDK can send a message, ask for an answer and interrupt it', async () => {
  const received: unknown[] = [];
  const { call, session, errors } = await connect({
    name: 'talker',
    format: { codec: 'pcm16', rate: 16_000 },
    open: () => ({
      event: (event) => void received.push(event.type),
      answer: (response) => response.play(new Int16Array(160_000).fill(99)),
    }),
  });
  session.sendMessage('hello');
  for (let i = 0; i < 10; i++) await call.step();
  assert.ok(received.includes('conversation.item.create') && received.includes('response.create'));
  assert.ok(call.frames.length > 5);
  session.interrupt();
  await call.step();
  assert.equal(call.find('response.done')['response'].status_details.reason, 'client_cancelled');
  assert.ok(call.types().includes('output_audio_buffer.cleared'));
  assert.deepEqual(errors, []);
  session.close();
});

test('through the realtime agent the SDK has text, sound, a function call, an interruption and an error of the server', { timeout: 20_000 }, async () => {
  await using server = await RealtimeServer.start('sk-upstream');
  const asked: unknown[] = [];
  const weather = tool({
    name: 'weather',
    description: 'Tells the weather.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: true },
    strict: false,
    execute: (input) => {
      asked.push(input);
      return 'rain';
    },
  });
  const connected = server.connected();
  const { call, session, errors, seen } = await connect(realtime({ upstream: server.url, upstreamKey: 'sk-upstream' }), [weather]);
  const upstream = await connected;
  await until(() => (upstream.session['tools'] as unknown[]).length === 1);
  assert.equal(upstream.session['instructions'], 'Repeat.');

  session.sendMessage('hello');
  await upstream.next('response.create');
  upstream.say('1', 400, { transcript: 'Good day.' });
  await until(() => seen.includes('response.done'));
  await call.wait(200);
  upstream.send({ type: 'input_audio_buffer.speech_started', audio_start_ms: 0, item_id: 'item_user' });
  await until(() => seen.includes('conversation.item.truncated'));
  assert.ok(seen.includes('output_audio_buffer.cleared'));
  assert.equal(upstream.received.find(({ type }) => type === 'conversation.item.truncate')?.['audio_end_ms'], 200);

  upstream.callFunction('2', 'weather', '{"city":"Ulm"}');
  await upstream.next('response.create');
  assert.deepEqual(asked, [{ city: 'Ulm' }]);
  const output = upstream.received.findLast(({ type }) => type === 'conversation.item.create')?.['item'] as { call_id: string; output: string };
  assert.deepEqual([output.call_id, output.output], ['call_2', 'rain']);
  assert.deepEqual(errors, []);

  session.transport.sendEvent({ type: 'no.such' });
  await until(() => errors.length > 0);
  assert.match(JSON.stringify(errors[0]), /no\.such/);
  session.close();
  call.conversation.close('test', call.now);
});
