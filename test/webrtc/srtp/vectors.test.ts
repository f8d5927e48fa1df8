import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deriveKey, deriveSessionKeys, type SessionKeys } from '../../../src/webrtc/srtp/key-derivation.ts';
import { createTransform } from '../../../src/webrtc/srtp/packet-transform.ts';
import { SrtpReceiver } from '../../../src/webrtc/srtp/srtp-receiver.ts';
import { SrtpSender } from '../../../src/webrtc/srtp/srtp-sender.ts';
import type { SrtpProfile } from '../../../src/webrtc/srtp-profile.ts';
import { CIPHERS, fromHex, hex, protect, readFixture, roomy, rtcp, testKeys, unprotect } from './support.ts';

describe('SRTP key derivation', () => {
  it('gives the session keys of RFC 3711, appendix B.3', () => {
    const keys = {
      masterKey: fromHex('E1F97A0D3E018BE0D64FA32C06DE4139'),
      masterSalt: fromHex('0EC675AD498AFEEBB6960B3AABE6'),
    };
    const derived = deriveSessionKeys({ ...keys, profile: 'AES128_CM_HMAC_SHA1_80' }).rtp;
    assert.equal(hex(derived.encryptionKey), 'c61e7a93744f39ee10734afe3ff7a087');
    assert.equal(hex(derived.salt), '30cbbc08863d8c85d49db34a9ae1');
    assert.equal(hex(derived.authenticationKey), 'cebe321f6ff7716b6fd4ab49af256a156d38baa4');
    assert.equal(
      hex(deriveKey(keys, 1, 94)),
      'cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327ad175578ef72270986371c10c9a369ac2' +
        'f94a8c5fbcdddc256d6e919a48b610ef17c2041e474035766b68642c59bbfc2f34db60dbdfb2',
    );
  });

  it('gives RTP and RTCP different keys', () => {
    const { rtp, rtcp } = deriveSessionKeys(testKeys('AES128_CM_HMAC_SHA1_80'));
    assert.notDeepEqual(rtp.encryptionKey, rtcp.encryptionKey);
    assert.notDeepEqual(rtp.authenticationKey, rtcp.authenticationKey);
    assert.notDeepEqual(rtp.salt, rtcp.salt);
  });

  it('refuses keys of the wrong length', () => {
    const keys = testKeys('AEAD_AES_128_GCM');
    assert.throws(() => deriveSessionKeys({ ...keys, profile: 'AES128_CM_HMAC_SHA1_80' }), RangeError);
    assert.throws(() => deriveSessionKeys({ ...keys, masterKey: new Uint8Array(32) }), RangeError);
  });
});

/** RFC 7714, sections 16.1 and 17.1 to 17.3: the session key and salt are given, not derived. */
const RFC_7714_KEYS = {
  encryptionKey: fromHex('000102030405060708090a0b0c0d0e0f'),
  authenticationKey: new Uint8Array(0),
  salt: fromHex('517569642070726f2071756f'),
};
const RFC_7714: SessionKeys = { rtp: RFC_7714_KEYS, rtcp: RFC_7714_KEYS };
const RTP_PLAIN =
  '8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573';
const RTP_PROTECTED =
  '8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833' +
  '899d7f27 beb16a91 52cf765e e4390cce';
const RTCP_PLAIN =
  '81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef';
const RTCP_PROTECTED =
  '81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded' +
  '0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4';
const RTCP_TAGGED = `${RTCP_PLAIN} 841dd968 3dd78ec9 2ae58790 125f62b3 000005d4`;
const RTCP_INDEX = 0x5d4;
const MARS = 0x4d617273;

interface Fixture {
  readonly sessions: readonly {
    readonly profile: SrtpProfile;
    readonly masterKey: string;
    readonly masterSalt: string;
    readonly rtp: readonly { readonly plain: string; readonly protected: string }[];
    readonly rtcp: readonly { readonly plain: string; readonly protected: string }[];
  }[];
}
const libsrtp = JSON.parse(readFixture('libsrtp-2.5.json')) as Fixture;

for (const ciphers of CIPHERS) {
  describe(`SRTP vectors with ${ciphers.name}`, () => {
    it('protects the SRTP packet of RFC 7714, section 16.1', () => {
      const seal = createTransform('AEAD_AES_128_GCM', RFC_7714, ciphers);
      const open = createTransform('AEAD_AES_128_GCM', RFC_7714, ciphers);
      const packet = roomy(fromHex(RTP_PLAIN));
      const length = seal.sealRtp(packet, 12, packet.length - 20, 0x5501a0b2, 0xf17b);
      assert.equal(hex(packet.subarray(0, length)), hex(fromHex(RTP_PROTECTED)));
      const plainLength = open.openRtp(packet, 12, length, 0x5501a0b2, 0xf17b);
      assert.equal(hex(packet.subarray(0, plainLength)), hex(fromHex(RTP_PLAIN)));
      seal.close();
      open.close();
    });

    it('protects the SRTCP packet of RFC 7714, section 17.1', () => {
      const seal = createTransform('AEAD_AES_128_GCM', RFC_7714, ciphers);
      const open = createTransform('AEAD_AES_128_GCM', RFC_7714, ciphers);
      const packet = roomy(fromHex(RTCP_PLAIN));
      const length = seal.sealRtcp(packet, packet.length - 20, MARS, RTCP_INDEX);
      assert.equal(hex(packet.subarray(0, length)), hex(fromHex(RTCP_PROTECTED)));
      const plainLength = open.openRtcp(packet, length, MARS, RTCP_INDEX, true);
      assert.equal(hex(packet.subarray(0, plainLength)), hex(fromHex(RTCP_PLAIN)));
      seal.close();
      open.close();
    });

    it('accepts the SRTCP packet of RFC 7714, section 17.3, which is only tagged', () => {
      const open = createTransform('AEAD_AES_128_GCM', RFC_7714, ciphers);
      const packet = fromHex(RTCP_TAGGED);
      const plainLength = open.openRtcp(packet, packet.length, MARS, RTCP_INDEX, false);
      assert.equal(plainLength, fromHex(RTCP_PLAIN).length);
      assert.equal(hex(packet.subarray(0, plainLength)), hex(fromHex(RTCP_PLAIN)));
      open.close();
    });

    for (const session of libsrtp.sessions) {
      const { profile } = session;
      const keys = { profile, masterKey: fromHex(session.masterKey), masterSalt: fromHex(session.masterSalt) };

      it(`reads what libsrtp protects with ${profile}`, () => {
        const receiver = new SrtpReceiver(keys, ciphers);
        for (const kind of ['rtp', 'rtcp'] as const) {
          for (const packet of session[kind]) {
            const plain = unprotect(receiver, fromHex(packet.protected), kind);
            assert.equal(typeof plain === 'number' ? plain : hex(plain), packet.plain);
          }
        }
        receiver.close();
      });

      it(`protects byte for byte as libsrtp does with ${profile}`, () => {
        const sender = new SrtpSender(keys, ciphers);
        for (const packet of session.rtp) {
          assert.equal(hex(protect(sender, fromHex(packet.plain))), packet.protected);
        }
        // RFC 3711, section 3.4, starts SRTCP indices at 0, libsrtp at 1.
        for (const ssrc of [1, 0xdeadbeef]) protect(sender, rtcp(ssrc), 'rtcp');
        for (const packet of session.rtcp) {
          assert.equal(hex(protect(sender, fromHex(packet.plain), 'rtcp')), packet.protected);
        }
        sender.close();
      });
    }
  });
}
