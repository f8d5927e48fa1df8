import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RealtimeAgent, RealtimeSession, OpenAIRealtimeWebRTC } from '@openai/agents-realtime';
import type { Agent } from '../../src/agents/agent.ts';
import { parrot } from '../../src/agents/parrot.ts';
import { encodeWav, padded, readWav } from '../media/wav.ts';
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

async function connect(agent: Agent): Promise<{ call: TestCall; session: RealtimeSession; errors: unknown[]; seen: string[] }> {
  const call = new TestCall(agent);
  PeerConnection.call = call;
  const transport = new OpenAIRealtimeWebRTC({
    baseUrl: 'http://127.0.0.1/v1/realtime/calls',
    mediaStream: { getAudioTracks: () => [{}] },
    audioElement: {},
  });
  const session = new RealtimeSession(new RealtimeAgent({ name: 'caller', instructions: 'Repeat.' }), { transport });
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
      answer: (response) => response.play(new Int16Array(160_000)),
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
