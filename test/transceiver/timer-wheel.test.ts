import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { TimerWheel } from '../../src/transceiver/timer-wheel.ts';
import { Clockwork } from './clockwork.ts';

interface Expiry {
  readonly item: number;
  readonly at: number;
}

function wheel(): { clockwork: Clockwork; timers: TimerWheel<number>; expired: Expiry[] } {
  const clockwork = new Clockwork();
  const expired: Expiry[] = [];
  const timers = new TimerWheel<number>((items, now) => {
    for (const item of items) expired.push({ item, at: now });
  }, clockwork);
  return { clockwork, timers, expired };
}

test('an item expires once, not before its time and at most 5 ms after it', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(20), fc.double({ min: 0, max: 5000, noNaN: true })), { maxLength: 60 }), (wishes) => {
      const { clockwork, timers, expired } = wheel();
      const wanted = new Map(wishes.map(([item, after]) => [item, clockwork.at + after]));
      for (const [item, after] of wishes) timers.schedule(item, clockwork.at + after);
      assert.equal(timers.size, wanted.size);
      clockwork.run(5100);
      assert.equal(expired.length, wanted.size);
      for (const { item, at } of expired) {
        const late = at - wanted.get(item)!;
        // What is due at once waits for the next tick.
        assert.ok(late >= 0 && late <= 6, `${late} ms late`);
      }
      assert.ok(clockwork.idle && timers.size === 0);
    }),
    { numRuns: 300, seed: 7 },
  );
});

test('the last wish counts, also an earlier one, and one that is taken back does not', () => {
  const { clockwork, timers, expired } = wheel();
  timers.schedule(1, 1500);
  timers.schedule(1, 1100);
  timers.schedule(2, 1100);
  timers.schedule(2, 1500);
  timers.schedule(3, 1200);
  timers.remove(3);
  timers.remove(3);
  clockwork.run(1000);
  assert.deepEqual(expired.map(({ item, at }) => [item, Math.round(at)]), [[1, 1100], [2, 1500]]);
});

test('what lies beyond the span expires early, and who asks again gets there', () => {
  const clockwork = new Clockwork();
  const times: number[] = [];
  const wanted = clockwork.at + 3_600_000;
  const timers: TimerWheel<string> = new TimerWheel((items, now) => {
    times.push(now);
    if (now < wanted) for (const item of items) timers.schedule(item, wanted);
  }, clockwork);
  timers.schedule('an hour', wanted);
  clockwork.run(3_700_000);
  assert.ok(times.length < 3_600_000 / 5000, `${times.length} wake-ups`);
  assert.ok(times.at(-1)! >= wanted && times.at(-1)! <= wanted + 5);
  assert.ok(times.slice(0, -1).every((at) => at < wanted));
});

test('a thread that did not run for longer than the span misses nobody', () => {
  const { clockwork, timers, expired } = wheel();
  for (let item = 0; item < 100; item++) timers.schedule(item, 1000 + item * 50);
  clockwork.at += 60_000;
  clockwork.run(0);
  assert.equal(expired.length, 100);
  timers.schedule(7, clockwork.at + 10);
  clockwork.run(20);
  assert.equal(expired.length, 101);
});

test('timers that fire early or late neither lose anybody nor spin', () => {
  const { clockwork, timers, expired } = wheel();
  let wakeUps = 0;
  clockwork.lateBy = () => [-0.9, 0, 1.7][wakeUps++ % 3];
  for (let item = 0; item < 200; item++) timers.schedule(item, 1000 + item * 10);
  clockwork.run(2100);
  assert.equal(expired.length, 200);
  for (const { item, at } of expired) assert.ok(at >= 1000 + item * 10 && at < 1009 + item * 10, `${at}`);
  assert.ok(wakeUps < 500, `${wakeUps} wake-ups`);
});

test('one that leaves while it expires does not disturb the others', () => {
  const clockwork = new Clockwork();
  const gone: number[] = [];
  const timers: TimerWheel<number> = new TimerWheel((items) => {
    for (const item of items) {
      gone.push(item);
      timers.remove(item);
    }
  }, clockwork);
  for (let item = 0; item < 10; item++) timers.schedule(item, 1010);
  clockwork.run(100);
  assert.equal(gone.length, 10);
  assert.ok(clockwork.idle);
});
