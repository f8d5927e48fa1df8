import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { srtpFault } from '../../../src/webrtc/srtp/faults.ts';
import { MAX_RTCP_INDEX, MAX_RTP_INDEX } from '../../../src/webrtc/srtp/packet-index.ts';
import { REPLAY_WINDOW_LENGTH } from '../../../src/webrtc/srtp/replay-window.ts';
import { SrtpReceiver } from '../../../src/webrtc/srtp/srtp-receiver.ts';
import { SendStream, SRTP_MAX_OVERHEAD, SrtpSender } from '../../../src/webrtc/srtp/srtp-sender.ts';
import { SRTP_PROFILES } from '../../../src/webrtc/srtp-profile.ts';
import { CIPHERS, createPair, hex, PROFILES, protect, roomy, rtcp, rtp, testKeys, unprotect } from './support.ts';
import { seededRandom } from '../../support/random.ts';

for (const ciphers of CIPHERS) {
  for (const profile of PROFILES) {
    describe(`SRTP session: ${profile}, ${ciphers.name}`, () => {
      it('round trips packets with CSRCs, extension, padding and no payload, in place', () => {
        const { sender, receiver, close } = createPair(profile, ciphers);
        const plains = [rtp(1), rtp(2, 1, new Uint8Array(0)), rtp(3, 1, new Uint8Array(1300).fill(1)), rtp(4)];
        plains[0][0] |= 0x02; // two CSRCs, cut from the payload
        plains[3][0] |= 0x10; // an extension of one word
        plains[3].set([0xbe, 0xde, 0, 1], 12);
        for (const plain of plains) {
          const buffer = roomy(plain);
          const length = sender.protectRtp(buffer, plain.length);
          assert.equal(length, plain.length + SRTP_PROFILES[profile].authTagLength);
          assert.equal(hex(buffer.subarray(0, 12)), hex(plain.subarray(0, 12)));
          if (plain.length > 12) assert.notEqual(hex(buffer.subarray(20, plain.length)), hex(plain.subarray(20)));
          assert.equal(receiver.unprotectRtp(buffer, length), plain.length);
          assert.equal(hex(buffer.subarray(0, plain.length)), hex(plain));
        }
        for (const plain of [rtcp(1), rtcp(1, new Uint8Array(400).fill(5)), rtcp(2)]) {
          const buffer = roomy(plain);
          const length = sender.protectRtcp(buffer, plain.length);
          assert.equal(length, plain.length + SRTP_PROFILES[profile].authTagLength + 4);
          assert.equal(receiver.unprotectRtcp(buffer, length), plain.length);
          assert.equal(hex(buffer.subarray(0, plain.length)), hex(plain));
        }
        assert.equal(receiver.counters.rtp, 4);
        assert.equal(receiver.counters.rtcp, 3);
        close();
      });

      it('refuses a replayed packet, at once, later, and when the window has moved on', () => {
        const { sender, receiver, close } = createPair(profile, ciphers);
        const first = protect(sender, rtp(100));
        const report = protect(sender, rtcp(), 'rtcp');
        assert.ok(unprotect(receiver, first) instanceof Uint8Array);
        assert.ok(unprotect(receiver, report, 'rtcp') instanceof Uint8Array);
        assert.equal(reason(unprotect(receiver, first)), 'replayed');
        assert.equal(reason(unprotect(receiver, report, 'rtcp')), 'replayed');
        for (let i = 1; i < REPLAY_WINDOW_LENGTH; i++) unprotect(receiver, protect(sender, rtp(100 + i)));
        assert.equal(reason(unprotect(receiver, first)), 'replayed');
        unprotect(receiver, protect(sender, rtp(100 + REPLAY_WINDOW_LENGTH)));
        assert.equal(reason(unprotect(receiver, first)), 'too-old');
        assert.deepEqual([receiver.counters.faults.replayed, receiver.counters.faults['too-old']], [3, 1]);
        close();
      });

      it('follows the roll-over through loss and reordering, several times round', () => {
        const random = seededRandom(7);
        const { sender, receiver, close } = createPair(profile, ciphers);
        const held: { sequence: number; packet: Uint8Array }[] = [];
        for (let sequence = 60_000; sequence < 60_000 + 3 * 65_536; sequence += sequence % 65_536 < 300 ? 1 : 20) {
          const packet = protect(sender, rtp(sequence));
          if (random() < 0.2) continue;
          held.push({ sequence, packet });
          if (held.length < 8) continue;
          for (const late of held.splice(0).sort(() => random() - 0.5)) {
            const plain = unprotect(receiver, late.packet);
            assert.ok(plain instanceof Uint8Array, `sequence ${late.sequence}: ${reason(plain)}`);
            assert.equal(hex(plain), hex(rtp(late.sequence)));
          }
        }
        assert.equal(receiver.counters.faults['auth-failed'], 0);
        assert.equal(receiver.counters.faults.replayed, 0);
        close();
      });

      it('accepts packets from before the roll-over after it, with the old counter', () => {
        const { sender, receiver, close } = createPair(profile, ciphers);
        const packets = [65_530, 65_531, 65_534, 65_535, 65_536, 65_537, 65_540].map((n) => protect(sender, rtp(n)));
        for (const at of [0, 5, 3, 6, 1, 4, 2]) assert.ok(unprotect(receiver, packets[at]) instanceof Uint8Array, `${at}`);
        for (const packet of packets) assert.equal(reason(unprotect(receiver, packet)), 'replayed');
        close();
      });

      it('keeps the counters of interleaved SSRCs apart', () => {
        const { sender, receiver, close } = createPair(profile, ciphers);
        for (let i = 0; i < 40; i++) {
          for (const ssrc of [1, 2, 3]) {
            const plain = rtp(65_520 + i * ssrc, ssrc);
            const result = unprotect(receiver, protect(sender, plain));
            assert.ok(result instanceof Uint8Array, `ssrc ${ssrc}, packet ${i}`);
            assert.equal(hex(result), hex(plain));
            assert.ok(unprotect(receiver, protect(sender, rtcp(ssrc), 'rtcp'), 'rtcp') instanceof Uint8Array);
          }
        }
        close();
      });

      it('notices a change of any bit of any byte', () => {
        const { sender, receiver, close } = createPair(profile, ciphers);
        const packets = { rtp: protect(sender, rtp(1)), rtcp: protect(sender, rtcp(1, new Uint8Array(16)), 'rtcp') };
        for (const kind of ['rtp', 'rtcp'] as const) {
          const packet = packets[kind];
          for (let bit = 0; bit < 8 * packet.length; bit++) {
            const tampered = packet.slice();
            tampered[bit >>> 3] ^= 1 << (bit & 7);
            const result = unprotect(receiver, tampered, kind);
            assert.ok(typeof result === 'number', `${kind} bit ${bit} went unnoticed`);
            assert.match(reason(result), /^(auth-failed|malformed)$/);
          }
          assert.ok(unprotect(receiver, packet, kind) instanceof Uint8Array, 'the real one still passes');
        }
        close();
      });

      it('refuses every truncation, and lengths beyond the buffer', () => {
        const { sender, receiver, close } = createPair(profile, ciphers);
        const packets = { rtp: protect(sender, rtp(1)), rtcp: protect(sender, rtcp(1, new Uint8Array(16)), 'rtcp') };
        for (const kind of ['rtp', 'rtcp'] as const) {
          for (let length = 0; length < packets[kind].length; length++) {
            assert.ok(typeof unprotect(receiver, packets[kind].slice(0, length), kind) === 'number', `${length}`);
          }
        }
        const { length } = packets.rtp;
        assert.equal(reason(receiver.unprotectRtp(packets.rtp.slice(0, length - 1), length)), 'malformed');
        assert.equal(reason(receiver.unprotectRtcp(packets.rtcp.slice(0, 30), packets.rtcp.length)), 'malformed');
        close();
      });

      it('does not let a forger move the window, occupy memory or shut out the real sender', () => {
        const { sender, receiver, close } = createPair(profile, ciphers);
        const forger = new SrtpSender(testKeys(profile, 99), ciphers);
        const real = protect(sender, rtp(10));
        unprotect(receiver, real);
        assert.equal(reason(unprotect(receiver, protect(forger, rtp(11)))), 'auth-failed');
        assert.equal(reason(unprotect(receiver, protect(forger, rtp(30_000)))), 'auth-failed');
        for (let ssrc = 0; ssrc < 1000; ssrc++) receiver.unprotectRtp(rtp(5, ssrc, new Uint8Array(40)), 52);
        // Had any of them been remembered, SSRC 0x12345678 would have been forgotten, and this replay accepted.
        assert.equal(reason(unprotect(receiver, real)), 'replayed');
        assert.ok(unprotect(receiver, protect(sender, rtp(11))) instanceof Uint8Array);
        forger.close();
        close();
      });

      it('forgets the SSRC that has been silent longest, not one in use', () => {
        const { receiver, close } = createPair(profile, ciphers);
        const inUse = createPair(profile, ciphers).sender;
        const old = protect(inUse, rtp(1, 1));
        unprotect(receiver, old);
        for (let ssrc = 100; ssrc < 200; ssrc++) {
          const one = new SrtpSender(testKeys(profile), ciphers);
          assert.ok(unprotect(receiver, protect(one, rtp(1, ssrc))) instanceof Uint8Array);
          one.close();
          assert.ok(unprotect(receiver, protect(inUse, rtp(ssrc, 1))) instanceof Uint8Array);
        }
        assert.equal(reason(unprotect(receiver, old)), 'replayed');
        inUse.close();
        close();
      });

      it('never protects two packets under one index, but repeats a packet on request', () => {
        const { sender, receiver, close } = createPair(profile, ciphers);
        const original = protect(sender, rtp(65_535));
        protect(sender, rtp(65_536));
        assert.equal(reason(sender.protectRtp(roomy(rtp(65_535)), 32)), 'index-reused');
        assert.equal(reason(sender.protectRtp(roomy(rtp(65_536)), 32)), 'index-reused');
        const buffer = roomy(rtp(65_535));
        const length = sender.repeatRtp(buffer, 32);
        assert.equal(hex(buffer.subarray(0, length)), hex(original));
        assert.ok(unprotect(receiver, buffer.subarray(0, length)) instanceof Uint8Array);
        assert.equal(reason(sender.repeatRtp(roomy(rtp(65_537)), 32)), 'index-reused');
        assert.equal(reason(sender.repeatRtp(roomy(rtp(40_000, 77)), 32)), 'index-reused');
        close();
      });

      it('refuses what it cannot protect, and leaves it as it was', () => {
        const { sender, close } = createPair(profile, ciphers);
        const tight = rtp(1);
        const before = hex(tight);
        assert.equal(reason(sender.protectRtp(tight, tight.length)), 'no-room');
        assert.equal(hex(tight), before);
        assert.equal(reason(sender.protectRtcp(rtcp(), 8)), 'no-room');
        assert.equal(reason(sender.protectRtp(tight, tight.length + 1)), 'malformed');
        assert.equal(reason(sender.protectRtp(new Uint8Array(100), 50)), 'malformed');
        assert.equal(reason(sender.protectRtcp(roomy(rtcp()), 7)), 'malformed');
        for (let ssrc = 0; ssrc < 16; ssrc++) protect(sender, rtp(1, ssrc));
        assert.equal(reason(sender.protectRtp(roomy(rtp(1, 99)), 32)), 'too-many-streams');
        assert.equal(sender.counters.faults['no-room'], 2);
        close();
      });

      it('refuses to work after close, and closes twice', () => {
        const { sender, receiver, close } = createPair(profile, ciphers);
        const packet = protect(sender, rtp(1));
        close();
        close();
        assert.equal(reason(unprotect(receiver, packet)), 'closed');
        assert.equal(reason(unprotect(receiver, packet, 'rtcp')), 'closed');
        assert.equal(reason(sender.protectRtp(roomy(rtp(2)), 32)), 'closed');
        assert.equal(reason(sender.protectRtcp(roomy(rtcp()), 8)), 'closed');
      });

      it('survives arbitrary and mutated packets without letting one through', () => {
        const random = seededRandom(11);
        const { sender, receiver, close } = createPair(profile, ciphers);
        const real = [protect(sender, rtp(1)), protect(sender, rtcp(1, new Uint8Array(60)), 'rtcp')];
        const buffer = new Uint8Array(256);
        for (let run = 0; run < 25_000; run++) {
          const length = Math.floor(random() * buffer.length);
          for (let i = 0; i < length; i++) buffer[i] = random() * 256;
          if (run % 2 === 0) {
            buffer.set(real[run % 4 === 0 ? 0 : 1]);
            buffer[Math.floor(random() * 40)] ^= 1 + Math.floor(random() * 255);
          } else if (run % 4 === 1) buffer[0] = 0x80 | (buffer[0] & 0x3f);
          assert.ok(receiver.unprotectRtp(buffer, length) < 0);
          assert.ok(receiver.unprotectRtcp(buffer, length) < 0);
        }
        assert.equal(receiver.counters.rtp + receiver.counters.rtcp, 0);
        close();
      });
    });
  }
}

