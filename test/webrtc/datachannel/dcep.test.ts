import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type ChannelParameters, DCEP_ACK, encodeOpen, Ppid, readDcep } from '../../../src/webrtc/datachannel/dcep.ts';
import { encodeMessage, MessageAssembler } from '../../../src/webrtc/datachannel/message-codec.ts';
import { Prng } from '../sctp/virtual-network.ts';

const RELIABLE: ChannelParameters = { label: 'oai-events', protocol: '', ordered: true, maxRetransmits: null, maxPacketLifeTime: null };

const limit = fc.option(fc.integer({ min: 0, max: 0xffffffff }));
const parameters = fc
  .record({ label: fc.string({ unit: 'grapheme' }), protocol: fc.string(), ordered: fc.boolean(), kind: fc.boolean(), limit })
  .map(({ label, protocol, ordered, kind, limit }): ChannelParameters => ({
    label,
    protocol,
    ordered,
    maxRetransmits: kind ? limit : null,
    maxPacketLifeTime: kind ? null : limit,
  }));

test('OPEN has the bytes that browsers send', () => {
  assert.equal(Buffer.from(encodeOpen(RELIABLE)).toString('hex'), '0300000000000000000a0000' + Buffer.from('oai-events').toString('hex'));
  const types = [
    [{}, 0x00, 0],
    [{ ordered: false }, 0x80, 0],
    [{ maxRetransmits: 3 }, 0x01, 3],
    [{ maxRetransmits: 0, ordered: false }, 0x81, 0],
    [{ maxPacketLifeTime: 500 }, 0x02, 500],
    [{ maxPacketLifeTime: 500, ordered: false }, 0x82, 500],
  ] as const;
  for (const [change, type, reliability] of types) {
    const bytes = encodeOpen({ ...RELIABLE, ...change });
    assert.deepEqual([bytes[1], new DataView(bytes.buffer).getUint32(4)], [type, reliability]);
  }
});

test('OPEN survives the round trip with any label, protocol and limit', () => {
  fc.assert(fc.property(parameters, (p) => assert.deepEqual(readDcep(encodeOpen(p)), { type: 'open', parameters: p })));
});

test('labels that do not fit are refused', () => {
  assert.throws(() => encodeOpen({ ...RELIABLE, label: 'ä'.repeat(32_768) }), RangeError);
  assert.throws(() => encodeOpen({ ...RELIABLE, protocol: 'x'.repeat(65_536) }), RangeError);
});

test('truncated, unknown and arbitrary control messages read as null or as what they are', () => {
  const open = encodeOpen({ ...RELIABLE, protocol: 'p' });
  for (let length = 0; length < open.length; length++) assert.equal(readDcep(open.slice(0, length)), null);
  const unknownType = open.slice();
  unknownType[1] = 0x03;
  assert.equal(readDcep(unknownType), null);
  assert.equal(readDcep(Uint8Array.of(1)), null);
  assert.deepEqual(readDcep(DCEP_ACK), { type: 'ack' });
  const prng = new Prng(1);
  for (let i = 0; i < 100_000; i++) {
    const bytes = prng.below(2) === 0 ? open.slice(0, prng.below(open.length + 1)) : new Uint8Array(prng.below(40));
    if (prng.below(2) === 0) prng.randomize(bytes);
    else if (bytes.length > 0) bytes[prng.below(bytes.length)] = prng.below(256);
    const message = readDcep(bytes);
    if (message?.type === 'open') assert.ok(message.parameters.label.length + message.parameters.protocol.length <= bytes.length);
  }
});

test('strings and bytes, empty ones included, come out as they went in', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'grapheme' }), fc.uint8Array()), (message) => {
      const { ppid, data } = encodeMessage(message);
      assert.ok(data.length > 0);
      assert.deepEqual(new MessageAssembler(1000).add(ppid, data), message);
    }),
  );
  assert.deepEqual(encodeMessage('').ppid, 56);
  assert.deepEqual(encodeMessage(new Uint8Array(0)).ppid, 57);
  assert.equal(new MessageAssembler(9).add(Ppid.string, Uint8Array.of(0xff, 0x41)), '\ufffdA');
});

test('deprecated partial messages are joined, up to the largest message', () => {
  const assembler = new MessageAssembler(5);
  assert.equal(assembler.add(Ppid.binaryPartial, Uint8Array.of(1, 2)), undefined);
  assert.equal(assembler.add(Ppid.binaryPartial, Uint8Array.of(3)), undefined);
  assert.deepEqual(assembler.add(Ppid.binary, Uint8Array.of(4)), Uint8Array.of(1, 2, 3, 4));
  assert.equal(assembler.add(Ppid.stringPartial, Uint8Array.of(0xc3)), undefined);
  assert.equal(assembler.add(Ppid.string, Uint8Array.of(0xa4)), 'ä');
  assert.equal(assembler.add(Ppid.binaryPartial, new Uint8Array(5)), undefined);
  assert.equal(assembler.add(Ppid.binaryPartial, new Uint8Array(1)), null);
  assert.deepEqual(assembler.add(Ppid.binary, Uint8Array.of(7)), Uint8Array.of(7), 'what was too large is forgotten');
  assert.equal(assembler.add(99, Uint8Array.of(7)), null);
});
