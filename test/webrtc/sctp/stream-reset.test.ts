import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkType } from '../../../src/webrtc/sctp/packet.ts';
import { Reconfig, type ReconfigEvents } from '../../../src/webrtc/sctp/reconfig.ts';
import { chunkTypes, numberOf, Pair, patterned } from './pair.ts';

for (const loss of [0, 0.2]) {
  test(`streams are reset after their last message and used again, ${loss * 100}% loss`, () => {
    const pair = new Pair(1 + loss * 10, { loss, delay: 20, jitter: loss * 100, duplication: loss / 2 }).connect();
    for (let life = 0; life < 5; life++) {
      for (const id of [1, 2]) {
        for (let i = 0; i < 5; i++) pair.send(0, id, patterned(life * 5 + i, 3000));
        pair.do(0, (peer, now) => peer.resetStream(id, now));
      }
      assert.throws(() => pair.send(0, 1, patterned(0, 1)), TypeError);
      const done = (): boolean => resets(pair, 0) === 2 * (life + 1) && resets(pair, 1) === 2 * (life + 1);
      pair.run(done, 300_000, `life ${life}`);
    }
    pair.network.sleep(30_000);
    for (const id of [1, 2]) {
      const seen = pair.events[1].filter((event) => 'streamId' in event && event.streamId === id);
      const lives = seen.map((event) => (event.type === 'message' ? numberOf(event.data) : event.type));
      const expected = Array.from({ length: 5 }, (_, life) => [...[0, 1, 2, 3, 4].map((i) => life * 5 + i), 'stream-reset']);
      assert.deepEqual(lives, expected.flat());
    }
    assert.ok(pair.events[0].every((event) => event.type !== 'stream-reset' || event.performed));
  });
}

test('both sides may reset at once', () => {
  const pair = new Pair(3, { loss: 0.1, delay: 20, jitter: 20 }).connect();
  for (const who of [0, 1] as const) {
    pair.send(who, 4, patterned(1, 9000));
    pair.do(who, (peer, now) => peer.resetStream(4, now));
  }
  pair.run(() => resets(pair, 0) === 2 && resets(pair, 1) === 2, 60_000, 'both directions are reset');
});

test('a reset that overtakes its data is answered "in progress" and done once the data is there', () => {
  const pair = new Pair(4, { delay: 20 }).connect();
  let dropped = 0;
  pair.network.tap = (from, data) => (from === 0 && chunkTypes(data).includes(ChunkType.data) && dropped++ < 2 ? 'drop' : 'pass');
  pair.send(0, 1, patterned(1, 100));
  pair.do(0, (peer, now) => peer.resetStream(1, now));
  pair.run(() => resets(pair, 0) === 1 && resets(pair, 1) === 1, 20_000, 'the reset is done');
  assert.deepEqual(pair.events[1].map((event) => event.type), ['established', 'message', 'stream-reset']);
});

function resets(pair: Pair, who: 0 | 1): number {
  return pair.count(who, 'stream-reset');
}

function side(isSupported = true): { reconfig: Reconfig; sent: Uint8Array[]; log: unknown[] } {
  const sent: Uint8Array[] = [];
  const log: unknown[] = [];
  const events: ReconfigEvents = {
    outgoingReset: (streamId, performed) => log.push(['outgoing', streamId, performed]),
    incomingReset: (streamIds) => log.push(['incoming', ...streamIds]),
    send: (chunk) => sent.push(chunk),
  };
  return { reconfig: new Reconfig({ initialTsn: 100, peerInitialTsn: 500, isSupported, events }), sent, log };
}

function words(...numbers: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * numbers.length);
  numbers.forEach((number, i) => new DataView(bytes.buffer).setUint32(4 * i, number));
  return bytes;
}

function take(to: Reconfig, value: Uint8Array, cumulativeTsn = 1000): string {
  return to.handle(value, 0, value.length, cumulativeTsn);
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('a request has the bytes of RFC 6525, section 4.1, and is repeated as it is', () => {
  const { reconfig, sent } = side();
  reconfig.reset(7);
  reconfig.reset(9);
  reconfig.advance(() => true, 99, 300, 0);
  assert.equal(hex(sent[0]), ['82000018', '000d0014', '00000064', '000001f3', '00000063', '0007', '0009'].join(''));
  assert.ok(reconfig.timer.expire(300));
  reconfig.timedOut(300, 300);
  assert.deepEqual(sent[1], sent[0]);
});

test('after "in progress" the request is repeated under the next number', () => {
  const { reconfig, sent, log } = side();
  reconfig.reset(7);
  reconfig.advance(() => true, 99, 300, 0);
  take(reconfig, words(0x0010000c, 100, 6));
  assert.ok(reconfig.isResetting(7));
  assert.ok(reconfig.timer.expire(300));
  reconfig.timedOut(300, 300);
  assert.equal(hex(sent[1]).slice(16, 24), '00000065');
  take(reconfig, words(0x0010000c, 100, 1));
  assert.deepEqual(log, [], 'the answer to the old number means nothing');
  take(reconfig, words(0x0010000c, 101, 1));
  assert.deepEqual(log, [['outgoing', 7, true]]);
  assert.ok(!reconfig.timer.isRunning);
});

test('a refused or unsupported reset is reported as not performed', () => {
  const refused = side();
  refused.reconfig.reset(7);
  refused.reconfig.advance(() => true, 99, 300, 0);
  take(refused.reconfig, words(0x0010000c, 100, 2));
  assert.deepEqual(refused.log, [['outgoing', 7, false]]);
  const unsupported = side(false);
  unsupported.reconfig.reset(7);
  unsupported.reconfig.advance(() => true, 99, 300, 0);
  assert.deepEqual(unsupported.log, [['outgoing', 7, false]]);
  assert.deepEqual(unsupported.sent, []);
});

test('requests of the peer are done once; repeated and wrong numbers are answered, not done', () => {
  const { reconfig, sent, log } = side();
  const request = (sequence: number): Uint8Array => words(0x000d0014, sequence, 99, 700, 0x00030004);
  const result = (): number => new DataView(sent.at(-1)!.buffer).getUint32(12);
  take(reconfig, request(500), 600);
  assert.equal(result(), 6);
  take(reconfig, request(500), 600);
  assert.equal(result(), 6);
  take(reconfig, request(501), 650);
  assert.equal(result(), 6);
  assert.deepEqual(log, []);
  take(reconfig, request(501), 700);
  assert.equal(result(), 1);
  take(reconfig, request(501), 700);
  assert.equal(result(), 1);
  take(reconfig, request(509), 700);
  assert.equal(result(), 5);
  assert.deepEqual(log, [['incoming', 3, 4]]);
  take(reconfig, request(502), 700);
  assert.equal(result(), 1, 'done late and asked again by a peer that has seen "in progress" only');
  assert.deepEqual(log, [['incoming', 3, 4]]);
  take(reconfig, request(503), 700);
  assert.deepEqual(log, [['incoming', 3, 4], ['incoming', 3, 4]], 'but a new request is a new one');
  take(reconfig, words(0x0011000c, 504, 0x00100000));
  assert.equal(result(), 2, 'adding streams is denied');
});

test('truncated requests are malformed', () => {
  const { reconfig, sent } = side();
  const whole = words(0x000d0014, 500, 99, 700, 0x00030004);
  for (let length = 1; length < whole.length; length++) {
    assert.equal(take(reconfig, whole.subarray(0, length)), 'malformed', `${length} bytes`);
  }
  assert.deepEqual(sent, []);
});
