import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MediaClock } from '../../src/transceiver/media-clock.ts';
import { Clockwork } from './clockwork.ts';

/** When each of `count` members was served. */
function paced(count: number): { clockwork: Clockwork; clock: MediaClock<number>; served: number[][] } {
  const clockwork = new Clockwork();
  const served = Array.from({ length: count }, (): number[] => []);
  const clock = new MediaClock<number>(
    {
      tick(members, now) {
        for (const member of members) served[member].push(now);
      },
      prepare: () => {},
    },
    clockwork,
  );
  for (let i = 0; i < count; i++) clock.add(i);
  return { clockwork, clock, served };
}

test('each is served once per 20 ms, spread evenly, and timers that are late by turns do not add up', () => {
  const { clockwork, clock, served } = paced(80);
  let turn = 0;
  clockwork.lateBy = () => (turn++ % 3) * 0.7;
  clockwork.run(20_000);
  for (const times of served) {
    assert.ok(times.length >= 999 && times.length <= 1000, `${times.length}`);
    const drift = times.map((at, i) => at - times[0] - i * 20);
    assert.ok(Math.max(...drift) - Math.min(...drift) < 3, 'no drift');
  }
  const phases = new Map<number, number>();
  for (const [first] of served) phases.set(first, (phases.get(first) ?? 0) + 1);
  assert.deepEqual([...phases.values()], Array.from({ length: 8 }, () => 10));
  assert.equal(clock.skipped, 0);
  assert.equal(clock.ticksByLateness.reduce((sum, count) => sum + count), clock.ticksByLateness[0] + clock.ticksByLateness[1]);
});

test('after a stop of the thread two frame times are made up for, the rest is skipped, for all alike', () => {
  const { clockwork, clock, served } = paced(16);
  clockwork.run(1000);
  const before = served.map(({ length }) => length);
  // The thread does nothing for 300 ms: its timer is that late.
  clockwork.at += 300;
  clockwork.run(0);
  for (const [i, times] of served.entries()) {
    const made = times.length - before[i];
    assert.ok(made >= 1 && made <= 2, `${made}`);
  }
  assert.ok(clock.skipped >= 13 && clock.skipped <= 14, `${clock.skipped}`);
});

test('one member wakes the thread once per frame time, none not at all', () => {
  const { clockwork, clock, served } = paced(1);
  let timers = 0;
  clockwork.lateBy = () => (timers++, 0);
  clockwork.run(2000);
  assert.ok(timers <= 101, `${timers} timers`);
  assert.ok(served[0].length >= 99);
  clock.remove(0);
  assert.ok(clockwork.idle);
  clock.add(0);
  clockwork.run(100);
  assert.ok(served[0].length >= 103);
});

test('one that leaves while it is served does not disturb the others', () => {
  const clockwork = new Clockwork();
  const served: number[] = [];
  const clock: MediaClock<number> = new MediaClock<number>(
    {
      tick(members) {
        for (const member of members) {
          served.push(member);
          clock.remove(member);
        }
      },
      prepare: (member) => assert.fail(`${member} has left`),
    },
    clockwork,
  );
  for (let i = 0; i < 20; i++) clock.add(i);
  clockwork.run(100);
  assert.deepEqual(served.toSorted((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i));
  assert.ok(clockwork.idle);
});

test('what is prepared holds up nobody: packets of other slots leave at their time, and everybody is prepared for in turn', () => {
  const clockwork = new Clockwork();
  const served: { member: number; at: number; prepared: boolean }[] = [];
  const prepared = new Set<number>();
  const clock = new MediaClock<number>(
    {
      tick(members, now) {
        for (const member of members) {
          served.push({ member, at: now, prepared: prepared.delete(member) });
          clockwork.at += 0.005;
        }
      },
      prepare(member) {
        prepared.add(member);
        clockwork.at += 0.06;
      },
    },
    clockwork,
  );
  for (let i = 0; i < 304; i++) clock.add(i);
  clockwork.run(2000);
  for (let member = 0; member < 304; member++) {
    const own = served.filter((turn) => turn.member === member);
    assert.ok(own.length >= 99);
    assert.ok(Math.max(...own.map(({ at }, i) => Math.abs(at - own[0].at - i * 20))) < 0.2, 'on time');
    assert.ok(own.slice(1).every((turn) => turn.prepared));
  }
  // Too much for the thread: packets still come first, and the thread is left to others between two wake-ups.
  for (let i = 304; i < 600; i++) clock.add(i);
  served.length = 0;
  clockwork.run(1000);
  const late = clock.ticksByLateness.slice(2).reduce((sum, count) => sum + count);
  assert.ok(served.length >= 600 * 48 && late === 0, `${served.length} served, ${late} late`);
});

test('a thread that cannot keep up still gives others their turn', () => {
  const clockwork = new Clockwork();
  let wakeUps = 0;
  clockwork.lateBy = () => (wakeUps++, 0);
  const clock = new MediaClock<number>({ tick: () => (clockwork.at += 5), prepare: () => {} }, clockwork);
  for (let i = 0; i < 8; i++) clock.add(i);
  clockwork.run(1000);
  assert.ok(wakeUps >= 10, `${wakeUps} wake-ups`);
  assert.ok(clock.skipped > 10);
});
