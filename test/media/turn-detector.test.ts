import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { TurnDetector, type TurnEvent } from '../../src/media/turn-detector.ts';

const settings = { threshold: 0.5, prefixPaddingMs: 300, silenceDurationMs: 500 };

/** `#` is 10 ms of speech, `.` of silence; `x20` repeats. Gives each event with the position it was found at. */
function run(pattern: string, detector = new TurnDetector(settings)): { at: number; event: TurnEvent }[] {
  const frames = pattern.replaceAll(/([#.])x(\d+)/g, (_, frame: string, count: string) => frame.repeat(Number(count)));
  const events: { at: number; event: TurnEvent }[] = [];
  Array.from(frames.replaceAll(' ', '')).forEach((frame, i) => {
    const event = detector.process(frame === '#' ? 0.9 : 0.1, 10);
    if (event !== null) events.push({ at: (i + 1) * 10, event });
  });
  return events;
}

test('a turn: start with its padding, end after the silence', () => {
  assert.deepEqual(run('.x50 #x100 .x60'), [
    { at: 540, event: { type: 'speech_started', startMs: 200 } },
    { at: 2000, event: { type: 'speech_stopped', startMs: 200, endMs: 2000, lastSpeechMs: 1500 } },
  ]);
});

test('speech is noticed within 60 ms although a frame of it is missed', () => {
  assert.equal(run('.x50 ##.### #x20')[0].at, 560);
});

test('clicks are no speech', () => {
  assert.deepEqual(run('.x20 # .x5 ## .x5 ### .x10 #.#.#.#.#.#.#.#. .x50'), []);
});

test('a pause shorter than the silence duration does not end the turn', () => {
  const events = run('#x50 .x49 #x50 .x49 #x50 .x60');
  assert.deepEqual(events.map(({ event }) => event.type), ['speech_started', 'speech_stopped']);
});

test('lone frames of noise do not prolong a turn', () => {
  assert.equal(run('#x50 .x10 # .x10 ## .x10 # .x20')[1].at, 1000);
});

test('the padding does not reach into the turn before', () => {
  const events = run('#x50 .x50 .x5 #x50 .x60');
  assert.deepEqual(events[2].event, { type: 'speech_started', startMs: 1000 });
});

test('the padding does not begin before the call', () => {
  assert.deepEqual(run('.x10 #x10')[0].event, { type: 'speech_started', startMs: 0 });
});

test('the threshold decides what counts', () => {
  const strict = new TurnDetector({ ...settings, threshold: 0.95 });
  assert.deepEqual(run('#x100', strict), []);
  strict.configure({ ...settings, threshold: 0.9 });
  assert.equal(run('#x100', strict).length, 1);
});

test('a reset ends the open turn without a word', () => {
  const detector = new TurnDetector(settings);
  run('#x50', detector);
  detector.reset(700);
  assert.equal(detector.speaking, false);
  assert.deepEqual(run('.x60', detector), []);
  assert.deepEqual(run('#x10', detector)[0].event, { type: 'speech_started', startMs: 1000 });
});

test('starts and stops alternate, in order of time, for any sound', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ p: fc.double({ min: 0, max: 1, noNaN: true }), ms: fc.constantFrom(10, 20, 30) }), { maxLength: 400 }), (frames) => {
      const detector = new TurnDetector({ ...settings, silenceDurationMs: 100 });
      let position = 0;
      let end = 0;
      let open = false;
      for (const { p, ms } of frames) {
        const event = detector.process(p, ms);
        position += ms;
        if (event === null) continue;
        assert.equal(event.type, open ? 'speech_stopped' : 'speech_started');
        open = !open;
        assert.ok(event.startMs >= end || !open);
        if (event.type === 'speech_stopped') {
          assert.ok(event.startMs < event.lastSpeechMs && event.lastSpeechMs <= event.endMs);
          assert.equal(event.endMs, position);
          end = event.endMs;
        }
      }
      assert.equal(detector.speaking, open);
    }),
    { seed: 4 },
  );
});
