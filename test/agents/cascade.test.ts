import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { cascade } from '../../src/agents/cascade.ts';
import { speak } from '../../src/agents/openai-http.ts';
import { Sentences } from '../../src/agents/sentences.ts';
import { TestCall } from '../conversation/harness.ts';
import { encodeWav, padded, readWav } from '../media/wav.ts';
import { OpenAiServer } from '../support/openai-server.ts';

const hello = encodeWav(padded(readWav('hello.wav'), 200, 900));
const KEY = 'sk-models';
const LIMIT = { timeout: 20_000 };
const calls: TestCall[] = [];

afterEach(() => {
  for (const call of calls.splice(0)) call.conversation.close('test', call.now);
});

async function start(server: OpenAiServer, session: object = {}): Promise<TestCall> {
  const call = new TestCall(cascade({ upstream: server.url, upstreamKey: KEY }), session);
  calls.push(call);
  return call.start();
}

/** Lets the network run, and with it the time of the call, until something holds. */
async function until(call: TestCall, holds: () => boolean): Promise<void> {
  while (!holds()) {
    await turnOfLoop();
    await call.step();
  }
}

/** Lets the network alone run. */
async function networkUntil(holds: () => boolean): Promise<void> {
  while (!holds()) await turnOfLoop();
}

const failureOf = (call: TestCall): string => call.find('response.done')['response'].status_details.error.message as string;

const count = (call: TestCall, type: string): number => call.types().filter((candidate) => candidate === type).length;

test('a turn is transcribed, answered sentence by sentence and heard; the conversation keeps the words', LIMIT, async () => {
  await using server = await OpenAiServer.start();
  server.reply = { text: 'One two three four. Five six seven!' };
  const call = await start(server, { instructions: 'Count.' });
  await call.say(hello);
  await until(call, () => call.types().includes('response.done'));
  assert.deepEqual(server.requests, ['stt', 'chat', 'tts One two three four.', 'tts Five six seven!']);
  assert.ok(server.recordings[0] > 24_000, 'a WAV of the turn');
  assert.deepEqual(server.chats[0].messages, [{ role: 'system', content: 'Count.' }, { role: 'user', content: 'Hello there.' }]);
  assert.equal(call.find('conversation.item.input_audio_transcription.completed')['transcript'], 'Hello there.');
  const { status, output } = call.find('response.done')['response'];
  assert.deepEqual([status, output[0].content[0].transcript], ['completed', 'One two three four. Five six seven!']);
  assert.ok(call.frames.length >= 35, `700 ms of speech, not ${call.frames.length} frames`);
});

test('the caller cuts an answer short: the requests end, and the model knows what was heard and no more', LIMIT, async () => {
  await using server = await OpenAiServer.start();
  server.reply = { text: 'One two three four. Five six seven eight. ' };
  server.endless = true;
  const call = await start(server);
  call.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Count.' }] } });
  call.send({ type: 'response.create' });
  await networkUntil(() => count(call, 'response.output_audio_transcript.delta') === 2);
  await call.wait(240);
  call.send({ type: 'response.cancel' });
  await networkUntil(() => server.aborted === 1);
  server.endless = false;
  call.send({ type: 'response.create' });
  await networkUntil(() => server.chats.length === 2);
  assert.deepEqual(server.chats[1].messages, [{ role: 'user', content: 'Count.' }, { role: 'assistant', content: 'One two' }]);
});

test('a function call goes to the client, and its output to the model', LIMIT, async () => {
  await using server = await OpenAiServer.start();
  server.reply = { call: { id: 'call_7', name: 'weather', arguments: '{"city":"Ulm"}' } };
  const call = await start(server, { tools: [{ type: 'function', name: 'weather', description: 'Tells it.', parameters: { type: 'object' } }] });
  call.send({ type: 'response.create' });
  await until(call, () => call.types().includes('response.done'));
  assert.deepEqual(server.chats[0].tools, [{ type: 'function', function: { name: 'weather', description: 'Tells it.', parameters: { type: 'object' } } }]);
  assert.equal(call.find('response.function_call_arguments.done')['arguments'], '{"city":"Ulm"}');
  server.reply = { text: 'It rains in Ulm.' };
  call.send({ type: 'conversation.item.create', item: { type: 'function_call_output', call_id: 'call_7', output: 'rain' } });
  call.send({ type: 'response.create' });
  await until(call, () => count(call, 'response.done') === 2);
  const [asked, told] = server.chats[1].messages;
  assert.equal(asked.tool_calls?.[0].id, 'call_7');
  assert.deepEqual(told, { role: 'tool', tool_call_id: 'call_7', content: 'rain' });
});

for (const path of ['audio/transcriptions', 'chat/completions', 'audio/speech']) {
  test(`${path} fails: this answer fails, and the next is given`, LIMIT, async () => {
    await using server = await OpenAiServer.start();
    server.failing = path;
    const call = await start(server);
    await call.say(hello);
    await until(call, () => call.types().includes('response.done'));
    const { response } = call.find('response.done') as unknown as { response: { status: string; status_details: { error: { message: string } } } };
    assert.equal(response.status, 'failed');
    assert.match(response.status_details.error.message, /answered 500$/);
    assert.match(String((call.logged[0] as Error).cause), /127\.0\.0\.1.*Overloaded/, 'the operator knows more');
    const untold = count(call, 'conversation.item.input_audio_transcription.failed');
    assert.equal(untold, path === 'audio/transcriptions' ? 1 : 0);
    server.failing = null;
    await call.say(hello);
    await until(call, () => count(call, 'response.done') === 2);
    assert.equal(call.last('response.done')['response'].status, 'completed');
    assert.deepEqual(call.hangups, []);
  });
}

