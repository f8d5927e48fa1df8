import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeUint16, writeUint32 } from '../../../src/wire/integers.ts';
import { writePacketChecksum } from '../../../src/webrtc/sctp/crc32c.ts';
import { ChunkType, encodeChunk, PacketWriter } from '../../../src/webrtc/sctp/packet.ts';
import { encodeParameter } from '../../../src/webrtc/sctp/parameters.ts';
import { numberOf, Pair, patterned } from './pair.ts';
import { Prng } from './virtual-network.ts';

/** An established pair with peer 0's words in the tester's hand. */
class Attack {
  readonly pair: Pair;
  readonly tag: number;
  /** The next TSN that peer 1 expects. */
  tsn: number;

  constructor(seed: number, options: object = {}) {
    this.pair = new Pair(seed, {}, [{}, options]);
    this.pair.network.record = true;
    this.pair.connect(0);
    const view = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset);
    const { packets } = this.pair.network;
    this.tag = view(packets[2].data).getUint32(4);
    this.tsn = view(packets[0].data).getUint32(28);
  }

  get victim(): Pair['peers'][1] {
    return this.pair.peers[1];
  }

  inject(...chunks: Uint8Array[]): void {
    const writer = new PacketWriter(5000, 5000, 60_000);
    writer.begin(this.tag);
    for (const chunk of chunks) writer.append(chunk);
    this.pair.network.inject(1, writer.finish());
  }

  data(tsn: number, flags: number, ssn: number, payload: Uint8Array, streamId = 1): Uint8Array {
    const head = new Uint8Array(12);
    writeUint32(head, 0, tsn);
    writeUint16(head, 4, streamId);
    writeUint16(head, 6, ssn);
    writeUint32(head, 8, 53);
    return encodeChunk(ChunkType.data, flags, head, payload);
  }
}

const ONE_BYTE = new Uint8Array(1);

test('unknown chunks are skipped, reported or end the packet, as their high bits say', () => {
  const attack = new Attack(1);
  const { pair } = attack;
  const outcome = (type: number): { read: boolean; reported: boolean } => {
    pair.network.packets.length = 0;
    const before = pair.messages(1).length;
    attack.inject(encodeChunk(type, 0, new Uint8Array(100)), attack.data(attack.tsn, 3, before, ONE_BYTE));
    const read = pair.messages(1).length > before;
    if (read) attack.tsn += 1;
    const reported = pair.network.packets.some(({ data }) => data[12] === ChunkType.error && data[17] === 6 && data[20] === type);
    return { read, reported };
  };
  assert.deepEqual(outcome(0x3f), { read: false, reported: false });
  assert.deepEqual(outcome(0x7f), { read: false, reported: true });
  assert.deepEqual(outcome(0xbf), { read: true, reported: false });
  assert.deepEqual(outcome(0xff), { read: true, reported: true });
});

test('data without data ends the association, as RFC 9260 demands', () => {
  const attack = new Attack(2);
  attack.inject(attack.data(attack.tsn, 3, 0, new Uint8Array(0)));
  assert.equal(attack.pair.closeReason(1), 'protocol-violation');
});

test('data on a stream that does not exist is reported, and does not stop what follows', () => {
  const attack = new Attack(3);
  attack.inject(attack.data(attack.tsn, 3, 0, ONE_BYTE, 65_535), attack.data(attack.tsn + 1, 3, 0, ONE_BYTE));
  assert.equal(attack.pair.messages(1).length, 1);
  assert.equal(attack.victim.counters.dropped['invalid-stream'], 1);
});

test('tiny fragments cost linear time and no more memory than the window', () => {
  const attack = new Attack(4);
  // Every second one-byte fragment: none can be joined, none delivered.
  for (let packet = 0; packet < 100; packet++) {
    const chunks = Array.from({ length: 300 }, (_, i) => attack.data((attack.tsn + 2 * (packet * 300 + i) + 2) >>> 0, 0, 0, ONE_BYTE));
    attack.inject(...chunks);
  }
  assert.ok(attack.victim.dump().path!.heldBytes <= 1_048_576);
  assert.ok((attack.victim.counters.dropped['window-full'] ?? 0) > 10_000);
  assert.equal(attack.victim.state, 'established');
});

