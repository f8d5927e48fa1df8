import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GcmRecordProtection } from '../../../src/webrtc/dtls/record-protection.ts';
import { parseRecordHeader } from '../../../src/webrtc/dtls/record.ts';
import { prf, splitSrtpKeyingMaterial } from '../../../src/webrtc/dtls/key-schedule-12.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

test('the PRF with SHA-256 gives the published vector', () => {
  // Sent to the IETF's TLS working group for implementers of RFC 5246.
  const out = prf('sha256', hex('9bbe436ba940f017b17652849a71db35'), 'test label', hex('a0ba9f936cda311827a6f796ffd5198c'), 100);
  assert.deepEqual(
    Buffer.from(out),
    hex(`e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17
         abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66`),
  );
});

test('the PRF with SHA-384 gives the published vector', () => {
  const out = prf('sha384', hex('b80b733d6ceefcdc71566ea48e5567df'), 'test label', hex('cd665cf6a8447dd6ff8b27555edb7465'), 148);
  assert.deepEqual(
    Buffer.from(out),
    hex(`7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700
         884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a2
         6066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f`),
  );
});

test('exported keying material is cut in the order of RFC 5764, section 4.2', () => {
  for (const [profile, length] of [['AEAD_AES_128_GCM', 56], ['AES128_CM_HMAC_SHA1_80', 60]] as const) {
    const exported = Uint8Array.from({ length }, (_, i) => i);
    const exporter = (label: string, wanted: number): Uint8Array => {
      assert.deepEqual([label, wanted], ['EXTRACTOR-dtls_srtp', length]);
      return exported;
    };
    const client = splitSrtpKeyingMaterial(profile, 'client', exporter);
    assert.deepEqual(Buffer.concat([client.localKey, client.remoteKey, client.localSalt, client.remoteSalt]), Buffer.from(exported));
    const server = splitSrtpKeyingMaterial(profile, 'server', exporter);
    assert.deepEqual(server.localKey, client.remoteKey);
    assert.deepEqual(server.remoteSalt, client.localSalt);
  }
});

test('a record carries epoch and sequence as its explicit nonce and opens only as it was sealed', () => {
  const key = new Uint8Array(16).fill(1);
  const salt = new Uint8Array(4).fill(2);
  const protection = new GcmRecordProtection('aes-128-gcm', key, salt);
  const out = new Uint8Array(3 + protection.overhead);
  assert.equal(protection.seal(23, 1, 0x0102_0304_0506, Uint8Array.of(7, 8, 9), out, 0), out.length);
  assert.deepEqual(Buffer.from(out.subarray(13, 21)), hex('0001010203040506'));
  assert.deepEqual(Buffer.from(protection.open(parseRecordHeader(out, 0)!, out)!), Buffer.from([7, 8, 9]));
  out[0] = 22;
  assert.equal(protection.open(parseRecordHeader(out, 0)!, out), null);
});
