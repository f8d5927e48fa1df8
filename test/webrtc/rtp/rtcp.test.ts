import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  parseRtcp,
  writeGoodbye,
  writeNack,
  writeReceiverReport,
  writeSenderReport,
  writeSourceDescription,
  type ReportBlock,
  type RtcpPacket,
} from '../../../src/webrtc/rtp/rtcp.ts';
import { writeTransportFeedback } from '../../../src/webrtc/rtp/transport-feedback.ts';
import { fromHex, fuzz, hex } from './support.ts';

fc.configureGlobal({ seed: 3550 });

const uint16 = fc.nat(0xffff);
const uint32 = fc.nat(0xffff_ffff);
const reports: fc.Arbitrary<ReportBlock[]> = fc.array(
  fc.record({
    ssrc: uint32,
    fractionLost: fc.nat(255),
    cumulativeLost: fc.integer({ min: -0x80_0000, max: 0x7f_ffff }),
    highestSequence: uint32,
    jitter: uint32,
    lastSr: uint32,
    delaySinceLastSr: uint32,
  }, { noNullPrototype: true }),
  { maxLength: 31 },
);
const name = fc.string({ unit: 'grapheme', maxLength: 60 });
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('RTCP', () => {
  it('reads back reports, names and goodbyes, alone and compound', () => {
    const numbers = { ntpSeconds: uint32, ntpFraction: uint32, rtpTimestamp: uint32, packets: uint32, octets: uint32 };
    const fields = fc.record({ ssrc: uint32, ...numbers, reports }, { noNullPrototype: true });
    fc.assert(
      fc.property(fields, name, name, (report, cname, reason) => {
        const out = new Uint8Array(4096).fill(0xee);
        const { ssrc, reports } = report;
        let end = writeSenderReport(out, 0, report);
        end = writeReceiverReport(out, end, { ssrc, reports });
        end = writeSourceDescription(out, end, ssrc, encode(cname));
        end = writeGoodbye(out, end, ssrc, encode(reason));
        assert.ok(out.subarray(end).every((byte) => byte === 0xee));
        assert.deepEqual(parseRtcp(out, end), [
          { type: 'sender-report', ...report },
          { type: 'receiver-report', ssrc, reports },
          { type: 'source-description', chunks: [{ ssrc, cname }] },
          { type: 'goodbye', ssrcs: [ssrc], reason },
        ]);
      }),
      { numRuns: 500 },
    );
  });

  it('reads back the sequence numbers of a NACK, across the wrap', () => {
    const gaps = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(uint32, uint32, uint16, gaps, (senderSsrc, mediaSsrc, start, gaps) => {
        let sequence = start;
        const lost = gaps.map((gap) => (sequence = (sequence + gap) & 0xffff));
        const out = new Uint8Array(1024);
        const end = writeNack(out, 0, { senderSsrc, mediaSsrc, lost });
        assert.deepEqual(parseRtcp(out, end), [{ type: 'nack', senderSsrc, mediaSsrc, lost }]);
      }),
      { numRuns: 500 },
    );
  });

  it('packs sixteen followers into one NACK entry, and not a seventeenth', () => {
    const out = new Uint8Array(64);
    const lost = Array.from({ length: 18 }, (_, i) => (65_530 + i) & 0xffff);
    assert.equal(writeNack(out, 0, { senderSsrc: 1, mediaSsrc: 2, lost: lost.slice(0, 17) }), 16);
    assert.equal(hex(out.subarray(0, 16)), '81cd00030000000100000002fffaffff');
    assert.equal(writeNack(out, 0, { senderSsrc: 1, mediaSsrc: 2, lost }), 20);
  });

  it('reads a compound packet byte by byte as RFC 3550 draws it', () => {
    const bytes = fromHex(
      '81c8000c 00000001 e0000000 80000000 00000003 00000004 00000005' +
        '0000000a 40fffffe 00010002 00000006 e0008000 00010000' +
        '81ca0004 00000001 0103616263 020178 00000000' +
        '82cb0004 00000001 00000002 03627965 00000000',
    );
    assert.deepEqual(parseRtcp(bytes, bytes.length), [
      {
        type: 'sender-report',
        ssrc: 1,
        ntpSeconds: 0xe000_0000,
        ntpFraction: 0x8000_0000,
        rtpTimestamp: 3,
        packets: 4,
        octets: 5,
        reports: [
          {
            ssrc: 10,
            fractionLost: 0x40,
            cumulativeLost: -2,
            highestSequence: 0x1_0002,
            jitter: 6,
            lastSr: 0xe000_8000,
            delaySinceLastSr: 0x1_0000,
          },
        ],
      },
      { type: 'source-description', chunks: [{ ssrc: 1, cname: 'abc' }] },
      { type: 'goodbye', ssrcs: [1, 2], reason: 'bye' },
    ] satisfies RtcpPacket[]);
  });

  it('passes over what an audio session has no use for', () => {
    const pli = '81ce0002 00000001 00000002';
    const remb = '8fce0005 00000001 00000000 52454d42 010a1234 00000002';
    const extendedReport = '80cf0004 00000001 04000002 00000000 00000000';
    const app = '80cc0002 00000001 41414141';
    const bytes = fromHex(pli + remb + extendedReport + app);
    assert.deepEqual(parseRtcp(bytes, bytes.length), [
      { type: 'ignored', packetType: 206, format: 1 },
      { type: 'ignored', packetType: 206, format: 15 },
      { type: 'ignored', packetType: 207, format: 0 },
      { type: 'ignored', packetType: 204, format: 0 },
    ]);
  });

  it('accepts padding on the last packet only', () => {
    const padded = fromHex('a0c90002 00000001 00000004');
    assert.deepEqual(parseRtcp(padded, 12), [{ type: 'receiver-report', ssrc: 1, reports: [] }]);
    const twice = fromHex('a0c90002 00000001 00000004 80c90001 00000001');
    assert.equal(parseRtcp(twice, twice.length), null);
  });

  for (const [what, text] of [
    ['nothing', ''],
    ['another version', '40c90001 00000001'],
    ['a length beyond the end', '80c90002 00000001'],
    ['a rest that is no packet', '80c90001 00000001 80c9'],
    ['a receiver report without its sender', '80c90000'],
    ['fewer report blocks than announced', '82c90007 00000001 00000002 00000000 00000000 00000000 00000000 00000000'],
    ['a cut sender report', '80c80005 00000001 00000000 00000000 00000000 00000000'],
    ['a name beyond the end', '81ca0002 00000001 01ff6162'],
    ['a name without an end', '81ca0002 00000001 01026162'],
    ['an SDES item without its length', '81ca0002 00000001 01016101'],
    ['fewer chunks than announced', '82ca0002 00000001 00000000'],
    ['fewer sources than announced', '82cb0001 00000001'],
    ['a reason beyond the end', '81cb0002 00000001 ff616263'],
    ['padding longer than the packet', 'a0c90001 00000009'],
    ['padding of no bytes', 'a0c90002 00000001 00000000'],
    ['a NACK without its sources', '81cd0001 00000001'],
    ['a transport feedback cut in its header', '8fcd0003 00000001 00000002 00010001'],
    ['a transport feedback without its chunks', '8fcd0004 00000001 00000002 00010001 00000000'],
    ['a transport feedback without its deltas', '8fcd0005 00000001 00000002 00010003 00000000 20030101'],
    ['a transport feedback with a reserved symbol', '8fcd0005 00000001 00000002 00010001 00000000 60010101'],
  ]) {
    it(`refuses ${what}`, () => {
      const bytes = fromHex(text);
      assert.equal(parseRtcp(bytes, bytes.length), null);
    });
  }

  it('survives 100,000 arbitrary, damaged and cut packets without outgrowing them', () => {
    const out = new Uint8Array(512);
    const arrivals = [1, 2, 5, 9].map((sequence) => ({ sequence, at: sequence * 20 }));
    const ends = [
      writeNack(out, 0, { senderSsrc: 1, mediaSsrc: 2, lost: [1, 2, 40] }),
      writeTransportFeedback(out, 20, { senderSsrc: 1, mediaSsrc: 2, feedbackCount: 3, arrivals }, 500),
    ];
    const samples = [
      out.slice(0, ends[0]),
      out.slice(20, ends[1]),
      fromHex('81c90007 00000001 0000000a 40fffffe 00010002 00000006 e0008000 00010000 81ca0002 00000001 01016100'),
      fromHex('82cb0004 00000001 00000002 03627965 00000000'),
    ];
    let parsed = 0;
    fuzz(2, samples, (input, length) => {
      const packets = parseRtcp(input, length);
      if (!packets) return;
      parsed++;
      let items = packets.length;
      for (const packet of packets) {
        if (packet.type === 'nack') items += packet.lost.length / 17;
        if (packet.type === 'transport-feedback') items += packet.received.length;
        if (packet.type === 'sender-report' || packet.type === 'receiver-report') items += packet.reports.length;
      }
      assert.ok(items <= length, `${items} items from ${length} bytes`);
    });
    assert.ok(parsed > 10_000, 'most inputs never reached the parsers');
  });
});

