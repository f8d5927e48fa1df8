import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Callers, Deployment } from './relay-deployment.ts';

const CALLS = 20;

test('instant calls: those of a transceiver that drains go to the next, and kill -9 of the relay ends none', { timeout: 120_000 }, async (context) => {
  await using a = await Deployment.start({ agent: 'echo' });
  await using b = await Deployment.start({ agent: 'echo', transceivers: [a.transceiverTrunk] });
  const instant = `${b.endpoint}?instant`;
  // What keeps it there while it drains.
  await using held = await Callers.place(a.endpoint, 1);
  await a.drainTransceiver();
  await using callers = await Callers.place(instant, CALLS);
  assert.equal(await b.transceiverMetric('earshot_calls_started_total'), CALLS);
  const handedBack = await b.relayMetric('tickets_routed_total{by="hand_back"}');
  assert.ok(handedBack > 0, 'the hash gives half of them to the other one');
  assert.equal(await b.relayMetric('tickets_routed_total{by="hash"}'), CALLS);

  await b.killRelay();
  const upAt = await b.startRelay();
  await callers.hear(upAt);
  assert.deepEqual(callers.lines.flatMap(({ ended }) => ended ?? []), [], 'no call may end');
  await using late = await Callers.place(instant, 2);
  const since = performance.now();
  await Promise.all([late.hear(since), callers.hear(since), held.hear(since)]);
  assert.equal(await b.transceiverMetric('earshot_calls_started_total'), CALLS + 2);
  // The relay's workers tell once a second.
  while ((await b.relayMetric('transceiver_workers{condition="full"}')) !== 1) await pause(50);
  context.diagnostic(`${handedBack} of ${CALLS} tickets were handed back; heard again ${Math.round(Math.max(...callers.gaps(upAt)))} ms after the restart at the latest`);
});
