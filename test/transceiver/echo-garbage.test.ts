import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'node:test';

/** Views, a frame for the agent, times as floating-point numbers: some hundred bytes, and reports now and then. */
const MAX_ALLOCATED = 1000;
const MAX_KEPT = 8;

describe('an echoed packet', () => {
  it('leaves little garbage, and keeps nothing', () => {
    const probe = fileURLToPath(new URL('./echo-probe.js', import.meta.url));
    const flags = ['--expose-gc', '--max-semi-space-size=128', '--min-semi-space-size=128'];
    const { stdout, stderr } = spawnSync(process.execPath, [...flags, probe], { encoding: 'utf8' });
    assert.match(stdout, /^\{/, stderr);
    const { echoed, ciphers, allocated, kept } = JSON.parse(stdout) as { echoed: number; ciphers: string; allocated: number; kept: number };
    assert.equal(echoed, 20_000);
    // node-crypto, where OpenSSL's own functions are not found, makes objects for each packet.
    if (ciphers === 'evp') assert.ok(allocated < MAX_ALLOCATED, `${allocated} bytes allocated per packet`);
    assert.ok(kept < MAX_KEPT, `${kept} bytes kept per packet`);
  });
});
