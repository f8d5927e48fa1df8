import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Callers, Deployment } from './relay-deployment.ts';

const CALLS = 50;
/** A frame per call every 20 ms, up and down again: so many before, between and after the restarts. */
const TALK_MS = 600;

test('two planned restarts of the relay, one of them while it drains, cost 50 calls not one packet', { timeout: 90_000 }, async (context) => {
  await using deployment = await Deployment.start({ agent: 'echo', handover: true });
  await using callers = await Callers.place(deployment.endpoint, CALLS);
  const since = performance.now();
  await pause(TALK_MS);

  const first = deployment.relay;
  assert.deepEqual(await deployment.replaceRelay(), { code: 0, signal: null });
  await pause(TALK_MS);

  const second = deployment.relay;
  const stopped = second.stop();
  assert.deepEqual(await deployment.replaceRelay(), { code: 0, signal: null });
  await stopped;
  await pause(TALK_MS);

  const { sent, lost } = await callers.fallSilent(since);
  const third = deployment.relay;
  for (const [, flows, heldMs] of [second, third].map(({ output }) => /"flows":(\d+),"heldMs":([\d.]+),"msg":"took over/.exec(output) ?? [])) {
    context.diagnostic(`${flows} flows handed over, packets waited ${Number(heldMs).toFixed(1)} ms`);
    assert.ok(Number(flows) >= CALLS);
  }
  context.diagnostic(`${lost} of ${sent} frames lost on the way to the agent and back`);
  assert.deepEqual(callers.lines.flatMap(({ ended }) => ended ?? []), [], 'no call may end');
  assert.equal(lost, 0);
  assert.equal(await deployment.relayMetric('dropped_total{reason="unknown-flow"}'), 0);
  assert.match(first.output, /handed over to a successor/);
});
