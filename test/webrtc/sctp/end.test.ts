import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkType } from '../../../src/webrtc/sctp/packet.ts';
import { chunkTypes, Pair, patterned } from './pair.ts';

test('shutdown delivers what both sides have queued, then closes both', () => {
  for (let seed = 0; seed < 20; seed++) {
    const pair = new Pair(seed, { loss: seed < 5 ? 0 : 0.2, delay: 20, jitter: 20, duplication: 0.05 }).connect();
    for (let i = 0; i < 10; i++) pair.send(0, i, patterned(i, 8000));
    for (let i = 0; i < 10; i++) pair.send(1, i, patterned(i, 8000));
    pair.do(0, (peer, now) => peer.shutdown(now));
    assert.throws(() => pair.send(0, 1, patterned(1, 1)), TypeError);
    pair.run(() => pair.closeReason(0) !== undefined && pair.closeReason(1) !== undefined, 300_000, `seed ${seed}`);
    assert.deepEqual([pair.count(0, 'message'), pair.count(1, 'message')], [10, 10], `seed ${seed}`);
    assert.equal(pair.closeReason(0), 'local-shutdown');
    // A lost SHUTDOWN COMPLETE leaves the peer to its timer, whose SHUTDOWN ACK is answered out of the blue.
    assert.equal(pair.closeReason(1), 'peer-shutdown');
    pair.network.sleep(10_000);
    assert.deepEqual(pair.peers.map((peer) => peer.poll()), [{ type: 'timeout', at: Infinity }, { type: 'timeout', at: Infinity }]);
  }
});

test('both sides may shut down at once', () => {
  for (let seed = 0; seed < 20; seed++) {
    const pair = new Pair(seed, { loss: seed < 5 ? 0 : 0.2, delay: 20, jitter: 20 }).connect();
    pair.do(0, (peer, now) => peer.shutdown(now));
    pair.do(1, (peer, now) => peer.shutdown(now));
    pair.run(() => pair.closeReason(0) !== undefined && pair.closeReason(1) !== undefined, 60_000, `seed ${seed}`);
    assert.deepEqual([pair.closeReason(0), pair.closeReason(1)], ['local-shutdown', 'local-shutdown']);
  }
});

test('shutdown before the association is up still delivers what was queued', () => {
  const pair = new Pair(1);
  pair.send(0, 0, patterned(1, 5000));
  pair.do(0, (peer, now) => peer.connect(now));
  pair.do(0, (peer, now) => peer.shutdown(now));
  pair.run(() => pair.closeReason(1) !== undefined, 10_000, 'both end');
  assert.equal(pair.count(1, 'message'), 1);
});

test('shutdown with nothing left but expired messages ends too', () => {
  const pair = new Pair(2).connect();
  let down = true;
  pair.network.tap = () => (down ? 'drop' : 'pass');
  for (let i = 0; i < 20; i++) pair.send(0, 1, patterned(i, 1000), { maxLifetime: 50 });
  pair.do(0, (peer, now) => peer.shutdown(now));
  pair.network.sleep(1_000);
  down = false;
  pair.run(() => pair.closeReason(0) === 'local-shutdown', 10_000, 'it ends');
});

test('abort ends both sides at once, and is repeated to a peer that missed it', () => {
  const pair = new Pair(3).connect();
  pair.do(0, (peer, now) => peer.abort('enough', now));
  assert.equal(pair.closeReason(0), 'local-abort');
  pair.network.sleep(20);
  assert.equal(pair.closeReason(1), 'peer-abort');

  const deaf = new Pair(4).connect();
  deaf.network.tap = (_, data) => (chunkTypes(data).includes(ChunkType.abort) ? 'drop' : 'pass');
  deaf.do(0, (peer, now) => peer.abort('enough', now));
  deaf.network.tap = null;
  deaf.send(1, 0, patterned(1, 10));
  deaf.run(() => deaf.closeReason(1) !== undefined, 100, 'its next packet is answered');
  assert.equal(deaf.closeReason(1), 'peer-abort');
});

test('a closed association neither answers aborts nor starts again', () => {
  const pair = new Pair(5).connect();
  pair.do(0, (peer, now) => peer.abort('enough', now));
  pair.do(0, (peer, now) => {
    peer.abort('again', now);
    peer.shutdown(now);
    peer.connect(now);
    peer.resetStream(1, now);
  });
  assert.equal(pair.count(0, 'closed'), 1);
  assert.throws(() => pair.send(0, 1, patterned(1, 1)), TypeError);
});

test('a peer that falls silent is found by data within a minute', () => {
  const pair = new Pair(6).connect();
  pair.network.tap = () => 'drop';
  pair.send(0, 1, patterned(1, 10));
  pair.run(() => pair.closeReason(0) !== undefined, 60_000, 'it is found');
  assert.equal(pair.closeReason(0), 'peer-unreachable');
});

test('an idle association finds a silent peer by heartbeats, and lives on while they are answered', () => {
  const pair = new Pair(7).connect();
  pair.network.sleep(300_000);
  assert.deepEqual(pair.peers.map((peer) => peer.state), ['established', 'established']);
  assert.equal(pair.peers[0].dump().path!.errors, 0);
  pair.network.tap = () => 'drop';
  pair.run(() => pair.closeReason(0) !== undefined && pair.closeReason(1) !== undefined, 100_000, 'both find out');
  assert.deepEqual([pair.closeReason(0), pair.closeReason(1)], ['peer-unreachable', 'peer-unreachable']);
});

test('an outage of twenty seconds is survived, and data flows again within RTO.Max', () => {
  const pair = new Pair(8).connect();
  pair.network.tap = () => 'drop';
  pair.send(0, 1, patterned(1, 50_000));
  pair.network.sleep(20_000);
  pair.network.tap = null;
  pair.run(() => pair.count(1, 'message') === 1, 6_000, 'the message arrives');
});
