import assert from 'node:assert/strict';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { Caller } from '../../bench/call-parts/caller.ts';
import { PROJECT } from '../support/paths.ts';
import { startGateway } from './gateway-process.ts';
import { Callers, Deployment, ENVIRONMENT } from './relay-deployment.ts';

const AGENT = path.join(PROJECT, 'dist/test/e2e/rolling-agent.js');
const CALLS_EACH = 25;

/**
 *                 ┌─► cluster a: transceiver, relay      25 calls from before the update
 * gateway ────────┤
 *                 └─► cluster b: transceiver, relay      25 calls from while a drains
 */
test('every transceiver and relay is replaced under 50 calls: new ones go elsewhere, none ends, not a packet is lost', { timeout: 120_000 }, async (context) => {
  await using a = await Deployment.start({ agent: AGENT, handover: true, cluster: 1 });
  await using b = await Deployment.start({ agent: AGENT, handover: true, cluster: 2 });
  const clusters = [a, b].map(({ signaling, udp }, i) => ({ id: i + 1, name: 'ab'[i], signaling, udp }));
  await using gateway = await startGateway(clusters, ENVIRONMENT);
  await using early = await Callers.place(gateway.endpoint, CALLS_EACH);
  const earlySince = performance.now();
  assert.equal(await a.transceiverMetric('earshot_calls_started_total'), CALLS_EACH);

  const { exited: aEnds } = await a.drainTransceiver();
  const refused = await fetch(a.endpoint, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: 'v=0' });
  assert.equal(refused.status, 503);
  assert.match(await refused.text(), /takes no new calls/);
  await using late = await Callers.place(gateway.endpoint, CALLS_EACH);
  const lateSince = performance.now();
  assert.equal(await b.transceiverMetric('earshot_calls_started_total'), CALLS_EACH);
  await replaceRelay(a);
  await endsWell(context, 'a', early, earlySince, aEnds);
  assert.equal(told(a), CALLS_EACH);
  await a.startTransceiver();

  const { exited: bEnds } = await b.drainTransceiver();
  const latest = await Caller.place(gateway.endpoint);
  await latest.connected;
  assert.equal(await a.transceiverMetric('earshot_calls_started_total'), 1);
  await latest.close();
  await replaceRelay(b);
  await endsWell(context, 'b', late, lateSince, bEnds);
  assert.equal(told(b), CALLS_EACH);
  await b.startTransceiver();
});

async function replaceRelay(cluster: Deployment): Promise<void> {
  assert.deepEqual(await cluster.replaceRelay(), { code: 0, signal: null });
}

/** The calls of a draining transceiver end one after the other, and it with the last one. */
async function endsWell(context: TestContext, name: string, callers: Callers, since: number, transceiverEnds: Promise<unknown>): Promise<void> {
  const { sent, lost } = await callers.fallSilent(since);
  context.diagnostic(`cluster ${name}: ${lost} of ${sent} frames lost`);
  assert.deepEqual(callers.lines.flatMap(({ ended }) => ended ?? []), [], 'no call may end');
  assert.equal(lost, 0);
  await callers[Symbol.asyncDispose]();
  assert.deepEqual(await transceiverEnds, { code: 0, signal: null });
}

function told({ transceiver }: Deployment): number {
  return transceiver.output.split('agent told: ').length - 1;
}