test('messages that skip a sequence number cannot fill the memory without end', () => {
  const attack = new Attack(5, { receiveWindow: 100_000, maxReceiveMessageSize: 50_000 });
  const payload = new Uint8Array(1000);
  for (let i = 0; i < 400 && attack.victim.state === 'established'; i++) {
    attack.inject(attack.data((attack.tsn + i) >>> 0, 3, i + 1, payload));
    assert.ok((attack.victim.dump().path?.heldBytes ?? 0) <= 200_000);
  }
  assert.equal(attack.pair.closeReason(1), 'protocol-violation');
});

test('an unfinished message followed by another neither blocks nor mixes them', () => {
  const attack = new Attack(6);
  attack.inject(
    attack.data(attack.tsn, 6, 0, Uint8Array.of(1)),
    attack.data(attack.tsn + 1, 7, 0, Uint8Array.of(2)),
    attack.data(attack.tsn + 2, 5, 0, Uint8Array.of(3)),
  );
  assert.deepEqual(attack.pair.messages(1).map(({ data }) => [...data]), [[2]]);
});

test('acknowledgements of what was never sent, and of what is long gone, change nothing', () => {
  const attack = new Attack(7);
  const { pair } = attack;
  pair.send(1, 1, patterned(1, 100));
  pair.network.sleep(500);
  const outstanding = (): number => attack.victim.dump().path!.outstandingBytes;
  const sack = (tsn: number, ...gaps: number[]): Uint8Array => {
    const value = new Uint8Array(12 + 2 * gaps.length);
    writeUint32(value, 0, tsn);
    writeUint32(value, 4, 1000);
    writeUint16(value, 8, gaps.length / 2);
    gaps.forEach((gap, i) => writeUint16(value, 12 + 2 * i, gap));
    return encodeChunk(ChunkType.sack, 0, value);
  };
  const peerTsn = new DataView(pair.network.packets[1].data.buffer).getUint32(28);
  pair.network.tap = () => 'drop';
  pair.send(1, 1, patterned(1, 100));
  assert.equal(outstanding(), 100);
  attack.inject(sack(peerTsn + 100));
  attack.inject(sack(peerTsn - 100));
  attack.inject(sack(peerTsn, 65_535, 1, 0, 65_535, 5, 2));
  attack.inject(sack(peerTsn + 1).subarray(0, 12));
  assert.equal(attack.victim.counters.dropped['invalid-sack'], 1);
  assert.equal(attack.victim.counters.dropped['old-sack'], 1);
  pair.network.tap = null;
  pair.run(() => pair.messages(0).length === 2, 20_000, 'the message still arrives');
});

test('heartbeats are echoed as they are, and answers that nobody asked for are dropped', () => {
  const attack = new Attack(9);
  attack.pair.network.packets.length = 0;
  const info = encodeParameter(1, Uint8Array.of(1, 2, 3, 4, 5));
  attack.inject(encodeChunk(ChunkType.heartbeat, 0, info), encodeChunk(ChunkType.heartbeatAck, 0, info));
  const [{ data }] = attack.pair.network.packets;
  assert.equal(data[12], ChunkType.heartbeatAck);
  assert.deepEqual(data.slice(16, 16 + info.length), info);
  assert.equal(attack.victim.counters.dropped['unasked-heartbeat-ack'], 1);
  attack.inject(encodeChunk(ChunkType.heartbeat, 0, encodeParameter(1, new Uint8Array(5000))));
  assert.equal(attack.pair.network.packets.length, 1, 'an oversized one is not echoed');
});

test('replayed packets deliver nothing twice and leave the association alive', () => {
  const pair = new Pair(10, { delay: 5 });
  pair.network.record = true;
  pair.connect();
  for (let number = 0; number < 20; number++) {
    pair.send(0, number % 3, patterned(number, 3000), { ordered: number % 2 === 0 });
    pair.send(1, number % 3, patterned(number, 3000));
  }
  pair.network.sleep(5_000);
  const recorded = pair.network.packets.splice(0);
  for (const { from, data } of recorded) pair.network.inject(from === 0 ? 1 : 0, data);
  pair.network.sleep(5_000);
  assert.deepEqual([pair.messages(0).length, pair.messages(1).length], [20, 20]);
  pair.send(0, 1, patterned(99, 5000));
  pair.run(() => pair.messages(1).length === 21, 5_000, 'data still flows');
});

