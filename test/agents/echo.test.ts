import assert from 'node:assert/strict';
import { test } from 'node:test';
import { echo } from '../../src/agents/echo.ts';
import { TestCall } from '../conversation/harness.ts';
import { encodeWav, readWav } from '../media/wav.ts';

const packets = encodeWav(readWav('hello.wav')).slice(0, 50);

test('every packet goes straight back: the same bytes, at once, without a tick of the clock', async () => {
  const call = await new TestCall(echo).start();
  await call.say(packets);
  assert.deepEqual(call.frames.map(({ opus }) => opus), packets);
  assert.deepEqual(call.frames.map(({ at }) => at), packets.map((_, i) => 1000 + i * 20));
  assert.deepEqual(call.frames.map(({ mediaTime }) => mediaTime), packets.map((_, i) => i * 960));
  assert.deepEqual(call.frames.map(({ marker }) => marker), packets.map((_, i) => i === 0));
  assert.equal(call.ticks, 0);
  assert.deepEqual(call.types(), ['session.created'], 'no turns are looked for');
});

test('loss and pauses keep their length in media time', async () => {
  const call = await new TestCall(echo).start();
  await call.say(packets.slice(0, 5));
  await call.say([null]);
  await call.say(packets.slice(5, 10));
  await call.wait(2000);
  await call.say(packets.slice(10, 12));
  const times = call.frames.map(({ mediaTime }) => mediaTime / 960);
  assert.deepEqual(times, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 111, 112]);
  assert.deepEqual(call.frames.map(({ marker }) => marker), times.map((time) => time === 0 || time === 111));
});

test('a client that insists on turn detection does not make an echo decode', async () => {
  const call = await new TestCall(echo, { audio: { input: { turn_detection: { type: 'server_vad' } } } }).start();
  call.send({ type: 'session.update', session: { audio: { input: { turn_detection: { type: 'semantic_vad' } } } } });
  await call.say(packets);
  assert.equal(call.conversation.counters.uplink, null);
  assert.equal(call.frames.length, packets.length);
});

test('timestamps that begin anew go on from the present', async () => {
  const call = await new TestCall(echo).start();
  call.conversation.handleAudio(packets[0], 1, 5_000_000, 1000);
  call.conversation.handleAudio(packets[1], 2, 17, 1020);
  call.conversation.handleAudio(packets[2], 3, 977, 1040);
  assert.deepEqual(call.frames.map(({ mediaTime }) => mediaTime), [0, 960, 1920]);
});

test('what is no Opus is not sent back', async () => {
  const call = await new TestCall(echo).start();
  call.conversation.handleAudio(new Uint8Array(0), 1, 0, call.now);
  call.conversation.handleAudio(Uint8Array.of(0xfb, 0), 2, 960, call.now);
  assert.deepEqual(call.frames, []);
});
