import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { MissingPackets } from '../../../src/webrtc/rtp/missing-packets.ts';
import { compactNtp, compactToMs, msToCompact, toNtp } from '../../../src/webrtc/rtp/ntp.ts';
import { ReceiveStream } from '../../../src/webrtc/rtp/receive-stream.ts';
import { RTCP_INTERVAL_MS, rtcpInterval } from '../../../src/webrtc/rtp/rtcp-interval.ts';
import { SendHistory } from '../../../src/webrtc/rtp/send-history.ts';
import { SendStream } from '../../../src/webrtc/rtp/send-stream.ts';
import { TransportLog } from '../../../src/webrtc/rtp/transport-log.ts';
import { seededBytes } from '../../support/random.ts';

fc.configureGlobal({ seed: 3550 });

describe('ReceiveStream', () => {
  it('agrees with a plain count of what was sent, lost, doubled and reordered, across several wraps', () => {
    const events = fc.array(fc.record({ skip: fc.nat(50), swap: fc.boolean(), double: fc.boolean() }), {
      minLength: 20,
      maxLength: 3000,
    });
    fc.assert(
      fc.property(fc.nat(0xffff), events, (first, events) => {
        const stream = new ReceiveStream(1, 48_000);
        const arrivals = [first];
        let sequence = first;
        for (const [i, { skip, swap, double }] of events.entries()) {
          sequence += 1 + skip;
          arrivals.push(sequence);
          if (swap && !events[i - 1]?.swap && arrivals.length > 2) arrivals.push(...arrivals.splice(-2).toReversed());
          if (double) arrivals.push(sequence);
        }
        let highest = first;
        let priorExpected = 0;
        let priorReceived = 0;
        arrivals.forEach((extended, i) => {
          const known = stream.handlePacket(extended & 0xffff, 0, 10, i);
          assert.equal((known - extended) % 0x10000, 0);
          highest = Math.max(highest, extended);
          if (i % 100 !== 99) return;
          const expected = highest - first + 1;
          const lost = Math.max(0, expected - priorExpected - (i + 1 - priorReceived));
          const block = stream.takeReportBlock(i);
          assert.equal(block.cumulativeLost, expected - (i + 1));
          assert.equal(block.fractionLost, Math.min(255, Math.floor((256 * lost) / (expected - priorExpected))));
          assert.equal(block.highestSequence, highest);
          [priorExpected, priorReceived] = [expected, i + 1];
        });
        assert.equal(stream.packets, arrivals.length);
        assert.equal(stream.octets, 10 * arrivals.length);
      }),
      { numRuns: 100 },
    );
  });

  it('computes jitter as RFC 3550, appendix A.8, does, and lets neither clock nor wrap disturb it', () => {
    const delays = fc.array(fc.nat(60), { minLength: 2, maxLength: 200 });
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), fc.double({ min: 0, max: 1e9, noNaN: true }), delays, (start, origin, delays) => {
        const stream = new ReceiveStream(1, 8000);
        let jitter = 0;
        let lastTransit: number | null = null;
        delays.forEach((delay, i) => {
          stream.handlePacket(i, (start + 160 * i) >>> 0, 1, origin + 20 * i + delay);
          const transit = 8 * delay;
          if (lastTransit !== null) jitter += (Math.abs(transit - lastTransit) - jitter) / 16;
          lastTransit = transit;
        });
        assert.ok(Math.abs(stream.jitter - jitter) < 0.01, `${stream.jitter} instead of ${jitter}`);
      }),
      { numRuns: 300 },
    );
  });

  it('takes one packet far ahead for a stray, two in a row for a restart', () => {
    const stream = new ReceiveStream(1, 48_000);
    for (let i = 0; i < 10; i++) stream.handlePacket(i, 0, 1, i);
    assert.equal(stream.handlePacket(30_000, 0, 1, 10), -1);
    assert.equal(stream.handlePacket(10, 0, 1, 11), 10);
    assert.equal(stream.handlePacket(40_000, 0, 1, 12), -1);
    assert.equal(stream.handlePacket(40_001, 0, 1, 13), 40_001);
    assert.equal(stream.cumulativeLost, 0);
    assert.equal(stream.highestSequence, 40_001);
  });

  it('gives a straggler from before the wrap the number it had then', () => {
    const stream = new ReceiveStream(1, 48_000);
    stream.handlePacket(65_534, 0, 1, 0);
    assert.equal(stream.handlePacket(1, 0, 1, 1), 65_537);
    assert.equal(stream.handlePacket(65_535, 0, 1, 2), 65_535);
    assert.equal(stream.handlePacket(0, 0, 1, 3), 65_536);
    assert.equal(stream.cumulativeLost, 0);
  });

  it('says how long ago the last sender report came, and nothing before the first', () => {
    const stream = new ReceiveStream(1, 48_000);
    stream.handlePacket(1, 0, 1, 0);
    assert.deepEqual([stream.takeReportBlock(5).lastSr, stream.takeReportBlock(5).delaySinceLastSr], [0, 0]);
    stream.handleSenderReport(0x1234_5678, 0x9abc_def0, 1000);
    const block = stream.takeReportBlock(1500);
    assert.equal(block.lastSr, 0x5678_9abc);
    assert.equal(block.delaySinceLastSr, 0x8000);
  });

  it('clamps a cumulative loss that 24 bits do not hold', () => {
    const stream = new ReceiveStream(1, 48_000);
    let sequence = 0;
    for (let i = 0; i < 3000; i++) stream.handlePacket((sequence += 2999) & 0xffff, 0, 1, i);
    assert.ok(stream.cumulativeLost > 0x7f_ffff);
    assert.equal(stream.takeReportBlock(0).cumulativeLost, 0x7f_ffff);
  });
});

