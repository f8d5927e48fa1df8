import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readUint32, writeUint32 } from '../../../src/wire/integers.ts';
import { SctpAssociation } from '../../../src/webrtc/sctp/association.ts';
import { writePacketChecksum } from '../../../src/webrtc/sctp/crc32c.ts';
import { ChunkType } from '../../../src/webrtc/sctp/packet.ts';
import { chunkTypes, Pair, patterned } from './pair.ts';

test('set-up takes two round trips, and data travels with COOKIE ECHO and COOKIE ACK', () => {
  const pair = new Pair(1, { delay: 50 });
  pair.network.record = true;
  pair.send(0, 0, patterned(1, 100));
  pair.send(1, 1, patterned(2, 100));
  pair.connect(0);
  assert.deepEqual(
    pair.network.packets.map(({ from, data, at }) => [from, at, ...chunkTypes(data)]),
    [
      [0, 0, ChunkType.init],
      [1, 50, ChunkType.initAck],
      [0, 100, ChunkType.cookieEcho, ChunkType.data],
      [1, 150, ChunkType.cookieAck, ChunkType.sack, ChunkType.data],
      [0, 200, ChunkType.sack],
    ],
  );
  assert.deepEqual(pair.events.map((events) => events.map((event) => event.type)), [
    ['buffered-low', 'established', 'message'],
    ['established', 'message', 'buffered-low'],
  ]);
});

test('both ends may connect at once and end up with one association', () => {
  for (let seed = 0; seed < 40; seed++) {
    const pair = new Pair(seed, { delay: 20, jitter: 30, loss: seed < 20 ? 0 : 0.2, duplication: 0.1 });
    pair.send(0, 0, patterned(1, 3000));
    pair.send(1, 1, patterned(2, 3000));
    pair.connect(0, 1);
    const isDone = (): boolean => pair.messages(0).length === 1 && pair.messages(1).length === 1;
    pair.run(isDone, 60_000, `seed ${seed}: data flows both ways`);
    pair.network.sleep(1_000);
    assert.deepEqual([pair.count(0, 'established'), pair.count(1, 'established')], [1, 1], `seed ${seed}`);
    assert.deepEqual([pair.count(0, 'message'), pair.count(1, 'message')], [1, 1], `seed ${seed}`);
  }
});

test('the loss of any packet of the handshake is made good', () => {
  for (let lost = 0; lost < 4; lost++) {
    const pair = new Pair(lost);
    let sent = 0;
    pair.network.tap = () => (sent++ === lost ? 'drop' : 'pass');
    pair.send(0, 0, patterned(1, 200));
    pair.connect(0);
    pair.run(() => pair.messages(1).length === 1, 5_000, `packet ${lost} lost`);
    pair.network.sleep(5_000);
    assert.equal(pair.messages(1).length, 1);
  }
});

test('a lost COOKIE ACK does not delay the set-up when data of the peer follows', () => {
  const pair = new Pair(3);
  let lost = 0;
  pair.network.tap = (_, data) => (chunkTypes(data)[0] === ChunkType.cookieAck && lost++ === 0 ? 'drop' : 'pass');
  pair.do(0, (peer, now) => peer.connect(now));
  pair.network.run(() => pair.peers[1].state === 'established', 1000);
  pair.send(1, 1, patterned(9, 10));
  pair.network.sleep(15);
  assert.equal(lost, 1);
  assert.equal(pair.peers[0].state, 'established');
});

test('a COOKIE ACK is repeated to a peer of which nothing comes, and not for ever', () => {
  const pair = new Pair(3, { delay: 50 });
  let cookieEchoes = 0;
  let cookieAcks = 0;
  pair.network.tap = (_, data) => {
    const [first] = chunkTypes(data);
    if (first === ChunkType.cookieEcho) return cookieEchoes++ === 0 ? 'pass' : 'drop';
    return first === ChunkType.cookieAck && cookieAcks++ === 0 ? 'drop' : 'pass';
  };
  pair.connect(0);
  assert.deepEqual([pair.peers[0].state, cookieAcks], ['established', 2]);
  pair.network.sleep(20_000);
  assert.equal(cookieAcks, 1 + 3);
});

test('a SACK does not end that: a peer may acknowledge data before it has its COOKIE ACK', () => {
  const pair = new Pair(3, { delay: 50 });
  let cookieAcks = 0;
  pair.network.tap = (_, data) => (chunkTypes(data)[0] === ChunkType.cookieAck && cookieAcks++ === 0 ? 'drop' : 'pass');
  pair.do(0, (peer, now) => peer.connect(now));
  pair.network.run(() => pair.peers[1].state === 'established', 1_000);
  pair.send(1, 1, patterned(9, 10));
  pair.network.sleep(1_000);
  assert.ok(cookieAcks > 1);
});

test('when both connect, each makes up for what the other loses: one and a half round trips later at most', () => {
  const delay = 50;
  const upAt = (lost: number): number => {
    const pair = new Pair(7, { delay }, [{ roundTripTime: 2 * delay }, { roundTripTime: 2 * delay }]);
    let sent = 0;
    pair.network.tap = () => (sent++ === lost ? 'drop' : 'pass');
    return pair.connect(0, 1).network.now;
  };
  const clean = upAt(-1);
  for (let lost = 0; lost < 8; lost++) assert.ok(upAt(lost) <= clean + 1.5 * 2 * delay + 20, `packet ${lost} lost: up after ${upAt(lost)} ms`);
});

test('nobody answers: the set-up is given up', () => {
  const pair = new Pair(4, { loss: 1 });
  pair.do(0, (peer, now) => peer.connect(now));
  pair.run(() => pair.closeReason(0) !== undefined, 120_000, 'it ends');
  assert.equal(pair.closeReason(0), 'setup-timeout');
});

