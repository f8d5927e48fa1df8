import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { evpMissing, PROFILES } from './support.ts';

const probe = fileURLToPath(new URL('./memory-probe.js', import.meta.url));

/** Measured: 4.5 to 5.4 MB with contexts freed, 32 MB (counter mode) and 52 MB (GCM) without. */
const LIMIT = 15e6;

describe('SRTP memory', () => {
  for (const profile of PROFILES) {
    it(`comes back when sessions are closed: ${profile}`, { skip: evpMissing }, async () => {
      const { stdout } = await promisify(execFile)(process.execPath, ['--max-semi-space-size=2', probe, profile], {
        timeout: 60_000,
      });
      const grown = Number(stdout);
      assert.ok(grown < LIMIT, `${grown} bytes for 10,000 sessions`);
    });
  }
});