for (const path of ['audio/transcriptions', 'chat/completions', 'audio/speech']) {
  test(`${path} breaks off: this answer fails with that, and the call goes on`, LIMIT, async () => {
    await using server = await OpenAiServer.start();
    server.breaking = path;
    const call = await start(server);
    await call.say(hello);
    await until(call, () => call.types().includes('response.done'));
    assert.equal(failureOf(call), `${path} broke off`);
    assert.deepEqual(call.hangups, []);
  });
}

test('a server that is away is told as that, without where it is', LIMIT, async () => {
  const server = await OpenAiServer.start();
  await server[Symbol.asyncDispose]();
  const call = await start(server);
  call.send({ type: 'response.create' });
  await until(call, () => call.types().includes('response.done'));
  assert.equal(failureOf(call), 'chat/completions cannot be reached');
});

test('a server that does not answer is given up', LIMIT, async (t) => {
  await using server = await OpenAiServer.start();
  server.hanging = 'chat/completions';
  const call = await start(server);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  call.send({ type: 'response.create' });
  await networkUntil(() => server.requests.includes('chat/completions hangs'));
  t.mock.timers.tick(30_000);
  await networkUntil(() => call.types().includes('response.done'));
  assert.equal(failureOf(call), 'chat/completions does not answer');
});

test('the caller speaks over an answer: the requests for text and for speech are aborted at once', LIMIT, async () => {
  await using server = await OpenAiServer.start();
  server.reply = { text: 'One two three four. ' };
  server.endless = true;
  const call = await start(server);
  call.send({ type: 'response.create' });
  await networkUntil(() => count(call, 'response.output_audio_transcript.delta') === 1);
  await call.wait(100);
  assert.deepEqual([server.aborted, server.speaking], [0, 1]);
  const spoken = encodeWav(padded(readWav('hello.wav'), 0, 100));
  await call.say(spoken);
  assert.equal(call.find('response.done')['response'].status_details.reason, 'turn_detected');
  await networkUntil(() => server.aborted === 2);
});

test('of a long answer no more than two sentences are being spoken at a time, and all are heard in order', LIMIT, async () => {
  await using server = await OpenAiServer.start();
  const sentences = Array.from({ length: 12 }, (_, i) => `This is sentence ${i}.`);
  server.reply = { text: sentences.join(' ') };
  const call = await start(server);
  call.send({ type: 'response.create' });
  await until(call, () => call.types().includes('response.done'));
  assert.equal(server.mostSpeaking, 2);
  assert.equal(call.find('response.done')['response'].output[0].content[0].transcript, sentences.join(' '));
});

test('words that cannot be had are told also when no answer needs them', LIMIT, async () => {
  await using server = await OpenAiServer.start();
  server.failing = 'audio/transcriptions';
  const call = await start(server, { audio: { input: { turn_detection: { type: 'server_vad', create_response: false } } } });
  await call.say(hello);
  await networkUntil(() => call.types().includes('conversation.item.input_audio_transcription.failed'));
  const { item_id: id, error } = call.find('conversation.item.input_audio_transcription.failed');
  assert.equal(id, call.find('input_audio_buffer.committed')['item_id']);
  assert.equal(error.message, 'audio/transcriptions answered 500');
});

test('a cough is not answered', LIMIT, async () => {
  await using server = await OpenAiServer.start();
  server.transcript = ' ';
  const call = await start(server);
  await call.say(hello);
  await until(call, () => call.types().includes('response.done'));
  assert.deepEqual(server.requests, ['stt']);
  assert.deepEqual(call.find('response.done')['response'].output, []);
});

test('text alone asks for no speech', LIMIT, async () => {
  await using server = await OpenAiServer.start();
  const call = await start(server, { output_modalities: ['text'] });
  call.send({ type: 'response.create' });
  await until(call, () => call.types().includes('response.done'));
  assert.deepEqual(server.requests, ['chat']);
  assert.equal(call.find('response.output_text.done')['text'], 'Fine.');
});

test('speech that comes in pieces of odd lengths keeps its samples', LIMIT, async () => {
  await using server = await OpenAiServer.start();
  const samples: number[] = [];
  const speech = await speak({ url: server.url, model: 'tts-1', key: KEY }, 'Two words', 'alloy', new AbortController().signal);
  for await (const part of speech) samples.push(...part);
  assert.deepEqual(Int16Array.from(samples), Int16Array.from({ length: 4800 }, (_, i) => 6000 * Math.sin(i / 8)));
});

test('each stage may be served elsewhere; one that is nowhere keeps the agent from starting', () => {
  assert.throws(() => cascade({}), /--upstream https:\/\/…\/v1 where "whisper-1" is served/);
  assert.throws(() => cascade({ stt: 'http://a/v1#s', llm: 'http://b/v1#l' }), /"tts-1"/);
  assert.equal(cascade({ stt: 'http://a/v1#s', llm: 'http://b/v1#l', tts: 'https://c/v1#t' }).name, 'cascade');
});

test('sentences are whole as soon as they can be, and too short ones wait', () => {
  const cut = (...pieces: string[]): string[] => {
    const sentences = new Sentences();
    return [...pieces.flatMap((piece) => sentences.add(piece)), ...sentences.end()];
  };
  assert.deepEqual(cut('Hello my fri', 'end. How are', ' you? '), ['Hello my friend. ', 'How are you? ']);
  assert.deepEqual(cut('It is 3.', '5 metres. Yes. I am sure.'), ['It is 3.5 metres. ', 'Yes. I am sure.']);
  assert.deepEqual(cut('你好你好你好你好你好你好。再见'), ['你好你好你好你好你好你好。', '再见']);
  assert.deepEqual(cut(' '), []);
});
