import assert from 'node:assert/strict';
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