test('INITs, cookies and INIT ACKs that arrive again do no harm to a living association', () => {
  const pair = new Pair(5);
  pair.network.record = true;
  pair.connect(0);
  const handshake = pair.network.packets.map(({ from, data }) => ({ to: from === 0 ? (1 as const) : (0 as const), data }));
  for (let round = 0; round < 3; round++) {
    for (const { to, data } of handshake) pair.network.inject(to, data);
    pair.send(0, 0, patterned(round, 2000));
    pair.send(1, 0, patterned(round, 2000));
    pair.network.sleep(500);
  }
  assert.deepEqual([pair.count(0, 'message'), pair.count(1, 'message')], [3, 3]);
  assert.deepEqual([pair.count(0, 'restarted'), pair.count(1, 'restarted')], [0, 0]);
  assert.deepEqual([pair.count(0, 'established'), pair.count(1, 'established')], [1, 1]);
});

test('a peer that lost its state restarts the association, and all streams begin anew', () => {
  const old = new Pair(6).connect(0);
  old.send(0, 0, patterned(1, 10));
  old.send(1, 0, patterned(1, 10));
  old.network.sleep(500);
  const fresh = new Pair(7);
  // The surviving peer 1 of `old` now talks with peer 0 of `fresh`.
  const survivor = old.peers[1];
  const newcomer = fresh.peers[0];
  const seen: string[] = [];
  let now = old.network.now;
  newcomer.connect(now);
  const exchange = (): void => {
    for (let rounds = 0; rounds < 20; rounds++) {
      for (const [from, to] of [[newcomer, survivor], [survivor, newcomer]] as const) {
        for (let out = from.poll(); out.type !== 'timeout'; out = from.poll()) {
          if (out.type === 'transmit') to.handlePacket(out.data.slice(), now);
          else seen.push(`${from === survivor ? 'survivor' : 'newcomer'} ${out.type}`);
        }
      }
      now += 1;
    }
  };
  exchange();
  newcomer.send(0, 53, patterned(5, 5000), { ordered: true }, now);
  survivor.send(0, 53, patterned(6, 5000), { ordered: true }, now);
  exchange();
  const news = seen.filter((event) => !event.endsWith('buffered-low'));
  assert.deepEqual(news.toSorted(), ['newcomer established', 'newcomer message', 'survivor message', 'survivor restarted']);
});

test('a forged or outdated cookie opens nothing', () => {
  const pair = new Pair(8);
  pair.network.record = true;
  let cookieEcho: Uint8Array | undefined;
  pair.network.tap = (_, data) => {
    if (chunkTypes(data)[0] !== ChunkType.cookieEcho) return 'pass';
    cookieEcho ??= data;
    return 'drop';
  };
  pair.do(0, (peer, now) => peer.connect(now));
  pair.network.run(() => cookieEcho !== undefined, 1000);
  const forged = cookieEcho!.slice();
  forged[30] ^= 1;
  writePacketChecksum(forged);
  pair.network.inject(1, forged);
  assert.equal(pair.peers[1].state, 'closed');
  assert.equal(pair.peers[1].counters.dropped['invalid-cookie'], 1);
  pair.peers[1].handlePacket(cookieEcho!, 100_000);
  assert.equal(pair.peers[1].state, 'closed');
  assert.equal(pair.peers[1].counters.dropped['stale-cookie'], 1);
});

test('a peer that calls our cookie stale gets another INIT, and what went with the cookie goes again', () => {
  const pair = new Pair(9);
  let stale = 0;
  pair.network.tap = (from, data) => {
    if (from !== 0 || chunkTypes(data)[0] !== ChunkType.cookieEcho || stale++ > 0) return 'pass';
    const error = Uint8Array.from([0x13, 0x88, 0x13, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 12, 0, 3, 0, 8, 0, 0, 0, 1]);
    writeUint32(error, 4, localTagOf(pair));
    writePacketChecksum(error);
    pending = error;
    return 'drop';
  };
  let pending: Uint8Array | null = null;
  pair.network.record = true;
  pair.send(0, 0, patterned(1, 50));
  pair.do(0, (peer, now) => peer.connect(now));
  pair.network.run(() => pending !== null, 1000);
  pair.network.inject(0, pending!);
  pair.run(() => pair.messages(1).length === 1, 400, 'the message arrives before any timer runs out');
});

test('peers that are not who they claim to be are not heard', () => {
  const pair = new Pair(10).connect(0);
  const stranger = new Pair(11);
  stranger.network.record = true;
  stranger.connect(0);
  for (const { from, data } of stranger.network.packets.slice(1)) pair.network.inject(from === 0 ? 1 : 0, data);
  pair.send(0, 0, patterned(1, 10));
  pair.network.sleep(300);
  assert.equal(pair.messages(1).length, 1);
  assert.ok((pair.peers[0].counters.dropped['wrong-tag'] ?? 0) > 0);
});

test('packets for other ports are dropped', () => {
  const random = new Pair(12).prng.randomize;
  const options = { localPort: 5000, remotePort: 5001, maxMessageSize: 0, random, now: 0 };
  const sender = new SctpAssociation({ ...options, localPort: 7, remotePort: 5000 });
  const receiver = new SctpAssociation(options);
  sender.connect(0);
  const out = sender.poll();
  assert.ok(out.type === 'transmit');
  receiver.handlePacket(out.data, 0);
  assert.equal(receiver.counters.dropped['wrong-port'], 1);
  assert.equal(receiver.poll().type, 'timeout');
});

/** The tag that the INIT of peer 0 named. */
function localTagOf(pair: Pair): number {
  return readUint32(pair.network.packets[0].data, 16);
}
