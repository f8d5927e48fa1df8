import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activeSpans, babble, similarity } from '../support/audio.ts';
import { startDev } from '../support/earshot-process.ts';
import { decodeHeard, LibdatachannelCaller, type HeardPacket } from '../support/libdatachannel-caller.ts';
import { utterance } from './voices.ts';

/** The figure: an answer that is spoken over stops within this many milliseconds of the speech's start. */
const INTERRUPTION_LIMIT_MS = 200;
const FRAME_SECONDS = 0.02;
const LIMIT = { timeout: 60_000 };

/** Arrival times of the first and last packet of each stretch of sound that was heard. */
function heardSpans(packets: readonly HeardPacket[]): { from: number; to: number }[] {
  const sound = decodeHeard(packets);
  const arrival = (seconds: number, step: 1 | -1): number => {
    let frame = Math.floor(seconds / FRAME_SECONDS);
    while (Number.isNaN(sound.arrivals[frame])) frame += step;
    return sound.arrivals[frame];
  };
  return activeSpans(sound).map(({ start, end }) => ({ from: arrival(start, 1), to: arrival(end - 0.005, -1) }));
}

test('what was said comes back after its end, with the events of a turn in their order', LIMIT, async () => {
  const hello = await utterance('hello');
  const stranger = babble(1.5, 73);
  await using dev = await startDev(['--agent', 'parrot']);
  await using caller = await LibdatachannelCaller.call({ endpoint: dev.endpoint });
  await caller.events.next('session.created');
  const spoken = await caller.speak(hello);
  for (const type of [
    'input_audio_buffer.speech_started',
    'input_audio_buffer.speech_stopped',
    'response.created',
    'output_audio_buffer.started',
    'output_audio_buffer.stopped',
  ]) {
    await caller.events.next(type);
  }
  // Before or after the end of the sound: an agent may be done with an answer that is still being played.
  await caller.events.seen('response.done');
  assert.ok(!caller.events.all.some(({ event }) => event.type === 'output_audio_buffer.cleared'));

  const match = similarity(hello, decodeHeard(caller.heard));
  assert.ok(match.found > 0.7, `found ${match.found} of what was said`);
  assert.ok(similarity(stranger, decodeHeard(caller.heard)).found < 0.25, 'any sound would have done');
  const [first] = heardSpans(caller.heard);
  assert.ok(first.from > spoken.to, `the answer began ${spoken.to - first.from} ms before the end of the turn`);
  assert.ok(first.from < spoken.to + 2_000, `the answer began ${first.from - spoken.to} ms after the end of the turn`);
});

test('an answer that is spoken over stops at once and is cleared', LIMIT, async (context) => {
  const hello = await utterance('hello');
  const interrupt = await utterance('interrupt');
  await using dev = await startDev(['--agent', 'parrot']);
  await using caller = await LibdatachannelCaller.call({ endpoint: dev.endpoint });
  await caller.events.next('session.created');
  await caller.speak(hello);
  const { at: answerAt } = await caller.events.next('output_audio_buffer.started');
  // Well into the answer, which lasts about as long as what was said.
  await caller.hears((heard) => (heard.at(-1)?.at ?? 0) > answerAt + 400);

  const speaking = caller.speak(interrupt);
  await caller.events.next('input_audio_buffer.speech_started');
  const { at: clearedAt } = await caller.events.next('output_audio_buffer.cleared');
  const spoken = await speaking;
  // All that arrived up to the next answer, which cannot begin before the interruption has ended.
  const answer = heardSpans(caller.heard.filter((packet) => packet.at < spoken.to));
  const stoppedAt = answer[answer.length - 1].to;
  context.diagnostic(
    `sound stopped ${(stoppedAt - spoken.from).toFixed(0)} ms, cleared came ${(clearedAt - spoken.from).toFixed(0)} ms after the speech start`,
  );
  assert.ok(stoppedAt > spoken.from, 'the answer had ended by itself: there was nothing to interrupt');
  assert.ok(
    stoppedAt - spoken.from <= INTERRUPTION_LIMIT_MS,
    `the answer was heard for ${(stoppedAt - spoken.from).toFixed(0)} ms after the speech start`,
  );
  // And the interruption is a turn of its own.
  await caller.events.next('output_audio_buffer.started');
  await caller.events.next('output_audio_buffer.stopped');
  const second = decodeHeard(caller.heard.filter((packet) => packet.at > spoken.to));
  const match = similarity(interrupt, second);
  assert.ok(match.found > 0.7, `found ${match.found} of the interruption`);
});
