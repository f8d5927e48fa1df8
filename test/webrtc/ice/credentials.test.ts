import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateIceCredentials, isIcePassword, isIceUfrag } from '../../../src/webrtc/ice/credentials.ts';
import { seededBytes } from '../../support/random.ts';

test('generated credentials are within the grammar and differ', () => {
  const random = seededBytes(1);
  const seen = new Set<string>();
  for (let i = 0; i < 1_000; i++) {
    const { ufrag, password } = generateIceCredentials(random);
    assert.ok(isIceUfrag(ufrag) && isIcePassword(password), `${ufrag} ${password}`);
    seen.add(ufrag).add(password);
  }
  assert.equal(seen.size, 2_000);
});

test('too short, too long and foreign characters are refused', () => {
  for (const bad of ['', 'abc', 'a'.repeat(257), 'ab:cd', 'abc=', 'ab-cd', 'abcd\n', 'äbcd']) assert.ok(!isIceUfrag(bad), bad);
  for (const good of ['abcd', '+/+/', 'a'.repeat(256)]) assert.ok(isIceUfrag(good), good);
  assert.ok(!isIcePassword('a'.repeat(21)));
  assert.ok(isIcePassword('a'.repeat(22)));
});
