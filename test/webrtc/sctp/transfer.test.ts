import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numberOf, Pair, patterned } from './pair.ts';

const PATHS = [
  { name: 'a clean path', loss: 0, duplication: 0, delay: 10, jitter: 0 },
  { name: '5% loss and reordering', loss: 0.05, duplication: 0.02, delay: 20, jitter: 15 },
  { name: '20% loss, duplication and reordering', loss: 0.2, duplication: 0.1, delay: 30, jitter: 40 },
];

for (const [index, path] of PATHS.entries()) {
  test(`256 KiB arrive whole both ways over ${path.name}`, () => {
    const pair = new Pair(1000 + index, path).connect();
    pair.send(0, 1, patterned(1, 262_144));
    pair.send(1, 2, patterned(2, 262_144));
    pair.run(() => pair.count(0, 'message') + pair.count(1, 'message') === 2, 600_000, 'both messages arrive');
    assert.equal(numberOf(pair.messages(1)[0].data), 1);
    assert.equal(pair.messages(1)[0].data.length, 262_144);
    assert.equal(numberOf(pair.messages(0)[0].data), 2);
    assert.equal(pair.messages(0)[0].streamId, 2);
    assert.equal(pair.messages(0)[0].ppid, 53);
  });

  test(`every message arrives exactly once and in order per stream over ${path.name}`, () => {
    const pair = new Pair(2000 + index, path).connect(0, 1);
    const total = 400;
    for (let number = 0; number < total; number++) {
      for (const from of [0, 1] as const) pair.send(from, number % 7, patterned(number, pair.prng.below(5000)));
    }
    pair.run(() => pair.count(0, 'message') + pair.count(1, 'message') >= 2 * total, 900_000, 'all messages arrive');
    pair.network.sleep(5_000);
    for (const who of [0, 1] as const) {
      const messages = pair.messages(who);
      assert.equal(messages.length, total);
      const last = new Map<number, number>();
      for (const { streamId, data } of messages) {
        const number = numberOf(data);
        assert.equal(streamId, number % 7);
        assert.ok(number > (last.get(streamId) ?? -1), `stream ${streamId} is in order`);
        last.set(streamId, number);
      }
    }
  });

  test(`unordered messages arrive exactly once over ${path.name}`, () => {
    const pair = new Pair(3000 + index, path).connect();
    for (let number = 0; number < 300; number++) {
      pair.send(0, 3, patterned(number, pair.prng.below(4000)), { ordered: false });
    }
    pair.run(() => pair.count(1, 'message') >= 300, 600_000, 'all messages arrive');
    pair.network.sleep(5_000);
    const numbers = pair.messages(1).map(({ data }) => numberOf(data));
    assert.deepEqual(numbers.toSorted((a, b) => a - b), Array.from({ length: 300 }, (_, i) => i));
  });
}