describe('MissingPackets', () => {
  it('asks for what is missing after a grace for reordering, and no longer once it is there', () => {
    const missing = new MissingPackets();
    for (const sequence of [10, 11, 14]) missing.handlePacket(sequence, 100);
    assert.deepEqual(missing.take(100, null), []);
    assert.equal(missing.nextAt, 110);
    missing.handlePacket(12, 105);
    assert.deepEqual(missing.take(110, null), [13]);
    missing.handlePacket(13, 120);
    assert.equal(missing.nextAt, Number.POSITIVE_INFINITY);
  });

  it('asks three times, a round trip apart, and gives up', () => {
    const missing = new MissingPackets();
    missing.handlePacket(1, 0);
    missing.handlePacket(3, 0);
    const asked: number[] = [];
    while (missing.nextAt < 10_000) {
      const at = missing.nextAt;
      if (missing.take(at, 80).length > 0) asked.push(at);
    }
    assert.deepEqual(asked, [10, 110, 210]);
  });

  it('writes sequence numbers in 16 bits, in order, across the wrap', () => {
    const missing = new MissingPackets();
    missing.handlePacket(65_533, 0);
    missing.handlePacket(65_538, 0);
    assert.deepEqual(missing.take(50, null), [65_534, 65_535, 0, 1]);
  });

  it('does not ask for an outage, nor remember more than a few', () => {
    const missing = new MissingPackets();
    missing.handlePacket(1, 0);
    missing.handlePacket(1000, 0);
    assert.equal(missing.nextAt, Number.POSITIVE_INFINITY);
    for (let sequence = 1000; sequence < 20_000; sequence += 30) missing.handlePacket(sequence, 0);
    assert.equal(missing.take(100, null).length, 64);
  });
});

describe('TransportLog', () => {
  it('hands out arrivals in order, once each, from the oldest, across the wrap', () => {
    const log = new TransportLog();
    [65_534, 0, 65_535, 0, 65_533].forEach((sequence, i) => log.note(sequence, i));
    assert.deepEqual(
      log.take().map(({ sequence, at }) => [sequence, at]),
      [
        [65_533, 4],
        [65_534, 0],
        [65_535, 2],
        [0, 1],
      ],
    );
    assert.ok(log.empty);
    assert.deepEqual(log.take(), []);
  });

  it('stops noting when it is full', () => {
    const log = new TransportLog();
    for (let i = 0; i < 5000; i++) log.note(i, i);
    assert.equal(log.take().length, 128);
  });
});

