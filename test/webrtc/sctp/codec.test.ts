import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { crc32c, packetChecksum, verifyPacketChecksum } from '../../../src/webrtc/sctp/crc32c.ts';
import { Fifo } from '../../../src/webrtc/sctp/fifo.ts';
import { encodeInit, encodeInitAck, type InitParameters, readInit } from '../../../src/webrtc/sctp/init.ts';
import { ChunkType, encodeChunk, PacketReader, PacketWriter } from '../../../src/webrtc/sctp/packet.ts';
import { encodeParameter, joinParameters, ParameterReader } from '../../../src/webrtc/sctp/parameters.ts';
import { ssnDistance, ssnNext, tsnAdd, tsnDistance } from '../../../src/webrtc/sctp/serial.ts';
import { openCookie, sealCookie } from '../../../src/webrtc/sctp/state-cookie.ts';

const INIT: InitParameters = {
  tag: 0xdeadbeef,
  receiveWindow: 0x500000,
  outboundStreams: 65535,
  inboundStreams: 65535,
  initialTsn: 0x01020304,
  forwardTsn: true,
  reconfig: true,
};

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const anyInit: fc.Arbitrary<InitParameters> = fc.record({
  tag: fc.integer({ min: 1, max: 0xffffffff }),
  receiveWindow: u32,
  outboundStreams: fc.integer({ min: 1, max: 65535 }),
  inboundStreams: fc.integer({ min: 1, max: 65535 }),
  initialTsn: u32,
  forwardTsn: fc.boolean(),
  reconfig: fc.boolean(),
}, { noNullPrototype: true });

test('CRC32c agrees with the vectors of RFC 3720, appendix B.4', () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283);
});

test('the sliced CRC32c equals the one that goes bit by bit, at every length', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      let crc = 0xffffffff;
      for (const byte of bytes) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
      }
      assert.equal(crc32c(bytes), ~crc >>> 0);
    }),
  );
});

test('the checksum of a packet is taken over a zeroed field and notices every flipped bit', () => {
  const writer = new PacketWriter(5000, 5001, 100);
  writer.begin(7);
  writer.append(encodeChunk(ChunkType.cookieAck, 0));
  const packet = writer.finish().slice();
  assert.ok(verifyPacketChecksum(packet));
  const zeroed = packet.slice();
  zeroed.fill(0, 8, 12);
  assert.equal(packetChecksum(packet), crc32c(zeroed));
  for (let bit = 0; bit < packet.length * 8; bit++) {
    const flipped = packet.slice();
    flipped[bit >> 3] ^= 1 << (bit & 7);
    assert.ok(!verifyPacketChecksum(flipped), `bit ${bit}`);
  }
});

test('an INIT has the bytes that browsers send: 30, no padding counted, no zero checksum parameter', () => {
  assert.equal(
    Buffer.from(encodeInit(INIT)).toString('hex'),
    ['0100001e', 'deadbeef', '00500000', 'ffff', 'ffff', '01020304', 'c0000004', '80080006', '82c0'].join(''),
  );
});

test('an INIT with parameters of other stacks is read by their high bits', () => {
  // Zero checksum (0x8001: skip), adaptation (0xc006: skip and report), 0x4001 (stop and report), then FORWARD-TSN.
  const parameters = (...fields: Uint8Array[]): Uint8Array => {
    const chunk = encodeChunk(ChunkType.init, 0, encodeInit({ ...INIT, forwardTsn: false, reconfig: false }).slice(4), joinParameters(fields));
    return chunk;
  };
  const zeroChecksum = encodeParameter(0x8001, new Uint8Array(4));
  const adaptation = encodeParameter(0xc006, new Uint8Array(3));
  const forward = encodeParameter(0xc000, new Uint8Array(0));
  const stop = encodeParameter(0x4001, new Uint8Array(0));
  const silentStop = encodeParameter(0x0fff, new Uint8Array(0));
  const read = (chunk: Uint8Array): ReturnType<typeof readInit> => readInit(chunk, 4, chunk.length);
  assert.deepEqual(read(parameters(zeroChecksum, adaptation, forward)), {
    init: { ...INIT, forwardTsn: true, reconfig: false },
    cookie: null,
    unrecognized: [adaptation],
  });
  assert.deepEqual(read(parameters(stop, forward))?.init.forwardTsn, false);
  assert.deepEqual(read(parameters(stop, forward))?.unrecognized, [stop]);
  assert.deepEqual(read(parameters(silentStop, forward))?.unrecognized, []);
});

