import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { PROJECT } from '../support/paths.ts';

/** The page's modules are plain JavaScript for browsers; those without DOM run here as they are. */
async function load<T>(name: string): Promise<T> {
  return (await import(path.join(PROJECT, 'web', name))) as T;
}

interface Step {
  name: string;
  start: number;
  end: number | null;
}

interface Bar {
  name: string;
  left: number;
  width: number;
  duration: number;
  cut: boolean;
}

const { layOut, setUpTime } = await load<{
  layOut: (steps: Step[]) => Bar[];
  setUpTime: (steps: Step[]) => number | null;
}>('waterfall.js');
const { Turns } = await load<{ Turns: new () => { handle(event: { type?: unknown }): string } }>('activity.js');
const { answerWith, fragmentOf } = await load<{
  answerWith: (answer: string, fragment: string) => string;
  fragmentOf: (offer: string) => string;
}>('ice-restart.js');

test('a person who takes a minute to allow the microphone does not squeeze the milliseconds after it', () => {
  const bars = layOut([
    { name: 'microphone', start: 0, end: 60_000 },
    { name: 'answer', start: 60_000, end: 60_020 },
    { name: 'ice', start: 60_020, end: 60_030 },
    { name: 'dtls', start: 60_030, end: 60_090 },
    { name: 'channel', start: 60_090, end: 60_100 },
    { name: 'audio', start: 60_090, end: 75_000 },
  ]);
  const [microphone, answer, , dtls, , audio] = bars;
  assert.deepEqual([microphone.cut, audio.cut, dtls.cut], [true, true, false]);
  assert.equal(microphone.duration, 60_000);
  assert.ok(Math.abs(dtls.width - (60 / 140) * 100) < 1e-6);
  assert.ok(Math.abs(answer.left - (20 / 140) * 100) < 1e-6);
  for (const bar of bars) assert.ok(bar.left >= 0 && bar.left + bar.width <= 100.000_001, JSON.stringify(bar));
});

test('nothing is drawn to a scale that is not known yet, and running steps have no bar', () => {
  assert.deepEqual(layOut([]), []);
  const [bar, ...others] = layOut([
    { name: 'microphone', start: 0, end: 12 },
    { name: 'answer', start: 12, end: null },
  ]);
  assert.deepEqual(others, []);
  assert.deepEqual([bar.left, bar.width, bar.duration], [0, 0, 12]);
});

test('the set-up time is told only once the data channel is open', () => {
  const steps: Step[] = [{ name: 'answer', start: 20, end: 30 }, { name: 'channel', start: 90, end: null }];
  assert.equal(setUpTime(steps), null);
  steps[1].end = 100;
  assert.equal(setUpTime(steps), 80);
});

test('speaking over the agent is the turn of the person, whatever order the events come in', () => {
  const turns = new Turns();
  const said = (type: string): string => turns.handle({ type });
  assert.equal(said('session.created'), 'listening');
  assert.equal(said('output_audio_buffer.started'), 'agent');
  assert.equal(said('input_audio_buffer.speech_started'), 'user');
  assert.equal(said('output_audio_buffer.cleared'), 'user');
  assert.equal(said('input_audio_buffer.speech_stopped'), 'listening');
  assert.equal(said('input_audio_buffer.speech_started'), 'user');
  assert.equal(said('output_audio_buffer.started'), 'user');
  assert.equal(said('input_audio_buffer.speech_stopped'), 'agent');
});

interface Turn {
  who: string;
  start: number;
  end: number | null;
  interrupted: boolean;
  fault: string | null;
  delay: number | null;
  words: string;
}

const { Conversation } = await load<{
  Conversation: new () => {
    turns: Turn[];
    responseDelay: number | null;
    handle(message: { event: Record<string, unknown>; at: number }): boolean;
    end(at: number): void;
  };
}>('conversation.js');
const { place, WINDOW } = await load<{
  place: (turns: Turn[], now: number) => { turn: Turn; left: number; width: number }[];
  WINDOW: number;
}>('timeline.js');

test('turns have their words, and an answer its delay since the last word before it', () => {
  const conversation = new Conversation();
  const handle = (at: number, type: string, fields: Record<string, unknown> = {}): boolean => conversation.handle({ event: { type, ...fields }, at });
  handle(0, 'session.created', { session: { audio: { input: { turn_detection: { type: 'server_vad', silence_duration_ms: 500 } } } } });
  handle(90, 'output_audio_buffer.started', { response_id: 'greeting' });
  handle(900, 'output_audio_buffer.stopped', { response_id: 'greeting' });
  handle(1000, 'input_audio_buffer.speech_started', { item_id: 'i1' });
  handle(3000, 'input_audio_buffer.speech_stopped', { item_id: 'i1' });
  handle(3050, 'conversation.item.input_audio_transcription.completed', { item_id: 'i1', transcript: 'Hello?' });
  handle(3060, 'response.output_audio_transcript.delta', { response_id: 'r1', delta: 'Hello ' });
  handle(3100, 'output_audio_buffer.started', { response_id: 'r1' });
  handle(3150, 'response.output_audio_transcript.delta', { response_id: 'r1', delta: 'to you as well.' });
  assert.equal(conversation.turns[2].words, 'Hello to you as well.');
  handle(4000, 'input_audio_buffer.speech_started', { item_id: 'i2' });
  handle(4010, 'output_audio_buffer.cleared', { response_id: 'r1' });
  handle(4011, 'response.done', { response: { id: 'r1', output: [{ content: [{ type: 'audio', transcript: 'Hello to' }] }] } });
  assert.equal(handle(4020, 'rate_limits.updated'), false);
  conversation.end(4500);
  assert.deepEqual(conversation.turns.map(({ who, start, end, interrupted, delay, words }) => [who, start, end, interrupted, delay, words]), [
    ['agent', 90, 900, false, null, ''],
    ['you', 1000, 2500, false, null, 'Hello?'],
    ['agent', 3100, 4010, true, 600, 'Hello to'],
    ['you', 4000, 4500, false, null, ''],
  ]);
  assert.equal(conversation.responseDelay, 600);
});

