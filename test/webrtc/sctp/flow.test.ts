import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readUint16, readUint32 } from '../../../src/wire/integers.ts';
import { ChunkType, PacketReader } from '../../../src/webrtc/sctp/packet.ts';
import { ReceiveTracker } from '../../../src/webrtc/sctp/receive-tracker.ts';
import { RetransmissionTimeout } from '../../../src/webrtc/sctp/rto.ts';
import { chunkTypes, numberOf, Pair, patterned } from './pair.ts';

/** What the SACK of a packet says, or null. */
function sackOf(packet: Uint8Array): { cumulativeTsn: number; window: number; gaps: number; duplicates: number } | null {
  const reader = new PacketReader();
  assert.equal(reader.open(packet), null);
  while (reader.next()) {
    if (reader.type !== ChunkType.sack) continue;
    const { bytes, start } = reader;
    return {
      cumulativeTsn: readUint32(bytes, start),
      window: readUint32(bytes, start + 4),
      gaps: readUint16(bytes, start + 8),
      duplicates: readUint16(bytes, start + 10),
    };
  }
  return null;
}

test('the sender stops at a window filled by a hole, and the transfer ends once the hole is filled', () => {
  const receiveWindow = 20_000;
  const pair = new Pair(1, { delay: 20 }, [{}, { receiveWindow }]).connect();
  pair.network.record = true;
  let first = true;
  let blocked = true;
  let hole = 0;
  pair.network.tap = (from, data) => {
    if (from === 1) return 'pass';
    const reader = new PacketReader();
    reader.open(data);
    while (reader.next()) {
      if (reader.type !== ChunkType.data) continue;
      const tsn = readUint32(reader.bytes, reader.start);
      if (first) hole = tsn;
      first = false;
      if (blocked && tsn === hole) return 'drop';
    }
    return 'pass';
  };
  for (let number = 0; number < 200; number++) pair.send(0, 1, patterned(number, 1000));
  pair.network.sleep(2_500);
  assert.equal(pair.messages(1).length, 0);
  const held = pair.peers[1].dump().path!.heldBytes;
  assert.ok(held > 10_000 && held <= receiveWindow, `${held} bytes are held`);
  const windows = pair.network.packets.filter(({ from }) => from === 1).map(({ data }) => sackOf(data)?.window ?? receiveWindow);
  assert.ok(Math.min(...windows) < 3_000, 'the advertised window shrinks with what is held');
  blocked = false;
  pair.run(() => pair.messages(1).length === 200, 60_000, 'all arrive');
  assert.deepEqual(pair.messages(1).map(({ data }) => numberOf(data)), Array.from({ length: 200 }, (_, i) => i));
  assert.equal(pair.peers[1].dump().path!.heldBytes, 0);
});

for (const loss of [0, 0.1]) {
  test(`a message much larger than the receive window passes it, ${loss * 100}% loss`, () => {
    const pair = new Pair(2, { delay: 5, loss }, [{}, { receiveWindow: 8_000 }]).connect();
    for (let number = 0; number < 3; number++) pair.send(0, number, patterned(number, 100_000));
    pair.run(() => pair.messages(1).length === 3, 900_000, 'it arrives');
    for (const { data } of pair.messages(1)) numberOf(data);
  });
}

test('a message beyond the largest that is taken ends the association, not the memory', () => {
  const pair = new Pair(3, {}, [{ maxMessageSize: 0 }, { maxReceiveMessageSize: 50_000 }]).connect();
  pair.send(0, 1, patterned(1, 50_000));
  pair.network.sleep(2_000);
  assert.equal(pair.messages(1).length, 1);
  pair.send(0, 1, patterned(1, 50_001));
  pair.run(() => pair.closeReason(1) !== undefined, 5_000, 'it ends');
  assert.equal(pair.closeReason(1), 'protocol-violation');
  pair.network.sleep(100);
  assert.equal(pair.closeReason(0), 'peer-abort');
});

test('mistakes of the caller are refused', () => {
  const pair = new Pair(4, {}, [{ maxMessageSize: 1000 }]).connect();
  assert.throws(() => pair.send(0, 1, new Uint8Array(1001)), RangeError);
  assert.throws(() => pair.send(0, 1, new Uint8Array(0)), RangeError);
  assert.throws(() => pair.send(0, 65_535, new Uint8Array(1)), RangeError);
  assert.throws(() => pair.send(0, 1.5, new Uint8Array(1)), RangeError);
  assert.throws(() => pair.send(0, 1, new Uint8Array(1), { maxRetransmits: 1, maxLifetime: 1 }), TypeError);
  assert.throws(() => new Pair(5).peers[0].resetStream(1, 0), TypeError);
});

