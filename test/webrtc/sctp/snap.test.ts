/** Associations that are born established, because both INIT chunks travelled with offer and answer (SNAP). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newInit } from '../../../src/webrtc/sctp/init.ts';
import type { SctpOptions } from '../../../src/webrtc/sctp/association-types.ts';
import { ChunkType } from '../../../src/webrtc/sctp/packet.ts';
import { chunkTypes, numberOf, Pair, patterned } from './pair.ts';
import { Prng, type PathOptions } from './virtual-network.ts';

/** `plain`: the peer that does not go by what was agreed. */
function snapPair(seed: number, path: PathOptions = {}, { plain = null as 0 | 1 | null, streams = 65_535 } = {}): Pair {
  const { randomize } = new Prng(seed + 1000);
  const inits = [newInit(randomize, 1_048_576), { ...newInit(randomize, 1_048_576), inboundStreams: streams }] as const;
  const options = ([0, 1] as const).map((who): Partial<SctpOptions> =>
    who === plain ? {} : { agreed: { local: inits[who], peer: inits[1 - who] } },
  );
  return new Pair(seed, path, options);
}

test('the first packet of both sides is data: no INIT, no cookie, no timer', () => {
  const pair = snapPair(1, { delay: 50 });
  pair.network.record = true;
  assert.deepEqual(pair.peers.map(({ state }) => state), ['established', 'established']);
  pair.send(0, 0, patterned(1, 100));
  pair.send(1, 1, patterned(2, 100));
  pair.network.sleep(49);
  assert.deepEqual(pair.network.packets.map(({ data }) => chunkTypes(data)), [[ChunkType.data], [ChunkType.data]]);
  pair.network.sleep(2);
  assert.deepEqual([pair.messages(0).length, pair.messages(1).length], [1, 1]);
  assert.deepEqual([pair.count(0, 'established'), pair.count(1, 'established')], [1, 1]);
  pair.peers[0].connect(pair.network.now);
  pair.network.sleep(100_000);
  const setUp = new Set<number>([ChunkType.init, ChunkType.initAck, ChunkType.cookieEcho, ChunkType.cookieAck]);
  assert.ok(pair.network.packets.every(({ data }) => chunkTypes(data).every((type) => !setUp.has(type))));
});

test('any of the first packets may be lost, and all of it arrives once', () => {
  for (let seed = 0; seed < 60; seed++) {
    const pair = snapPair(seed, seed < 20 ? { delay: 20 } : { delay: 20, jitter: 30, loss: 0.3, duplication: 0.1 });
    let packets = 0;
    if (seed < 20) pair.network.tap = () => ((seed >> packets++) & 1 && packets < 6 ? 'drop' : 'pass');
    for (let i = 0; i < 5; i++) {
      pair.send(0, 0, patterned(i, 400));
      pair.send(1, 1, patterned(i, 400));
    }
    pair.run(() => pair.messages(0).length === 5 && pair.messages(1).length === 5, 60_000, `seed ${seed}`);
    pair.network.sleep(5_000);
    for (const who of [0, 1] as const) assert.deepEqual(pair.messages(who).map(({ data }) => numberOf(data)), [0, 1, 2, 3, 4]);
  }
});

test('streams are as many as the peer takes', () => {
  const pair = snapPair(3, {}, { streams: 4 });
  assert.deepEqual(pair.peers.map(({ outboundStreams }) => outboundStreams), [4, 65_535]);
  assert.throws(() => pair.send(0, 4, patterned(1, 10)), RangeError);
  pair.send(1, 9, patterned(1, 10));
  pair.network.sleep(100);
  assert.equal(pair.messages(0)[0].streamId, 9);
});

test('a peer that sets up in the ordinary way all the same gets its association, and what was sent before', () => {
  for (const plain of [0, 1] as const) {
    for (let seed = 0; seed < 20; seed++) {
      const pair = snapPair(seed, { delay: 20, loss: seed < 10 ? 0 : 0.2 }, { plain });
      const agreed = plain === 0 ? 1 : 0;
      pair.send(agreed, 1, patterned(1, 3000));
      pair.send(plain, 2, patterned(2, 3000));
      pair.network.sleep(seed * 7);
      pair.do(plain, (peer, now) => peer.connect(now));
      pair.run(() => pair.messages(0).length === 1 && pair.messages(1).length === 1, 60_000, `plain ${plain}, seed ${seed}`);
      pair.network.sleep(5_000);
      assert.deepEqual([pair.count(0, 'message'), pair.count(1, 'message')], [1, 1]);
      assert.equal(pair.count(agreed, 'established'), 1);
      assert.equal(pair.count(agreed, 'restarted'), 0);
      assert.deepEqual(pair.peers.map(({ state }) => state), ['established', 'established']);
    }
  }
});

test('once the peer has been heard, an INIT is a restart like any other', () => {
  const pair = snapPair(5, {}, { plain: null });
  pair.send(0, 0, patterned(1, 10));
  pair.network.sleep(300);
  assert.equal(pair.messages(1).length, 1);
  const newcomer = new Pair(6).peers[0];
  const survivor = pair.peers[1];
  let { now } = pair.network;
  const seen: string[] = [];
  newcomer.connect(now);
  for (let round = 0; round < 20; round++) {
    now += 1;
    for (const [from, to, name] of [[newcomer, survivor, 'newcomer'], [survivor, newcomer, 'survivor']] as const) {
      for (let output = from.poll(); output.type !== 'timeout'; output = from.poll()) {
        if (output.type === 'transmit') to.handlePacket(output.data.slice(), now);
        else seen.push(`${name} ${output.type}`);
      }
    }
  }
  assert.deepEqual(seen.toSorted(), ['newcomer established', 'survivor restarted']);
});

test('a lost first message is repeated after a quarter of a second, and the first answer measures the path', () => {
  const pair = snapPair(8, { delay: 50 });
  let sent = 0;
  pair.network.tap = () => (sent++ === 0 ? 'drop' : 'pass');
  pair.send(0, 0, patterned(1, 100));
  pair.network.sleep(301);
  assert.equal(pair.messages(1).length, 1);
  pair.send(1, 0, patterned(2, 100));
  pair.network.sleep(101);
  assert.equal(pair.peers[1].dump().roundTrip, 100, 'it was acknowledged without the usual delay');
});
