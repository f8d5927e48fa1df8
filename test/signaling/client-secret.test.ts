import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ClientSecrets } from '../../src/signaling/client-secret.ts';
import { parseIfMatch } from '../../src/signaling/entity-tag.ts';

const secrets = new ClientSecrets('secret');

test('every session that is sealed opens to itself', () => {
  const session = fc.record(
    { type: fc.constant('realtime' as const), model: fc.string(), instructions: fc.string({ unit: 'grapheme' }) },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(session, fc.nat(), (session, expiresAt) => {
      assert.deepEqual(secrets.open(secrets.seal({ session, expiresAt })), { session, expiresAt });
    }),
    { numRuns: 200 },
  );
});

test('a client secret reveals neither session nor expiry, and no two are alike', () => {
  const claims = { session: { type: 'realtime' as const, instructions: 'the quick brown fox' }, expiresAt: 1_800_000_000 };
  const [a, b] = [secrets.seal(claims), secrets.seal(claims)];
  assert.notEqual(a, b);
  assert.doesNotMatch(Buffer.from(a.slice(3), 'base64url').toString('latin1'), /quick|18000/);
});

test('a client secret with any bit changed is refused', () => {
  const sealed = Buffer.from(secrets.seal({ session: { type: 'realtime' }, expiresAt: 1 }).slice(3), 'base64url');
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const forged = Buffer.from(sealed);
    forged[bit >> 3] ^= 1 << (bit & 7);
    assert.equal(secrets.open(`ek_${forged.toString('base64url')}`), null, `bit ${bit}`);
  }
});

test('a truncated client secret is refused', () => {
  const value = secrets.seal({ session: { type: 'realtime' }, expiresAt: 1 });
  for (let length = 0; length < value.length; length++) assert.equal(secrets.open(value.slice(0, length)), null);
});

test('a client secret has one spelling', () => {
  const value = secrets.seal({ session: { type: 'realtime' }, expiresAt: 1 });
  for (const other of [`${value}A`, `${value}=`, `${value} `, `${value}!`, value.replace('ek_', 'ek_\n'), value.replaceAll('_', '/').replace('ek/', 'ek_.')]) {
    assert.equal(secrets.open(other), null, other);
  }
  assert.notEqual(secrets.open(value), null);
});

test('arbitrary text never opens and never throws', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String()), (text) => secrets.open(text) === null && secrets.open(`ek_${text}`) === null),
    { numRuns: 20_000 },
  );
});

test('If-Match is read as RFC 9110 writes it', () => {
  const cases: [header: string, tags: '*' | string[] | null][] = [
    ['*', '*'],
    [' * ', '*'],
    ['"a"', ['a']],
    ['"a", "b"', ['a', 'b']],
    ['""', ['']],
    ['W/"a", "b"', ['b']],
    ['W/"a"', []],
    ['a', null],
    ['"a', null],
    ['"a" "b"', null],
    ['', null],
    ['*, "a"', null],
  ];
  for (const [header, tags] of cases) assert.deepEqual(parseIfMatch(header), tags, header);
});
