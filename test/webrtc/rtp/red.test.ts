import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { RedPayload, writeRed } from '../../../src/webrtc/rtp/red.ts';
import { fromHex, fuzz, hex } from './support.ts';

fc.configureGlobal({ seed: 2198 });

interface Block {
  readonly payloadType: number;
  readonly timestampOffset: number;
  readonly payload: string;
}

describe('RED', () => {
  it('reads back what was written', () => {
    const block = fc.record({ payload: fc.uint8Array({ maxLength: 1023 }), timestampOffset: fc.nat(0x3fff) });
    const older = fc.array(block, { maxLength: 8 });
    fc.assert(
      fc.property(fc.nat(127), older, fc.uint8Array({ maxLength: 1500 }), (payloadType, older, newest) => {
        const out = new Uint8Array(12_000);
        const length = writeRed(out, payloadType, older, newest);
        const expected = [...older, { payload: newest, timestampOffset: 0 }].map(
          ({ payload, timestampOffset }): Block => ({ payloadType, timestampOffset, payload: hex(payload) }),
        );
        assert.deepEqual(read(out.subarray(0, length)), expected);
      }),
      { numRuns: 300 },
    );
  });

  it('reads the headers bit by bit as RFC 2198 draws them', () => {
    // 960 = 00 0011 1100 0000 in 14 bits, then a length of 2 in 10.
    assert.deepEqual(read(fromHex('ef 0f0002 6f aabb cc')), [
      { payloadType: 111, timestampOffset: 960, payload: 'aabb' },
      { payloadType: 111, timestampOffset: 0, payload: 'cc' },
    ]);
  });

  it('leaves out blocks that are too old, too long, or beyond the room', () => {
    const small = { payload: fromHex('aabb'), timestampOffset: 960 };
    const tooOld = { payload: fromHex('cc'), timestampOffset: 0x4000 };
    const tooLong = { payload: new Uint8Array(1024), timestampOffset: 960 };
    const out = new Uint8Array(2000);
    const length = writeRed(out, 111, [tooOld, small, tooLong], fromHex('01'));
    assert.deepEqual(read(out.subarray(0, length))?.map(({ payload }) => payload), ['aabb', '01']);
    assert.equal(writeRed(out.subarray(0, 13), 111, [small, small], fromHex('01')), 8);
    assert.equal(writeRed(out.subarray(0, 2), 111, [small], fromHex('01')), 2);
    assert.equal(writeRed(out.subarray(0, 1), 111, [small], fromHex('01')), -1);
  });

  for (const [what, text] of [
    ['nothing', ''],
    ['headers without a newest block', 'ef0f0000'],
    ['a cut header', 'ef0f'],
    ['blocks beyond the end', 'ef0f0003 6f aabb'],
    ['more blocks than anyone sends', `${'ef0f0000'.repeat(9)}6f`],
  ]) {
    it(`refuses ${what}`, () => assert.equal(read(fromHex(text)), null));
  }

  it('survives 100,000 arbitrary, damaged and cut payloads, and stays within them', () => {
    const red = new RedPayload();
    fuzz(4, [fromHex('ef0f0002 6f aabb cc'), fromHex('ef1e0001 ef0f0002 6f aa bbbb cc')], (input, length) => {
      if (!red.read(input, 0, length)) return;
      for (let i = 0; i < red.count; i++) assert.ok(red.offsets[i] + red.lengths[i] <= length);
      assert.equal(red.offsets[red.count - 1] + red.lengths[red.count - 1], length);
    });
  });
});

function read(bytes: Uint8Array): Block[] | null {
  const red = new RedPayload();
  // Not at the start of its buffer, as the payload of an RTP packet.
  const buffer = new Uint8Array(bytes.length + 12);
  buffer.set(bytes, 12);
  if (!red.read(buffer, 12, bytes.length)) return null;
  return Array.from({ length: red.count }, (_, i) => ({
    payloadType: red.payloadTypes[i],
    timestampOffset: red.timestampOffsets[i],
    payload: hex(buffer.subarray(red.offsets[i], red.offsets[i] + red.lengths[i])),
  }));
}
