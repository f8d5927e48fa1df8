import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pair } from './pair.ts';

test('both sides agree on keys', () => {
  const pair = new Pair().run();
  const client = pair.outcome('client');
  const server = pair.outcome('server');
  assert.equal(client.srtp!.profile, 'AEAD_AES_128_GCM');
  assert.deepEqual(client.srtp!.localKey, server.srtp!.remoteKey);
});
