import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { buildGoPeer } from '../../bench/support/go-peer.ts';
import { startDev } from '../support/earshot-process.ts';

const PACKAGES = ['golang-go', 'golang-github-pion-webrtc.v3-dev'];

test('Pion calls: its words come back, events go both ways, over DTLS 1.2; also when its answer was given ahead', { timeout: 200_000 }, async () => {
  const built = buildGoPeer('pion-caller', PACKAGES);
  if ('reason' in built) assert.fail(built.reason);
  await using dev = await startDev(['--agent', 'echo']);
  for (const endpoint of [dev.endpoint, `${dev.endpoint}?instant`]) {
    const { stdout }: { stdout: string } = await promisify(execFile)(built.program, [endpoint]);
    assert.deepEqual(stdout.trim().split('\n').toSorted(), ['heard', 'session.created', 'session.updated']);
  }
  const metrics = await (await fetch(`${dev.url}/metrics`)).text();
  assert.deepEqual(metrics.match(/^earshot_handshakes_total\{.*/gm), ['earshot_handshakes_total{dtls="1.2",sped="no"} 2']);
});