test('the caller may overwrite what it has sent', () => {
  const pair = new Pair(6).connect();
  const data = patterned(1, 5000);
  pair.peers[0].send(1, 53, data, { ordered: true }, pair.network.now);
  data.fill(0);
  pair.network.drain(0);
  pair.run(() => pair.messages(1).length === 1, 5_000, 'it arrives');
  assert.equal(numberOf(pair.messages(1)[0].data), 1);
});

test('a small event waits for one large message at most, however many are queued on other streams', () => {
  const pair = new Pair(7, { delay: 20 }).connect();
  for (let number = 1; number <= 10; number++) pair.send(0, 1, patterned(number, 262_144));
  pair.send(0, 2, patterned(0, 50));
  pair.run(() => pair.messages(1).length === 11, 600_000, 'all arrive');
  const order = pair.messages(1).map(({ data }) => numberOf(data));
  assert.ok(order.indexOf(0) <= 1, `the event comes as number ${order.indexOf(0)}`);
});

test('the buffered amount falls as data leaves, and the threshold is reported once on the way down', () => {
  const pair = new Pair(8, { delay: 20 }, [{ bufferedLowThreshold: 10_000 }]).connect();
  pair.send(0, 1, patterned(1, 200_000));
  const first = pair.peers[0].bufferedAmount(1);
  assert.ok(first > 190_000 && first < 200_000, 'a burst has left');
  pair.run(() => pair.count(0, 'buffered-low') === 1, 60_000, 'it falls');
  assert.ok(pair.peers[0].bufferedAmount(1) <= 10_000);
  pair.run(() => pair.messages(1).length === 1, 60_000, 'it arrives');
  assert.equal(pair.peers[0].bufferedAmount(1), 0);
  assert.equal(pair.count(0, 'buffered-low'), 1);
});

test('one burst is four packets, and the window grows from ten packets while acknowledgements come', () => {
  const pair = new Pair(9, { delay: 50 }).connect();
  pair.network.record = true;
  const start = pair.network.now;
  pair.send(0, 1, patterned(1, 262_144));
  assert.equal(pair.network.packets.length, 4);
  pair.run(() => pair.messages(1).length === 1, 60_000, 'it arrives');
  assert.ok(pair.network.now - start < 1_000, `256 KiB in ${pair.network.now - start} ms at a round trip of 100`);
  assert.ok(pair.network.packets.every(({ data }) => data.length <= 1160));
  assert.equal(pair.peers[0].dump().path!.retransmissions, 0);
});

test('one lost packet in a flow is repaired by fast retransmit, without a time-out', () => {
  const pair = new Pair(10, { delay: 20 }).connect();
  let count = 0;
  pair.network.tap = (from, data) => (from === 0 && chunkTypes(data).includes(ChunkType.data) && ++count === 20 ? 'drop' : 'pass');
  const start = pair.network.now;
  pair.send(0, 1, patterned(1, 100_000));
  pair.run(() => pair.messages(1).length === 1, 60_000, 'it arrives');
  const path = pair.peers[0].dump().path!;
  assert.deepEqual([path.fastRetransmissions, path.retransmissions], [1, 1]);
  assert.ok(path.slowStartThreshold < Infinity);
  assert.ok(pair.network.now - start < 500);
});

test('a lone message that is lost is repaired within RTO.Min and a round trip', () => {
  const pair = new Pair(11, { delay: 20 }).connect();
  pair.send(0, 1, patterned(0, 10));
  pair.network.sleep(1_000);
  let lost = 0;
  pair.network.tap = (from) => (from === 0 && lost++ === 0 ? 'drop' : 'pass');
  const start = pair.network.now;
  pair.send(0, 1, patterned(1, 10));
  pair.run(() => pair.messages(1).length === 2, 1_000, 'it arrives');
  assert.ok(pair.network.now - start <= 400, `${pair.network.now - start} ms`);
});

test('a lone message is acknowledged after 200 ms, every second packet and the first at once', () => {
  const pair = new Pair(12, { delay: 10 }).connect();
  pair.network.record = true;
  const acksAt = (act: () => void): number[] => {
    pair.network.packets.length = 0;
    const start = pair.network.now;
    act();
    pair.network.sleep(1_000);
    return pair.network.packets.filter(({ from }) => from === 1).map(({ at }) => Math.round(at - start));
  };
  assert.deepEqual(acksAt(() => pair.send(0, 1, patterned(1, 10))), [10], 'the first');
  assert.deepEqual(acksAt(() => pair.send(0, 1, patterned(1, 10))), [210], 'a lone one');
  assert.deepEqual(acksAt(() => pair.send(0, 1, patterned(1, 2000))), [10], 'two');
  assert.equal(pair.peers[0].dump().path!.retransmissions, 0, 'and never so late that it is sent again');
});

