import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  MAX_RTP_HEADER_LENGTH,
  RtpPacket,
  writeRtpHeader,
  type RtpExtensionIds,
  type RtpHeader,
} from '../../../src/webrtc/rtp/rtp-packet.ts';
import { fromHex, fuzz, hex } from './support.ts';

fc.configureGlobal({ seed: 3550 });

const uint16 = fc.nat(0xffff);
const uint32 = fc.nat(0xffff_ffff);
const headers: fc.Arbitrary<RtpHeader> = fc.record({
  marker: fc.boolean(),
  payloadType: fc.nat(127),
  sequence: uint16,
  timestamp: uint32,
  ssrc: uint32,
  mid: fc.oneof(fc.constant(null), fc.uint8Array({ minLength: 1, maxLength: 16 })),
  audioLevel: fc.integer({ min: -1, max: 255 }),
  transportSequence: fc.integer({ min: -1, max: 0xffff }),
});
const ids: fc.Arbitrary<RtpExtensionIds> = fc
  .uniqueArray(fc.integer({ min: 1, max: 14 }), { minLength: 3, maxLength: 3 })
  .map(([mid, audioLevel, transportSequence]) => ({ mid, audioLevel, transportSequence }));

describe('RTP packet', () => {
  it('reads back what was written, and writes only within the header', () => {
    const packet = new RtpPacket();
    fc.assert(
      fc.property(headers, ids, fc.uint8Array({ maxLength: 300 }), (header, ids, payload) => {
        const out = new Uint8Array(MAX_RTP_HEADER_LENGTH + payload.length).fill(0xee);
        const headerLength = writeRtpHeader(out, header, ids);
        assert.ok(headerLength <= MAX_RTP_HEADER_LENGTH && headerLength % 4 === 0);
        assert.ok(out.subarray(headerLength).every((byte) => byte === 0xee));
        out.set(payload, headerLength);
        assert.ok(packet.read(out, headerLength + payload.length));
        const { marker, payloadType, sequence, timestamp, ssrc } = packet;
        const { mid, audioLevel, transportSequence, ...fixed } = header;
        assert.deepEqual({ marker, payloadType, sequence, timestamp, ssrc }, fixed);
        assert.equal(packet.payloadOffset, headerLength);
        assert.equal(packet.payloadLength, payload.length);
        assert.equal(element(packet, ids.mid!), mid ? hex(mid) : null);
        assert.equal(element(packet, ids.audioLevel!), audioLevel < 0 ? null : hex(Uint8Array.of(audioLevel)));
        const expected = transportSequence < 0 ? null : hex(Uint8Array.of(transportSequence >> 8, transportSequence));
        assert.equal(element(packet, ids.transportSequence!), expected);
      }),
      { numRuns: 1000 },
    );
  });

  it('leaves out extensions that were not negotiated, or that the one-byte form cannot carry', () => {
    const header = { marker: false, payloadType: 1, sequence: 2, timestamp: 3, ssrc: 4 };
    const full = { ...header, mid: fromHex('30'), audioLevel: 1, transportSequence: 1 };
    const out = new Uint8Array(64);
    assert.equal(writeRtpHeader(out, full, {}), 12);
    assert.equal(out[0], 0x80);
    assert.equal(writeRtpHeader(out, full, { mid: 15, audioLevel: 0, transportSequence: 200 }), 12);
    assert.equal(writeRtpHeader(out, { ...full, mid: new Uint8Array(17), audioLevel: -1 }, { mid: 1, audioLevel: 2 }), 12);
  });

  it('reads one-byte elements around padding, up to the id that ends them', () => {
    const packet = read('906f0001 00000002 00000003 bede0003 10aa0000 21bbbbf0 40cccccc 0102');
    assert.equal(element(packet, 1), 'aa');
    assert.equal(element(packet, 2), 'bbbb');
    assert.equal(element(packet, 4), null, 'what follows id 15 is not read');
    assert.equal(packet.payloadLength, 2);
  });

  it('reads two-byte elements, empty and long ones', () => {
    const packet = read('906f0001 00000002 00000003 10050003 0100 00 2002aaaa 1e01bb 0000 01');
    assert.equal(element(packet, 1), '');
    assert.equal(element(packet, 0x20), 'aaaa');
    assert.equal(element(packet, 0x1e), 'bb');
    assert.equal(element(packet, 2), null);
  });

  it('finds nothing in an extension of another profile, or in elements that run beyond it', () => {
    assert.equal(element(read('90000001 00000002 00000003 beef0001 10aa0000'), 1), null);
    assert.equal(element(read('90000001 00000002 00000003 bede0001 1faaaaaa ffffffff'), 1), null);
    assert.equal(element(read('90000001 00000002 00000003 10000001 00000001 ffffffff'), 1), null);
  });

  it('tells CSRCs and padding from payload', () => {
    const packet = read('a26f0001 00000002 00000003 0000000a 0000000b 0102030405 000003');
    assert.equal(packet.csrcCount, 2);
    assert.equal(packet.payloadOffset, 20);
    assert.equal(packet.payloadLength, 5);
    assert.equal(packet.paddingLength, 3);
  });

  for (const [what, text] of [
    ['version 1', '406f0001 00000002 00000003'],
    ['a cut header', '806f0001 00000002 000000'],
    ['CSRCs beyond the end', '816f0001 00000002 00000003'],
    ['an extension header beyond the end', '906f0001 00000002 00000003 bede'],
    ['an extension beyond the end', '906f0001 00000002 00000003 bede0002 10aa0000'],
    ['no padding where padding is announced', 'a06f0001 00000002 00000003 0000'],
    ['padding longer than the payload', 'a06f0001 00000002 00000003 0003'],
  ]) {
    it(`refuses ${what}`, () => {
      const bytes = fromHex(text);
      assert.equal(new RtpPacket().read(bytes, bytes.length), false);
    });
  }

  it('survives 100,000 arbitrary, damaged and cut packets, and stays within them', () => {
    const packet = new RtpPacket();
    const samples = [
      '906f0001 00000002 00000003 bede0003 10aa0000 21bbbbf0 40cccccc 0102',
      '906f0001 00000002 00000003 10050003 0100 00 2002aaaa 1e01bb 0000 01',
      'a26f0001 00000002 00000003 0000000a 0000000b 0102030405 000003',
    ].map(fromHex);
    fuzz(1, samples, (input, length) => {
      if (!packet.read(input, length)) return;
      assert.ok(packet.payloadLength >= 0);
      assert.equal(packet.payloadOffset + packet.payloadLength + packet.paddingLength, length);
      for (let id = 0; id < 256; id += 5) {
        const at = packet.findExtension(id);
        if (at < 0) continue;
        assert.ok(at >= packet.extensionOffset);
        assert.ok(at + packet.elementLength <= packet.extensionOffset + packet.extensionLength);
      }
    });
  });

  it('does not read beyond the length it is given', () => {
    const bytes = fromHex('806f0001 00000002 00000003 0102');
    assert.equal(new RtpPacket().read(bytes, bytes.length + 1), false);
  });
});

function read(text: string): RtpPacket {
  const bytes = fromHex(text);
  const packet = new RtpPacket();
  assert.ok(packet.read(bytes, bytes.length));
  return packet;
}

function element(packet: RtpPacket, id: number): string | null {
  const at = packet.findExtension(id);
  return at < 0 ? null : hex(packet.buffer.subarray(at, at + packet.elementLength));
}
