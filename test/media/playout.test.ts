import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Playout } from '../../src/media/playout.ts';
import { seededRandom } from '../support/random.ts';

const FRAME = 960;

interface Sent {
  at: number;
  payload: number | null;
  mediaTime: number;
  marker: boolean;
}

/** Ticks at the given times and gives what left. */
function play(playout: Playout<number>, times: Iterable<number>): Sent[] {
  const sent: Sent[] = [];
  for (const at of times) {
    for (let step = playout.poll(at); step !== null; step = playout.poll(at)) {
      sent.push({ at, payload: step.payload, mediaTime: step.mediaTime, marker: step.marker });
      assert.equal(step.duration, FRAME);
    }
  }
  return sent;
}

function* every20(from: number, count: number): Generator<number> {
  for (let i = 0; i < count; i++) yield from + i * 20;
}

function filled(count: number, originMs = 0): Playout<number> {
  const playout = new Playout<number>(originMs);
  for (let i = 0; i < count; i++) playout.push(i, FRAME);
  return playout;
}

test('audio that comes all at once leaves frame by frame, and ends in three frames of silence', () => {
  const playout = filled(5, 900);
  playout.finish();
  const sent = play(playout, every20(1000, 20));
  assert.deepEqual(
    sent.map(({ at, payload }) => [at, payload]),
    [[1000, 0], [1020, 1], [1040, 2], [1060, 3], [1080, 4], [1100, null], [1120, null], [1140, null]],
  );
  assert.deepEqual(sent.map(({ mediaTime }) => mediaTime), [0, 1, 2, 3, 4, 5, 6, 7].map((i) => 4800 + i * FRAME));
  assert.deepEqual(sent.map(({ marker }) => marker), [true, false, false, false, false, false, false, false]);
  assert.equal(playout.idle, true);
  assert.equal(playout.sentMs, 100);
});

test('a clock that jitters neither skips nor bunches frames', () => {
  const random = seededRandom(20);
  const playout = filled(500);
  const sent = play(playout, [...every20(1000, 500)].map((at) => at + random() * 8));
  assert.equal(sent.length, 500);
  assert.equal(new Set(sent.map(({ at }) => at)).size, 500);
  assert.equal(sent.filter(({ marker }) => marker).length, 1);
});

test('a tick that comes late is made up for at once, without a jump in media time', () => {
  const playout = filled(10);
  const sent = play(playout, [1000, 1020, 1065, 1080, 1100]);
  assert.deepEqual(sent.map(({ at }) => at), [1000, 1020, 1065, 1065, 1080, 1100]);
  assert.deepEqual(sent.map(({ mediaTime }) => mediaTime - 48_000), [0, 1, 2, 3, 4, 5].map((i) => i * FRAME));
});

test('after a stall playout goes on from the present instead of sending a burst', () => {
  const playout = filled(20);
  const sent = play(playout, [1000, 1020, 1500, 1520]);
  assert.deepEqual(sent.map(({ at }) => at), [1000, 1020, 1500, 1520]);
  assert.deepEqual(sent.map(({ marker }) => marker), [true, false, true, false]);
  assert.equal(sent[2].mediaTime, 1500 * 48);
});

test('after a pause the media time is the present again', () => {
  const playout = filled(2);
  play(playout, every20(1000, 10));
  playout.push(7, FRAME);
  const [sent] = play(playout, [5000]);
  assert.deepEqual(sent, { at: 5000, payload: 7, mediaTime: 5000 * 48, marker: true });
});

test('clear knows to the millisecond what was sent and what was not', () => {
  const playout = filled(50);
  play(playout, every20(1000, 13));
  assert.equal(playout.sentMs, 260);
  assert.equal(playout.queuedMs, 740);
  assert.equal(playout.clear(), 740);
  assert.equal(playout.queuedMs, 0);
  const after = play(playout, every20(1260, 10));
  assert.deepEqual(after.map(({ payload }) => payload), [null, null, null], 'nothing but silence follows');
  assert.equal(playout.sentMs, 260);
  playout.push(99, FRAME);
  assert.deepEqual(play(playout, [2000]).map(({ payload }) => payload), [99]);
});

test('drained when the last frame has had its time, not before', () => {
  const playout = filled(2);
  assert.equal(playout.drained(1000), false);
  play(playout, [1000, 1020]);
  assert.equal(playout.drained(1020), false);
  assert.equal(playout.drained(1040), true);
});

test('an agent slower than real time causes gaps, never an early frame', () => {
  const playout = new Playout<number>(0);
  const sent: Sent[] = [];
  for (let i = 0; i < 200; i++) {
    if (i % 3 === 0) playout.push(i, FRAME);
    sent.push(...play(playout, [1000 + i * 20]));
  }
  for (let i = 1; i < sent.length; i++) assert.ok(sent[i].mediaTime >= sent[i - 1].mediaTime + FRAME);
});