test('INIT and INIT ACK survive the round trip, with cookie and reports of any length', () => {
  fc.assert(
    fc.property(anyInit, fc.uint8Array({ maxLength: 70 }), fc.uint8Array({ maxLength: 9 }), (init, cookie, extra) => {
      const bare = encodeInit(init);
      assert.deepEqual(readInit(bare, 4, bare.length)?.init, init);
      const ack = encodeInitAck(init, cookie, [encodeParameter(0xc123, extra)]);
      const read = readInit(ack, 4, ack.length);
      assert.deepEqual(read?.init, init);
      assert.deepEqual(read?.cookie, cookie);
    }),
  );
});

test('an INIT with tag or stream count zero is refused', () => {
  for (const wrong of [{ tag: 0 }, { outboundStreams: 0 }, { inboundStreams: 0 }]) {
    const chunk = encodeInit({ ...INIT, ...wrong });
    assert.equal(readInit(chunk, 4, chunk.length), null);
  }
});

test('fields of any length stay apart: padding is not counted in the last', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 65535 }), fc.uint8Array({ maxLength: 9 }))), (fields) => {
      const bytes = joinParameters(fields.map(([type, value]) => encodeParameter(type, value)));
      const reader = new ParameterReader(bytes, 0, bytes.length);
      const seen: [number, Uint8Array][] = [];
      while (reader.next()) seen.push([reader.type, reader.value.slice()]);
      assert.ok(!reader.malformed);
      assert.deepEqual(seen, fields);
    }),
  );
});

test('chunks of any length survive the round trip through a packet', () => {
  const chunks = fc.array(fc.tuple(fc.nat(255), fc.nat(255), fc.uint8Array({ maxLength: 40 })), { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(u32, chunks, (tag, list) => {
      const writer = new PacketWriter(1, 65535, 1200);
      writer.begin(tag);
      for (const [type, flags, value] of list) writer.append(encodeChunk(type, flags, value));
      const packet = writer.finish();
      assert.equal(packet.length % 4, 0);
      const reader = new PacketReader();
      assert.equal(reader.open(packet), null);
      assert.deepEqual([reader.sourcePort, reader.destinationPort, reader.tag], [1, 65535, tag]);
      for (const [type, flags, value] of list) {
        assert.ok(reader.next());
        assert.deepEqual([reader.type, reader.flags], [type, flags]);
        assert.deepEqual(reader.bytes.slice(reader.start, reader.end), value);
      }
      assert.ok(!reader.next() && !reader.malformed);
    }),
  );
});

test('a state cookie opens with its key only, and not when a bit was flipped', () => {
  const key = new Uint8Array(32).fill(1);
  fc.assert(
    fc.property(anyInit, u32, u32, fc.double({ noNaN: true, noDefaultInfinity: true }), (peer, tag, tie, madeAt) => {
      const cookie = { localTag: tag, localTsn: 5, peer, tieLocalTag: tie, tiePeerTag: 9, madeAt };
      const sealed = sealCookie(cookie, key);
      assert.deepEqual(openCookie(sealed, key), cookie);
      assert.equal(openCookie(sealed, new Uint8Array(32).fill(2)), null);
      sealed[tag % sealed.length] ^= 1;
      assert.equal(openCookie(sealed, key), null);
      assert.equal(openCookie(sealed.subarray(1), key), null);
    }),
  );
});

test('serial numbers compare across the wrap', () => {
  assert.equal(tsnDistance(0xffffffff, 0), 1);
  assert.equal(tsnDistance(0, 0xffffffff), -1);
  assert.equal(tsnAdd(0xffffffff, 2), 1);
  assert.equal(tsnAdd(0, -1), 0xffffffff);
  assert.equal(ssnDistance(65535, 0), 1);
  assert.equal(ssnDistance(0, 65535), -1);
  assert.equal(ssnNext(65535), 0);
});

test('the queue keeps its order while it gives up the memory of what has left', () => {
  const fifo = new Fifo<number>();
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 500; round++) {
    for (let i = 0; i < 1 + (round % 5); i++) fifo.push(next++);
    assert.equal(fifo.at(0), expected);
    assert.equal(fifo.at(fifo.length - 1), next - 1);
    for (let i = 0; i < round % 4; i++) assert.equal(fifo.shift(), expected++);
    assert.equal(fifo.length, next - expected);
  }
});
