import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { generateKeyShare } from '../../../src/webrtc/dtls/key-share.ts';
import { PROJECT } from '../../support/paths.ts';

for (const group of ['x25519', 'secp256r1'] as const) {
  test(`two sides of ${group} agree on a secret, and on no other`, () => {
    const [a, b, c] = [generateKeyShare(group), generateKeyShare(group), generateKeyShare(group)];
    const secret = a.agree(b.publicKey);
    assert.ok(secret);
    assert.deepEqual(Buffer.from(secret), Buffer.from(b.agree(a.publicKey)!));
    assert.notDeepEqual(Buffer.from(secret), Buffer.from(c.agree(a.publicKey)!));
  });
}

test('key pairs can be made through any garbage collection', () => {
  // Node's own export of a fresh key stood still here within some thousand pairs.
  const module = pathToFileURL(path.join(PROJECT, 'dist/src/webrtc/dtls/key-share.js')).href;
  const script = `import { generateKeyShare } from ${JSON.stringify(module)}; for (let i = 0; i < 12_000; i++) generateKeyShare('x25519');`;
  const { status, signal } = spawnSync(process.execPath, ['--max-semi-space-size=1', '--input-type=module', '--eval', script], { timeout: 30_000 });
  assert.deepEqual({ status, signal }, { status: 0, signal: null });
});