test('a storm of malformed packets does not disturb a transfer', () => {
  const seed = 11;
  const pair = new Pair(seed, { delay: 5, loss: 0.05 });
  const prng = new Prng(seed);
  pair.network.record = true;
  pair.connect();
  for (let number = 0; number < 30; number++) {
    pair.send(0, 1, patterned(number, 10_000));
    pair.send(1, 1, patterned(number, 10_000));
    for (let i = 0; i < 30; i++) {
      const { from, data } = pair.network.packets[prng.below(pair.network.packets.length)];
      pair.network.inject(from === 0 ? 1 : 0, mutate(prng, data, false));
    }
    pair.network.sleep(20);
  }
  pair.run(() => pair.messages(0).length === 30 && pair.messages(1).length === 30, 60_000, `seed ${seed}: all arrive`);
  for (const who of [0, 1] as const) {
    assert.deepEqual(pair.messages(who).map(({ data }) => numberOf(data)), Array.from({ length: 30 }, (_, i) => i));
  }
});

test('100,000 arbitrary, truncated and mutated packets with right checksums neither crash nor hang', () => {
  const seed = 12;
  const prng = new Prng(seed);
  const source = new Pair(seed, { delay: 5, loss: 0.2 });
  source.network.record = true;
  source.connect(0, 1);
  for (let number = 0; number < 10; number++) {
    source.send(0, number, patterned(number, 3000), { maxRetransmits: 0 });
    source.send(1, number, patterned(number, 300), { ordered: false });
  }
  source.network.sleep(40_000);
  source.do(0, (peer, now) => peer.resetStream(1, now));
  source.network.sleep(2_000);
  source.do(0, (peer, now) => peer.shutdown(now));
  source.network.sleep(5_000);
  const corpus = source.network.packets.map(({ data }) => data);
  let attack = new Attack(seed);
  let restarts = 0;
  for (let i = 0; i < 100_000; i++) {
    if (attack.victim.state !== 'established' || i % 2000 === 0) {
      attack = new Attack(seed + i);
      restarts += 1;
    }
    const packet = prng.below(4) === 0 ? garbage(prng) : mutate(prng, corpus[prng.below(corpus.length)], true);
    if (packet.length >= 12) {
      writeUint16(packet, 0, 5000);
      writeUint16(packet, 2, 5000);
      if (packet[12] !== ChunkType.init) writeUint32(packet, 4, attack.tag);
      // Half of the data comes near what the victim expects, to get past the first checks.
      if (packet.length >= 24 && packet[12] === ChunkType.data && prng.below(2) === 0) {
        writeUint32(packet, 16, (attack.tsn + prng.below(20)) >>> 0);
      }
      writePacketChecksum(packet);
    }
    attack.victim.handlePacket(packet, attack.pair.network.now);
    if (prng.below(50) === 0) attack.pair.network.sleep(prng.below(300));
    for (let polls = 0; attack.victim.poll().type !== 'timeout'; polls++) assert.ok(polls < 1000, `seed ${seed}, packet ${i}`);
    assert.ok((attack.victim.dump().path?.heldBytes ?? 0) <= 1_048_576 + 2 * 262_144);
  }
  assert.ok(restarts < 50_000, 'most packets meet a living association');
});

function garbage(prng: Prng): Uint8Array {
  const packet = new Uint8Array(prng.below(120));
  prng.randomize(packet);
  // Small chunk types and lengths are the interesting ones.
  if (packet.length > 16) {
    packet[12] = [prng.below(16), 130, 192, prng.below(256)][prng.below(4)];
    writeUint16(packet, 14, prng.below(packet.length));
  }
  return packet;
}

function mutate(prng: Prng, original: Uint8Array, mayKeepWhole: boolean): Uint8Array {
  const kind = prng.below(mayKeepWhole ? 4 : 2);
  if (kind === 0) return original.slice(0, prng.below(original.length));
  const packet = original.slice();
  if (kind === 3) return packet;
  for (let flips = 1 + prng.below(8); flips > 0; flips--) packet[prng.below(packet.length)] ^= 1 << prng.below(8);
  return packet;
}