test('whatever is pushed, cleared and polled: sent, dropped and waiting add up, and media time never goes back', () => {
  const action = fc.oneof(
    fc.record({ type: fc.constant('push' as const), duration: fc.constantFrom(120, 480, 960, 2880) }),
    fc.record({ type: fc.constant('clear' as const) }),
    fc.record({ type: fc.constant('tick' as const), ms: fc.integer({ min: 0, max: 200 }) }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 300 }), (actions) => {
      const playout = new Playout<number>(0);
      let now = 0;
      let pushed = 0;
      let dropped = 0;
      let end = 0;
      for (const [i, act] of actions.entries()) {
        if (act.type === 'push') {
          playout.push(i, act.duration);
          pushed += act.duration / 48;
        } else if (act.type === 'clear') dropped += playout.clear();
        else {
          now += act.ms;
          for (let step = playout.poll(now); step !== null; step = playout.poll(now)) {
            assert.ok(step.mediaTime >= end);
            end = step.mediaTime + step.duration;
            assert.ok(end / 48 <= now + 130, 'never far ahead of the clock');
          }
        }
        assert.ok(Math.abs(playout.sentMs + dropped + playout.queuedMs - pushed) < 1e-6);
      }
    }),
    { seed: 7, numRuns: 500 },
  );
});

/** An agent that gives a frame every `every` ms; ticks come in between. Ends with what was asked for. */
function slowly(playout: Playout<number>, from: number, frames: number, every: number): Sent[] {
  const sent: Sent[] = [];
  let given = 0;
  for (let at = from; given < frames; at += 20) {
    for (; given < frames && from + given * every <= at; given++) playout.push(given, FRAME);
    sent.push(...play(playout, [at]));
  }
  playout.finish();
  sent.push(...play(playout, every20(from + Math.ceil((frames * every) / 20) * 20 + 20, 40)));
  return sent;
}

/** Pauses between frames of sound: as many as a listener hears. */
function pauses(sent: readonly Sent[]): number {
  const sound = sent.filter(({ payload }) => payload !== null);
  return sound.filter(({ mediaTime }, i) => i > 0 && mediaTime !== sound[i - 1].mediaTime + FRAME).length;
}

test('an agent slower than real time gives few long pauses instead of a stutter, all of it in order', () => {
  const playout = new Playout<number>(0);
  const sent = slowly(playout, 1000, 100, 24);
  assert.deepEqual(sent.flatMap(({ payload }) => (payload === null ? [] : [payload])), Array.from({ length: 100 }, (_, i) => i));
  assert.equal(playout.underruns, pauses(sent));
  // A frame is 4 ms late each time: without gathering every fifth one would come after a pause.
  assert.ok(pauses(sent) <= 6, `${pauses(sent)} pauses`);
});

test('the next sound of such an agent begins with what is gathered; quick agents forget it again', () => {
  const playout = new Playout<number>(0);
  slowly(playout, 1000, 30, 24);
  const second = slowly(playout, 4000, 30, 24);
  assert.ok(second[0].at > 4000 && second[0].at <= 4200, `${second[0].at}`);
  for (let i = 0; i < 5; i++) slowly(playout, 10_000 + i * 5000, 30, 10);
  assert.equal(slowly(playout, 50_000, 10, 10)[0].at, 50_000);
});

test('the end of a sound is not held back, nor one whose agent thinks for a while', () => {
  const playout = new Playout<number>(0);
  playout.push(0, FRAME);
  play(playout, [1000, 1020, 1040, 1060]);
  playout.push(1, FRAME);
  assert.deepEqual(play(playout, [1080]).map(({ payload }) => payload), [null]);
  playout.finish();
  assert.deepEqual(play(playout, [1100]).map(({ payload }) => payload), [1]);
  playout.clear();
  playout.push(2, FRAME);
  playout.finish();
  play(playout, every20(3000, 5));
  playout.push(3, FRAME);
  play(playout, every20(4000, 3));
  playout.push(4, FRAME);
  const { underruns } = playout;
  assert.deepEqual(play(playout, [5000]).map(({ payload }) => payload), [4], 'no longer than it thought');
  assert.equal(playout.underruns, underruns);
});

test('a frame that comes alone after a stutter waits no longer than is gathered', () => {
  const playout = new Playout<number>(0);
  playout.push(0, FRAME);
  play(playout, [1000, 1020, 1040, 1060]);
  playout.push(1, FRAME);
  const sent = play(playout, every20(1080, 10));
  assert.equal(sent.find(({ payload }) => payload === 1)?.at, 1120);
});
