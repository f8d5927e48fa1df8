import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IngressHealth } from '../../src/gateway/ingress-health.ts';
import type { Probe } from '../../src/gateway/readiness.ts';

const HTTP = { http: new URL('http://192.0.2.1:9090') };
const FAILED: Probe = { type: 'failed' };

function answered(ready: boolean): Probe {
  return { type: 'answered', ready, calls: null, capacity: null };
}

test('one failed probe is enough to avoid a relay, one good one to name it again', () => {
  const health = new IngressHealth(HTTP);
  assert.equal(health.condition, 'unknown');
  const steps: [probe: Probe, condition: string][] = [
    [answered(true), 'ready'], [FAILED, 'unreachable'], [answered(true), 'ready'], [answered(false), 'not-ready'], [answered(true), 'ready'],
  ];
  for (const [i, [probe, condition]] of steps.entries()) {
    health.handleProbe(probe, i * 1000);
    assert.equal(health.condition, condition);
    assert.equal(health.nextProbeAt, (i + 1) * 1000);
  }
});

test('probes of a dead relay become rarer, up to every eight seconds, and come back to the pace', () => {
  const health = new IngressHealth(HTTP);
  let now = 0;
  const waits = Array.from({ length: 6 }, () => {
    health.handleProbe(FAILED, now);
    const wait = health.nextProbeAt - now;
    now = health.nextProbeAt;
    return wait;
  });
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 8000, 8000]);
  health.handleProbe(answered(true), now);
  health.handleProbe(FAILED, now + 1000);
  assert.equal(health.nextProbeAt, now + 2000);
});

test('a relay that cannot be asked is taken to be well', () => {
  assert.equal(new IngressHealth({ http: null }).condition, 'unwatched');
});