test('an answer carries the acknowledgement along', () => {
  const pair = new Pair(13, { delay: 10 }).connect();
  for (const from of [0, 1, 0] as const) {
    pair.send(from, 1, patterned(1, 10));
    pair.network.sleep(400);
  }
  pair.network.record = true;
  pair.send(0, 1, patterned(1, 10));
  pair.network.sleep(12);
  pair.send(1, 1, patterned(1, 10));
  assert.deepEqual(chunkTypes(pair.network.packets.at(-1)!.data), [ChunkType.sack, ChunkType.data]);
});

test('gaps and duplicates are reported as they are, across the wrap of the TSN', () => {
  const tracker = new ReceiveTracker(0xfffffffe);
  const report = (): number[] => {
    const value = new Uint8Array(tracker.sackBytes(1000));
    tracker.writeSack(value, 7);
    const numbers = [readUint32(value, 0), readUint32(value, 4), readUint16(value, 8), readUint16(value, 10)];
    const gaps = numbers[2];
    for (let i = 0; i < 2 * gaps; i++) numbers.push(readUint16(value, 12 + 2 * i));
    for (let i = 0; i < numbers[3]; i++) numbers.push(readUint32(value, 12 + 4 * gaps + 4 * i));
    return numbers;
  };
  const receive = (tsn: number): void => {
    if (tracker.classify(tsn) === 'duplicate') tracker.addDuplicate(tsn);
    else tracker.add(tsn);
  };
  receive(0xfffffffe);
  assert.deepEqual(report(), [0xfffffffe, 7, 0, 0]);
  for (const tsn of [3, 1, 6, 2, 1, 0xfffffffe]) receive(tsn);
  assert.deepEqual(report(), [0xfffffffe, 7, 2, 2, 3, 5, 8, 8, 1, 0xfffffffe]);
  assert.deepEqual(report(), [0xfffffffe, 7, 2, 0, 3, 5, 8, 8], 'a duplicate is reported once');
  receive(0xffffffff);
  receive(0);
  assert.deepEqual(report(), [3, 7, 1, 0, 3, 3]);
  assert.equal(tracker.classify(3 + 65_536), 'too-far');
  assert.ok(tracker.forward(4));
  assert.deepEqual(report(), [4, 7, 1, 0, 2, 2]);
  assert.ok(tracker.forward(5));
  assert.deepEqual(report(), [6, 7, 0, 0]);
  assert.ok(!tracker.forward(2));
});

test('the tracker agrees with a plain set, whatever the order of arrival', () => {
  const pair = new Pair(14);
  for (let round = 0; round < 50; round++) {
    const first = pair.prng.below(2 ** 32);
    const tracker = new ReceiveTracker(first);
    const seen = new Set<number>();
    let cumulative = -1;
    for (let i = 0; i < 200; i++) {
      const offset = pair.prng.below(120);
      const tsn = (first + offset) >>> 0;
      const isDuplicate = seen.has(offset) || offset <= cumulative;
      assert.equal(tracker.classify(tsn) === 'duplicate', isDuplicate);
      if (isDuplicate) continue;
      tracker.add(tsn);
      seen.add(offset);
      while (seen.has(cumulative + 1)) cumulative += 1;
      assert.equal(tracker.cumulativeTsn, (first + cumulative) >>> 0);
    }
  }
});

test('the retransmission time-out follows RFC 9260, section 6.3.1, within its limits', () => {
  const rto = new RetransmissionTimeout();
  assert.equal(rto.value, 500);
  rto.sample(200);
  assert.equal(rto.value, 600);
  rto.sample(400);
  // RTTVAR = 3/4 * 100 + 1/4 * 200 = 125; SRTT = 7/8 * 200 + 1/8 * 400 = 225.
  assert.equal(rto.value, 725);
  rto.backOff();
  assert.equal(rto.value, 1450);
  for (let i = 0; i < 10; i++) rto.backOff();
  assert.equal(rto.value, 5_000);
  for (let i = 0; i < 100; i++) rto.sample(1);
  assert.equal(rto.value, 300);
});
