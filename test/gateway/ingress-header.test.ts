import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, type TransportAddress } from '../../src/wire/address.ts';
import { IngressHeaders } from '../../src/wire/ingress-header.ts';

const NOW = 1_767_225_600_000;
const headers = new IngressHeaders('the secret of this test');
const address = fc
  .record({ ip: fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })), port: fc.integer({ min: 1, max: 65_535 }) })
  .filter(({ ip }) => ip.length === 4 || ip[0] !== 0)
  .map(({ ip, port }): TransportAddress => ({ family: ip.length === 4 ? 4 : 6, ip, port }));

test('what a gateway writes a transceiver reads, in the same order', () => {
  fc.assert(
    fc.property(fc.array(address, { minLength: 1, maxLength: 8 }), (addresses) => {
      const parsed = headers.parse(headers.format(addresses, NOW), NOW);
      if (typeof parsed === 'string') assert.fail(parsed);
      assert.deepEqual(parsed.map(formatAddress), addresses.map(formatAddress));
    }),
  );
});

test('a header that was changed, made under another secret or kept for later is not trusted', () => {
  const good = headers.format([{ family: 4, ip: Uint8Array.of(203, 0, 113, 7), port: 3478 }], NOW);
  assert.match(good, /^203\.0\.113\.7:3478; expires=1767225660; proof=[\w-]{43}$/);
  assert.equal(headers.parse(good.replace('113.7', '113.8'), NOW), 'wrong-proof');
  assert.equal(headers.parse(good.replace('expires=1', 'expires=2'), NOW), 'wrong-proof');
  assert.equal(new IngressHeaders('another secret').parse(good, NOW), 'wrong-proof');
  assert.equal(headers.parse(good, NOW + 61_000), 'expired');
  assert.equal(headers.parse('203.0.113.7:3478', NOW), 'malformed');
  assert.equal(headers.parse(`${good}, 1.2.3.4:5`, NOW), 'malformed');
});

test('a rotation of the secret takes headers of both', () => {
  const old = new IngressHeaders('the secret before');
  const rotated = new IngressHeaders('the new secret', 'the secret before');
  const header = old.format([{ family: 4, ip: Uint8Array.of(192, 0, 2, 1), port: 1 }], NOW);
  assert.equal(rotated.parse(header, NOW).length, 1);
  assert.equal(old.parse(rotated.format([{ family: 4, ip: Uint8Array.of(192, 0, 2, 1), port: 1 }], NOW), NOW), 'wrong-proof');
});

test('no text crashes the reader or passes', () => {
  const good = headers.format([{ family: 4, ip: Uint8Array.of(203, 0, 113, 7), port: 3478 }], NOW);
  fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => typeof headers.parse(text, NOW) === 'string'), { numRuns: 90_000 });
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 32, max: 126 }), (at, code) => {
      const text = good.slice(0, at) + String.fromCharCode(code) + good.slice(at + 1);
      // The last character of the proof has two bits that no byte holds.
      return text === good || at === good.length - 1 || typeof headers.parse(text, NOW) === 'string';
    }),
    { numRuns: 10_000 },
  );
});
