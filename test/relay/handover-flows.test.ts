import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RelayCore } from '../../src/relay/core.ts';
import { listFlows, takeFlows } from '../../src/relay/handover-flows.ts';
import { DEFAULT_SOURCE_RATE } from '../../src/relay/source-limit.ts';
import { makeCore, makeShared } from '../../src/relay/worker-setup.ts';

const NEAR = Uint8Array.of(10, 0, 0, 1, 0x1b, 0xbc);
const FAR = Uint8Array.of(172, 16, 0, 1, 0x1b, 0xbc);

function core(maxFlows: number, allowTargets = ['10.0.0.0/8', '172.16.0.0/12']): RelayCore {
  return makeCore(
    {
      secret: 'a secret for tests', previousSecret: undefined, cluster: 0, routes: null, transceivers: null, allowTargets, maxFlows, idleTimeoutMs: 60_000, trunkMtu: 1472, gatherUs: 0,
      publicFamily: 4, sourceRate: DEFAULT_SOURCE_RATE, recovery: false, shared: makeShared(),
    },
    null,
    0,
  ).core;
}

/** Clients 203.0.113.n: 1 to 4, all of whom have been heard in that order but 2, who was heard again at the end. */
function before(): RelayCore {
  const relay = core(16);
  for (const n of [1, 2, 3, 4]) {
    const flow = relay.flows.obtain(Uint8Array.of(203, 0, 113, n), 0, 4, 5000 + n, n);
    relay.flows.setTarget(flow, n === 4 ? FAR : NEAR, 0, n > 2);
  }
  relay.flows.touch(relay.flows.find(Uint8Array.of(203, 0, 113, 2), 0, 4, 5002), 5);
  return relay;
}

function knows(relay: RelayCore): string[] {
  return [1, 2, 3, 4].flatMap((n) => {
    const flow = relay.flows.find(Uint8Array.of(203, 0, 113, n), 0, 4, 5000 + n);
    return flow < 0 ? [] : `${n}${relay.flows.isVerified(flow) ? ' vouched' : ''} ${relay.flows.targets[flow * 6]}`;
  });
}

test('the successor knows every flow, where it leads, and for which a transceiver has vouched', () => {
  const relay = core(16);
  takeFlows(relay, listFlows(before().flows), 0);
  assert.deepEqual(knows(relay), ['1 10', '2 10', '3 vouched 10', '4 vouched 172']);
});

test('a smaller table keeps what is vouched for, and of the rest what was used last', () => {
  const relay = core(3);
  takeFlows(relay, listFlows(before().flows), 0);
  assert.deepEqual(knows(relay), ['2 10', '3 vouched 10', '4 vouched 172']);
});

test('flows that lead outside of the networks that the successor allows are left out', () => {
  const relay = core(16, ['10.0.0.0/8']);
  takeFlows(relay, listFlows(before().flows), 0);
  assert.deepEqual(knows(relay), ['1 10', '2 10', '3 vouched 10']);
});
