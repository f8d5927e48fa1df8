import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkType } from '../../../src/webrtc/sctp/packet.ts';
import { chunkTypes, numberOf, Pair, patterned } from './pair.ts';

for (const ordered of [true, false]) {
  const name = ordered ? 'ordered' : 'unordered';

  test(`${name} messages that may be lost do not hold up those behind them`, () => {
    const pair = new Pair(ordered ? 1 : 2, { loss: 0.2, delay: 20, jitter: 10 }).connect();
    const total = 300;
    for (let number = 0; number < total; number++) {
      const length = number % 10 === 0 ? 6000 : 300;
      pair.send(0, 1, patterned(number, length), { ordered, maxRetransmits: 0 });
      pair.network.sleep(20);
    }
    pair.send(0, 1, patterned(total, 100), { ordered: true });
    pair.run(() => pair.messages(1).some(({ data }) => numberOf(data) === total), 120_000, 'the reliable one arrives');
    pair.network.sleep(20_000);
    const numbers = pair.messages(1).map(({ data }) => numberOf(data));
    assert.equal(new Set(numbers).size, numbers.length, 'none twice');
    if (ordered) assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
    assert.ok(numbers.length < total, 'some are lost');
    assert.ok(numbers.length > total / 2, 'most arrive');
    assert.ok(pair.peers[0].dump().path!.abandonedMessages > 10);
    assert.equal(pair.peers[1].dump().path!.heldBytes, 0, 'no piece of an abandoned message stays behind');
    assert.equal(pair.peers[0].dump().path!.outstandingBytes, 0);
  });
}

test('a large message given up in the middle does not block the stream', () => {
  const pair = new Pair(3, { delay: 20 }).connect();
  let hole = true;
  // One data packet in the middle of the message is lost, the rest of it still waits for the window.
  let count = 0;
  pair.network.tap = (from, data) => {
    if (from === 1 || !chunkTypes(data).includes(ChunkType.data)) return 'pass';
    count += 1;
    return hole && count === 3 ? 'drop' : 'pass';
  };
  pair.send(0, 1, patterned(1, 200_000), { maxRetransmits: 0 });
  pair.network.sleep(400);
  hole = false;
  pair.send(0, 1, patterned(2, 100));
  pair.run(() => pair.messages(1).length > 0, 10_000, 'the next message arrives');
  assert.deepEqual(pair.messages(1).map(({ data }) => numberOf(data)), [2]);
  assert.ok(count < 60, `the unsent rest is gone: ${count} of 178 packets were sent`);
  assert.equal(pair.peers[1].dump().path!.heldBytes, 0);
});

test('a message whose time is over is not sent, and not sent again', () => {
  const pair = new Pair(4, { delay: 20 }).connect();
  let down = true;
  pair.network.tap = () => (down ? 'drop' : 'pass');
  pair.send(0, 1, patterned(1, 100), { maxLifetime: 200 });
  for (let i = 0; i < 30; i++) pair.send(0, 1, patterned(2, 1000), { maxLifetime: 200 });
  pair.send(0, 1, patterned(3, 100));
  pair.network.sleep(2_000);
  down = false;
  pair.run(() => pair.messages(1).length > 0, 20_000, 'what has no limit arrives');
  pair.network.sleep(5_000);
  assert.deepEqual(pair.messages(1).map(({ data }) => numberOf(data)), [3]);
  assert.ok(pair.peers[0].dump().expiredMessages > 0);
});

test('a message with a generous limit is sent again like any other', () => {
  const pair = new Pair(5, { loss: 0.2, delay: 20 }).connect();
  for (let i = 0; i < 50; i++) pair.send(0, 1, patterned(i, 2000), { maxRetransmits: 50 });
  pair.run(() => pair.messages(1).length === 50, 120_000, 'all arrive');
});

test('a lost FORWARD TSN is sent again', () => {
  const pair = new Pair(6, { delay: 20 }).connect();
  let dropped = 0;
  pair.network.tap = (from, data) => {
    if (from === 1) return 'pass';
    if (chunkTypes(data).includes(ChunkType.forwardTsn)) return dropped++ < 3 ? 'drop' : 'pass';
    return chunkTypes(data).includes(ChunkType.data) && dropped === 0 ? 'drop' : 'pass';
  };
  pair.send(0, 1, patterned(1, 100), { maxRetransmits: 0 });
  pair.network.sleep(5_000);
  assert.ok(dropped > 3);
  pair.send(0, 1, patterned(2, 100));
  pair.run(() => pair.messages(1).length === 1, 1_000, 'the next arrives');
});

test('stream sequence numbers wrap, with losses skipped around the wrap', () => {
  const pair = new Pair(7, { delay: 1 }).connect();
  for (let number = 0; number < 66_000; number++) {
    pair.send(0, 1, patterned(number, 4), number % 1000 === 535 ? { maxRetransmits: 0 } : {});
    if (number % 50 === 0) pair.network.sleep(3);
    if (number === 65_530) pair.network.tap = (from) => (from === 0 && pair.prng.next() < 0.1 ? 'drop' : 'pass');
  }
  const last = 65_999;
  const arrived = (): boolean => pair.events[1].length > 60_000 && lastNumber(pair) === last;
  pair.run(arrived, 60_000, 'the last arrives');
  const numbers = pair.messages(1).map(({ data }) => numberOf(data));
  assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
  assert.ok(numbers.length >= 66_000 - 66);
});

function lastNumber(pair: Pair): number {
  const event = pair.events[1].at(-1)!;
  return event.type === 'message' ? numberOf(event.data) : -1;
}
