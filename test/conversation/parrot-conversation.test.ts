import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parrot } from '../../src/agents/parrot.ts';
import { OpusDecoder } from '../../src/media/opus-decoder.ts';
import { encodeWav, inRoom, padded, readWav, rms, soundBounds } from '../media/wav.ts';
import { TestCall, type SentFrame } from './harness.ts';

const hello = readWav('hello.wav');
const interrupt = readWav('interrupt.wav');

test('the answer comes after the end of the turn, and is what was said', async () => {
  const call = await new TestCall(parrot).start();
  const speech = padded(hello, 300, 4000);
  const { endMs } = soundBounds(speech);
  const began = call.now;
  await call.say(encodeWav(speech));

  const stopped = call.find('input_audio_buffer.speech_stopped');
  assert.ok(call.frames.length > 0);
  assert.ok(call.frames[0].at - began > endMs, 'nothing is said while the caller speaks');
  assert.ok(call.frames[0].at - began < endMs + 900, `answer ${call.frames[0].at - began - endMs} ms after the end`);
  assert.ok(call.frames[0].at - stopped.at <= 40);
  // 500 ms of silence end a turn; the detector holds on for a moment of its own.
  assert.ok(stopped['audio_end_ms'] - endMs < 850, `${stopped['audio_end_ms'] - endMs}`);

  const heard = decode(call.frames);
  const bounds = soundBounds({ rate: 24_000, samples: heard });
  const said = soundBounds(hello);
  assert.ok(Math.abs(bounds.endMs - bounds.startMs - (said.endMs - said.startMs)) < 60, 'all of it comes back');
  assert.ok(rms(heard) > rms(hello.samples) / 2);

  assert.deepEqual(call.types(), [
    'session.created',
    'input_audio_buffer.speech_started',
    'input_audio_buffer.speech_stopped',
    'input_audio_buffer.committed',
    'conversation.item.added',
    'conversation.item.done',
    'response.created',
    'response.output_item.added',
    'conversation.item.added',
    'response.content_part.added',
    'output_audio_buffer.started',
    'response.output_audio.done',
    'response.content_part.done',
    'response.output_item.done',
    'conversation.item.done',
    'response.done',
    'output_audio_buffer.stopped',
  ]);
  assert.equal(call.find('response.done')['response'].status, 'completed');
  assert.equal(call.conversation.wantsTick, false);
});

test('the answer is cut off at once when the caller speaks over it', async () => {
  const call = await new TestCall(parrot).start();
  await call.say(encodeWav(inRoom(padded(hello, 300, 1500))));
  assert.ok(call.frames.length > 10, 'the answer is being heard');
  const speech = padded(interrupt, 0, 200);
  const began = call.now;
  const spoke = began + soundBounds(speech).startMs;
  await call.say(encodeWav(speech));

  const lastAudio = call.frames.findLast((frame) => !isSilence(frame) && frame.at < spoke + 1500)!;
  assert.ok(lastAudio.at - spoke <= 80, `the last frame left ${lastAudio.at - spoke} ms after the caller spoke`);
  const cleared = call.find('output_audio_buffer.cleared');
  assert.ok(cleared.at - spoke <= 80);
  const done = call.find('response.done')['response'];
  assert.equal(done.status, 'cancelled');
  assert.deepEqual(done.status_details, { type: 'cancelled', reason: 'turn_detected' });
  assert.equal(call.types().includes('output_audio_buffer.stopped'), false);

  const audible = call.frames.filter((frame) => !isSilence(frame) && frame.at <= cleared.at);
  assert.equal(call.find('conversation.item.truncated')['audio_end_ms'], audible.length * 20, 'heard to the millisecond');
  assert.equal(call.find('conversation.item.truncated')['item_id'], done.output[0].id);
});

test('frames leave one by one, 20 ms apart, with RTP time that follows the clock over pauses', async () => {
  const call = await new TestCall(parrot).start();
  const packets = encodeWav(inRoom(padded(hello, 300, 4000)));
  await call.say(packets);
  await call.say(packets);
  const audio = call.frames;
  for (let i = 1; i < audio.length; i++) {
    const gap = audio[i].at - audio[i - 1].at;
    assert.equal(audio[i].marker, gap > 20);
    assert.equal(audio[i].mediaTime - audio[i - 1].mediaTime, gap * 48);
  }
  assert.equal(audio.filter((frame) => frame.marker).length, 2);
});

function isSilence(frame: SentFrame): boolean {
  return frame.opus.length <= 3;
}

function decode(frames: readonly SentFrame[]): Int16Array {
  const decoder = new OpusDecoder(24_000);
  const parts = frames.map((frame) => decoder.decode(frame.opus));
  const samples = new Int16Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    samples.set(part, at);
    at += part.length;
  }
  return samples;
}