test('an answer that fails has its place and its reason, whether it was heard or not', () => {
  const conversation = new Conversation();
  const fail = (at: number, id: string, error?: object): boolean =>
    conversation.handle({ event: { type: 'response.done', response: { id, status: 'failed', status_details: { error }, output: [] } }, at });
  assert.equal(fail(100, 'r1', { message: 'chat/completions answered 503' }), true);
  conversation.handle({ event: { type: 'output_audio_buffer.started', response_id: 'r2' }, at: 200 });
  fail(300, 'r2', { code: 'upstream_disconnected' });
  conversation.handle({ event: { type: 'output_audio_buffer.stopped', response_id: 'r2' }, at: 400 });
  fail(500, 'r3');
  assert.deepEqual(conversation.turns.map(({ start, end, fault }) => [start, end, fault]), [
    [100, 100, 'chat/completions answered 503'],
    [200, 400, 'upstream_disconnected'],
    [500, 500, 'failed'],
  ]);
});

test('a conversation takes whatever a server sends', () => {
  const conversation = new Conversation();
  const types = ['session.created', 'input_audio_buffer.speech_stopped', 'output_audio_buffer.cleared', 'response.done', 'response.output_audio_transcript.delta'];
  for (const type of types) conversation.handle({ event: { type }, at: 1 });
  for (let i = 0; i < 1000; i++) conversation.handle({ event: { type: 'input_audio_buffer.speech_started', item_id: i }, at: i });
  assert.equal(conversation.turns.length, 200);
});

test('the time line shows the last half minute, and of what began before it the rest', () => {
  const turn = (start: number, end: number | null): Turn => ({ who: 'you', start, end, interrupted: false, fault: null, delay: null, words: '' });
  assert.deepEqual(place([turn(3000, 6000)], 10_000).map(({ left, width }) => [left, width]), [[10, 10]]);
  const late = place([turn(0, 1000), turn(1000, 34_000), turn(37_000, null)], WINDOW + 10_000);
  assert.deepEqual(late.map(({ left, width }) => [left, width]), [[0, 80], [90, 10]]);
});

const SESSION = ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0 1', 'a=ice-lite'];
const ANSWER = [
  ...SESSION,
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'c=IN IP4 0.0.0.0',
  'a=mid:0',
  'a=ice-ufrag:old',
  'a=ice-pwd:oldoldoldoldoldoldoldold',
  'a=candidate:1 1 UDP 1 192.0.2.1 3478 typ host',
  'a=end-of-candidates',
  'a=rtpmap:111 opus/48000/2',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
  'c=IN IP4 0.0.0.0',
  'a=mid:1',
  'a=ice-ufrag:old',
  'a=ice-pwd:oldoldoldoldoldoldoldold',
  '',
].join('\r\n');

test('the fragment of an ICE restart carries the new credentials and the first section, and nothing else', () => {
  const offer = ANSWER.replaceAll('old', 'new').replace('a=mid:0', 'a=mid:0\r\na=ice-options:trickle');
  assert.deepEqual(fragmentOf(offer).split('\r\n'), [
    'a=group:BUNDLE 0 1',
    'a=ice-options:trickle',
    'a=ice-ufrag:new',
    'a=ice-pwd:newnewnewnewnewnewnewnew',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    'a=mid:0',
    '',
  ]);
});

test('after an ICE restart every section has the new credentials and the old candidates are gone', () => {
  const fragment = [
    'a=ice-ufrag:new',
    'a=ice-pwd:newnewnewnewnewnewnewnew',
    'm=audio 9 RTP/AVP 0',
    'a=mid:0',
    'a=candidate:1 1 UDP 1 192.0.2.2 3478 typ host',
    'a=end-of-candidates',
    '',
  ].join('\r\n');
  const answer = answerWith(ANSWER, fragment);
  assert.ok(!answer.includes('old') && !answer.includes('192.0.2.1'));
  assert.equal(answer.match(/a=ice-ufrag:new\r\n/g)?.length, 2);
  assert.equal(answer.match(/a=candidate:/g)?.length, 1);
  assert.ok(answer.includes('a=rtpmap:111 opus/48000/2') && answer.includes('a=ice-lite'));
  const kept = answerWith(ANSWER, 'a=ice-ufrag:new\r\na=ice-pwd:newnewnewnewnewnewnewnew\r\n');
  assert.ok(kept.includes('192.0.2.1'), 'a server that names no candidate keeps the one it had');
});

test('the page names every module that it imports, so that all are fetched in one round trip', () => {
  const folder = path.join(PROJECT, 'web');
  const read = (name: string): string => readFileSync(path.join(folder, name), 'utf8');
  const scripts = readdirSync(folder).filter((name) => name.endsWith('.js'));
  const imported = scripts.flatMap((name) => Array.from(read(name).matchAll(/^import .* from '\.\/(.+)';$/gm), ([, module]) => module));
  const named = Array.from(read('index.html').matchAll(/<link rel="modulepreload" href="(.+)">/g), ([, module]) => module);
  assert.deepEqual(named.toSorted(), [...new Set(imported)].toSorted());
});