describe('SendHistory', () => {
  it('repeats the bytes that were stored, not those of a packet written over them', () => {
    const history = new SendHistory();
    const packet = new Uint8Array(300).fill(1);
    history.store(7, packet, 300);
    packet.fill(2);
    assert.deepEqual(history.take(7, 0), new Uint8Array(300).fill(1));
  });

  it('forgets old packets, and is not made to repeat one over and over', () => {
    const history = new SendHistory();
    const packet = new Uint8Array(20);
    for (let sequence = 65_500; sequence < 65_700; sequence++) history.store(sequence & 0xffff, packet, 12);
    assert.equal(history.take(65_500, 0), null);
    assert.equal(history.take(3000, 0), null);
    assert.equal(history.take(140, 100)?.length, 12);
    assert.equal(history.take(140, 105), null);
    assert.equal(history.take(140, 110)?.length, 12);
  });
});

describe('SendStream', () => {
  it('starts below 2^15, wraps, and keeps timestamps on one random offset', () => {
    for (let seed = 0; seed < 10; seed++) {
      const stream = new SendStream(1, 48_000, null, seededBytes(seed));
      const start = stream.header.sequence;
      assert.ok(start < 0x8000);
      const first = stream.nextHeader(111, 0, true, -1).timestamp;
      for (let i = 0; i < 65_536; i++) stream.handleSent(1, 0);
      assert.equal(stream.header.sequence, start);
      assert.equal(stream.nextHeader(111, 2 ** 33 + 960, false, -1).timestamp, (first + 960) >>> 0);
    }
  });

  it('extrapolates the RTP timestamp of a sender report to its NTP time', () => {
    const stream = new SendStream(1, 48_000, null, seededBytes(1));
    const { timestamp } = stream.nextHeader(111, 5000, true, -1);
    stream.handleSent(100, 1000);
    const report = stream.senderReport(1500, 1_700_000_000_500);
    assert.equal(report.rtpTimestamp, (timestamp + 24_000) >>> 0);
    assert.deepEqual([report.packets, report.octets], [1, 100]);
    assert.deepEqual([report.ntpSeconds, report.ntpFraction], [1_700_000_000 + 2_208_988_800, 0x8000_0000]);
  });

  it('takes no round trip from a report without a sender report, and none below zero', () => {
    const stream = new SendStream(1, 48_000, null, seededBytes(1));
    const block = { ssrc: 1, fractionLost: 64, cumulativeLost: 1, highestSequence: 1, jitter: 480 };
    stream.handleReport({ ...block, lastSr: 0, delaySinceLastSr: 0 }, 1_700_000_000_000);
    assert.equal(stream.rttMs, null);
    assert.deepEqual([stream.remoteLoss, stream.remoteJitter], [0.25, 480]);
    const ntp = toNtp(1_700_000_000_000);
    const lastSr = compactNtp(ntp.seconds, ntp.fraction);
    stream.handleReport({ ...block, lastSr, delaySinceLastSr: msToCompact(50) }, 1_700_000_000_080);
    assert.ok(Math.abs(stream.rttMs! - 30) < 0.05);
    stream.handleReport({ ...block, lastSr, delaySinceLastSr: msToCompact(500) }, 1_700_000_000_080);
    assert.equal(stream.rttMs, 0);
  });
});

describe('NTP time', () => {
  it('keeps fractions, converts back and forth, and saturates', () => {
    assert.deepEqual(toNtp(0), { seconds: 2_208_988_800, fraction: 0 });
    assert.deepEqual(toNtp(250), { seconds: 2_208_988_800, fraction: 0x4000_0000 });
    assert.equal(compactToMs(msToCompact(1250)), 1250);
    assert.equal(msToCompact(1e12), 0xffff_ffff);
  });
});

describe('rtcpInterval', () => {
  it('spreads over 0.5 to 1.5 of the mean, and half of that at first', () => {
    const random = seededBytes(5);
    const later = Array.from({ length: 2000 }, () => rtcpInterval(random, false) / RTCP_INTERVAL_MS);
    assert.ok(later.every((factor) => factor >= 0.5 && factor < 1.5));
    assert.ok(Math.min(...later) < 0.55 && Math.max(...later) > 1.45);
    const first = Array.from({ length: 200 }, () => rtcpInterval(random, true) / RTCP_INTERVAL_MS);
    assert.ok(first.every((factor) => factor >= 0.25 && factor < 0.75));
  });
});