describe('transport feedback', () => {
  const arrivals = fc
    .tuple(uint16, fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: -100, max: 900 })), { maxLength: 60 }))
    .map(([first, steps]) => {
      const list = [{ sequence: first, at: 5_000_000 }];
      for (const [by, quarters] of steps) {
        const last = list.at(-1)!;
        list.push({ sequence: (last.sequence + by) & 0xffff, at: last.at + quarters / 4 });
      }
      return list;
    });

  it('reads back arrivals, gaps and reordering, to 250 µs', () => {
    fc.assert(
      fc.property(uint32, fc.nat(255), arrivals, (mediaSsrc, feedbackCount, arrivals) => {
        const out = new Uint8Array(1024).fill(0xee);
        const end = writeTransportFeedback(out, 0, { senderSsrc: 7, mediaSsrc, feedbackCount, arrivals }, 1024);
        assert.ok(out.subarray(end).every((byte) => byte === 0xee));
        const span = ((arrivals.at(-1)!.sequence - arrivals[0].sequence) & 0xffff) + 1;
        assert.deepEqual(parseRtcp(out, end), [
          {
            type: 'transport-feedback',
            senderSsrc: 7,
            mediaSsrc,
            baseSequence: arrivals[0].sequence,
            statusCount: span,
            feedbackCount,
            received: arrivals,
          },
        ]);
      }),
      { numRuns: 500 },
    );
  });

  it('stays within the limit it is given, and keeps what fits', () => {
    const arrivals = Array.from({ length: 200 }, (_, i) => ({ sequence: 2 * i, at: 100 * i }));
    const out = new Uint8Array(300).fill(0xee);
    const end = writeTransportFeedback(out, 0, { senderSsrc: 1, mediaSsrc: 2, feedbackCount: 0, arrivals }, 200);
    assert.ok(end <= 200);
    const [feedback] = parseRtcp(out, end)!;
    assert.ok(feedback.type === 'transport-feedback' && feedback.received.length > 20);
    assert.deepEqual(feedback.received, arrivals.slice(0, feedback.received.length));
  });

  it('reads status vectors of one and two bits as the draft draws them', () => {
    // 1-bit vector: 1 0 1 and eleven missing; 2-bit vector: small, missing, large, then padding symbols.
    const bytes = fromHex('8fcd0007 00000001 00000002 000a0011 00000107 a800 d200 04 08 0c fffc 000000');
    const [feedback] = parseRtcp(bytes, bytes.length) ?? assert.fail('refused');
    assert.ok(feedback.type === 'transport-feedback');
    assert.deepEqual(feedback.received, [
      { sequence: 10, at: 65 },
      { sequence: 12, at: 67 },
      { sequence: 24, at: 70 },
      { sequence: 26, at: 69 },
    ]);
  });

  it('does not grow with the number of missing packets that a few bytes can announce', () => {
    const bytes = fromHex('8fcd0009 00000001 00000002 0000ffff 000000 00' + '1fff'.repeat(9) + '0000');
    const [feedback] = parseRtcp(bytes, bytes.length) ?? assert.fail('refused');
    assert.ok(feedback.type === 'transport-feedback');
    assert.equal(feedback.statusCount, 0xffff);
    assert.equal(feedback.received.length, 0);
  });
});
