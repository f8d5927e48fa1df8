import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cluster } from '../../src/clusters/clusters.ts';
import { ClusterHealth } from '../../src/gateway/cluster-health.ts';
import type { Probe } from '../../src/gateway/readiness.ts';

const CLUSTER: Cluster = {
  id: 0, name: 'one', place: { latitude: 0, longitude: 0 }, signaling: new URL('http://127.0.0.1:1'), transceiver: null,
  trunk: [], direct: false, capacity: null, ingress: [],
};
const FAILED: Probe = { type: 'failed' };

function answered(ready = true, calls: number | null = null, capacity: number | null = null): Probe {
  return { type: 'answered', ready, calls, capacity };
}

test('probes of a dead cluster become rarer and come back to the pace with its first answer', () => {
  const health = new ClusterHealth();
  assert.equal(health.state(CLUSTER, 0).condition, 'unknown');
  const waits: number[] = [];
  let now = 0;
  for (let i = 0; i < 6; i++) {
    health.handleProbe(FAILED, CLUSTER, now);
    waits.push(health.nextProbeAt - now);
    now = health.nextProbeAt;
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 8000, 8000]);
  assert.equal(health.state(CLUSTER, now).condition, 'unreachable');
  health.handleProbe(answered(), CLUSTER, now);
  assert.equal(health.nextProbeAt - now, 1000);
  assert.equal(health.state(CLUSTER, now).condition, 'ready');
  health.handleProbe(answered(false), CLUSTER, now);
  assert.equal(health.state(CLUSTER, now).condition, 'not-ready');
});

test('a request that fails counts at once and outweighs good probes, the longer the more fail in a row', () => {
  const health = new ClusterHealth();
  health.handleProbe(answered(), CLUSTER, 0);
  for (const [at, until] of [[0, 2_000], [2_000, 6_000], [6_000, 14_000], [14_000, 30_000], [30_000, 60_000], [60_000, 90_000]]) {
    health.handleFailure('unreachable', at);
    assert.ok(health.nextProbeAt <= at, 'asked again at once');
    health.handleProbe(answered(), CLUSTER, at);
    assert.equal(health.state(CLUSTER, until - 1).condition, 'unreachable', `${at}`);
    assert.equal(health.state(CLUSTER, until).condition, 'ready', `${at}`);
  }
  health.handleSuccess(false);
  health.handleFailure('not-ready', 100_000);
  assert.equal(health.state(CLUSTER, 101_999).condition, 'not-ready');
  assert.equal(health.state(CLUSTER, 102_000).condition, 'ready', 'a success began the count anew');
});

test('a cluster that says it is full is so until a probe tells of room, or for two seconds', () => {
  const health = new ClusterHealth();
  health.handleProbe(answered(), CLUSTER, 0);
  health.handleFailure('full', 0);
  health.handleProbe(answered(), CLUSTER, 10);
  assert.equal(health.state(CLUSTER, 1_999).condition, 'full', 'the probe said nothing of calls');
  assert.equal(health.state(CLUSTER, 2_000).condition, 'ready');
  health.handleFailure('full', 3_000);
  health.handleProbe(answered(true, 9, 10), CLUSTER, 3_010);
  assert.deepEqual(health.state(CLUSTER, 3_010), { cluster: CLUSTER, condition: 'ready', load: 0.9 });
});

test('calls placed since the last probe are load, so that a burst does not overfill a cluster', () => {
  const health = new ClusterHealth();
  health.handleProbe(answered(true, 5, 10), CLUSTER, 0);
  for (let i = 0; i < 5; i++) health.handleSuccess(true);
  assert.equal(health.state(CLUSTER, 1).load, 1);
  health.handleProbe(answered(true, 10, 10), CLUSTER, 1_000);
  assert.equal(health.state(CLUSTER, 1_000).load, 1, 'and are not counted twice');

  const many = { ...CLUSTER, capacity: 100 };
  health.handleProbe(answered(true, 5, 10), many, 2_000);
  health.handleSuccess(true);
  assert.ok(Math.abs(health.state(many, 2_000).load - 0.51) < 1e-9, 'one call of a hundred, behind a load balancer');
  health.handleProbe(answered(true, 50), many, 3_000);
  assert.equal(health.state(many, 3_000).load, 0.5, 'the capacity of the file where the cluster tells none');
  health.handleProbe(answered(true), CLUSTER, 4_000);
  health.handleSuccess(true);
  assert.equal(health.state(CLUSTER, 4_000).load, 0, 'nothing known');
});