describe('SRTP key lifetime', () => {
  it('ends after 2^48 RTP packets', () => {
    const stream = new SendStream(1, MAX_RTP_INDEX - 1);
    assert.equal(stream.rtpIndex(0xffff), MAX_RTP_INDEX);
    stream.highest = MAX_RTP_INDEX;
    assert.ok(stream.rtpIndex(0) > MAX_RTP_INDEX);
  });

  it('ends after 2^31 RTCP packets', () => {
    const stream = new SendStream(1, -1, MAX_RTCP_INDEX);
    assert.equal(stream.nextRtcpIndex(), MAX_RTCP_INDEX);
    assert.equal(stream.nextRtcpIndex(), -1);
    assert.equal(stream.nextRtcpIndex(), -1);
  });
});

describe('srtpFault', () => {
  it('has no words for a length', () => {
    assert.throws(() => srtpFault(0), RangeError);
    assert.throws(() => srtpFault(-100), RangeError);
  });
});

describe('SRTP receiver', () => {
  it('is refused keys of another profile', () => {
    const keys = { ...testKeys('AEAD_AES_128_GCM'), profile: 'AES128_CM_HMAC_SHA1_80' as const };
    assert.throws(() => new SrtpReceiver(keys, CIPHERS[0]), RangeError);
  });

  it('needs no more room than SRTP_MAX_OVERHEAD says', () => {
    for (const { authTagLength } of Object.values(SRTP_PROFILES)) assert.ok(authTagLength + 4 <= SRTP_MAX_OVERHEAD);
  });
});

function reason(result: Uint8Array | number): string {
  return typeof result === 'number' ? srtpFault(result) : 'accepted';
}
