import assert from 'node:assert/strict';
import { sign, verify, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { DtlsCertificate } from '../../../src/webrtc/index.ts';

const seed = Uint8Array.from({ length: 48 }, (_, i) => i);

test('a derived certificate is the same wherever it is derived, and another for another seed', () => {
  const one = DtlsCertificate.derive(seed);
  assert.deepEqual(DtlsCertificate.derive(seed.slice()).der, one.der);
  assert.notDeepEqual(DtlsCertificate.derive(seed.map((byte) => byte ^ 1)).der, one.der);
});

test('what is derived stays what it is: transceivers of different versions serve the same tickets', () => {
  const value = Buffer.from(DtlsCertificate.derive(seed).fingerprint('sha-256').value).toString('hex');
  assert.equal(value, 'cdd3f76fcfe9e98bcb2cbd5c009fc5ae1bafd10efdf64398b0f35d19de0ea9fb');
});

test('a derived certificate is signed by its own key, which signs for it', () => {
  const { der, privateKey } = DtlsCertificate.derive(seed);
  const certificate = new X509Certificate(der);
  assert.ok(certificate.verify(certificate.publicKey));
  assert.ok(certificate.checkPrivateKey(privateKey));
  const text = Buffer.from('handshake');
  assert.ok(verify('sha256', text, certificate.publicKey, sign('sha256', text, privateKey)));
});
