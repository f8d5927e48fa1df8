import assert from 'node:assert/strict';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { activeSpans, babble, concat, silence } from '../support/audio.ts';
import { Chromium, heardAtLeast } from '../support/chromium.ts';
import { PROJECT } from '../support/paths.ts';
import { ReferenceServer } from '../support/reference-server.ts';
import { callingPage } from './calling-page.ts';
import { GlobalDeployment } from './global-deployment.ts';
import { Callers } from './relay-deployment.ts';

const CALLS = 12;
const TALKER = path.join(PROJECT, 'dist/test/e2e/eager-talker.js');
/** What a machine that runs these eight processes and the callers on two cores may add. */
const BUSY_MACHINE_MS = 400;

test('a browser talks through an ingress, a relay of a cluster elsewhere and a transceiver there', { timeout: 90_000 }, async () => {
  await using deployment = await GlobalDeployment.start('echo');
  await using pages = await ReferenceServer.start({ pages: { '/': callingPage(deployment.endpoint) } });
  await using chromium = await Chromium.launch({ microphone: concat(silence(1), babble(60, 5)) });
  const { page, watch } = await chromium.open(`${pages.url}/`);
  const heard = await heardAtLeast(page, 4);
  assert.ok(activeSpans(heard, { threshold: -45, gap: 0.1 }).length > 0);
  assert.deepEqual(watch.problems, []);
  const through = await Promise.all(deployment.relays.map((relay) => relay.metric('relayed_packets_total')));
  assert.ok(through[0] + through[1] > 100, 'the packets came over the trunk');
  assert.ok((await deployment.ingress[0].metric('forwarded_total{to="cluster"}')) > 100, 'the nearer ingress had the call');
});

test('a browser whose ingress dies goes on through the other one that it was told', { timeout: 120_000 }, async (context) => {
  await using deployment = await GlobalDeployment.start('echo');
  await using pages = await ReferenceServer.start({ pages: { '/': callingPage(deployment.endpoint) } });
  await using chromium = await Chromium.launch({ microphone: concat(silence(1), babble(90, 5)) });
  const { page, watch } = await chromium.open(`${pages.url}/`);
  await heardAtLeast(page, 2);
  const received = (): Promise<number> =>
    page.evaluate<number>(`connection.getStats().then((stats) =>
      [...stats.values()].find(({ type }) => type === 'inbound-rtp').packetsReceived)`);
  await deployment.ingress[0].kill();
  const killedAt = performance.now();
  const before = await received();
  while ((await received()) <= before + 10) await pause(20);
  context.diagnostic(`heard again ${(performance.now() - killedAt).toFixed(0)} ms after the ingress was killed`);
  assert.ok((await deployment.ingress[1].metric('forwarded_total{to="cluster"}')) > 0);
  assert.equal(await page.evaluate('connection.connectionState'), 'connected');
  await heardAtLeast(page, 4);
  assert.deepEqual(watch.problems, []);
});

test('relays and ingresses die one after the other, and every call goes on', { timeout: 120_000 }, async (context) => {
  await using deployment = await GlobalDeployment.start('echo');
  await deployment.pathsUp(0);
  await deployment.pathsUp(1);
  await using callers = await Callers.place(deployment.endpoint, CALLS);

  // One of the two paths: some of the calls are on it, some on the other.
  for (const relay of deployment.relays) assert.ok((await relay.metric('relayed_packets_total')) > 0, 'both paths carry calls');
  let killedAt = performance.now();
  await deployment.relays[0].kill();
  await callers.hear(killedAt + 1500);
  assertHeld(callers);
  const gaps = longestGaps(callers, killedAt);
  tell(context, 'a relay of the cluster dies', gaps);
  assert.ok(Math.max(...gaps) < 1000 + BUSY_MACHINE_MS, 'a dead path is left within a second');

  // It comes back, and the other one dies.
  await deployment.relays[0].start();
  await deployment.pathsUp(0);
  killedAt = performance.now();
  await deployment.relays[1].kill();
  await callers.hear(killedAt + 1500);
  assertHeld(callers);
  tell(context, 'the other one dies', longestGaps(callers, killedAt));
  assert.ok(Math.max(...longestGaps(callers, killedAt)) < 1000 + BUSY_MACHINE_MS);
  await deployment.relays[1].start();

  // The ingress: each caller's next check is not answered, and then it takes its other candidate.
  killedAt = performance.now();
  await deployment.ingress[0].kill();
  await callers.hear(killedAt + 500);
  assertHeld(callers);
  tell(context, 'the ingress dies', longestGaps(callers, killedAt));
  assert.ok((await deployment.ingress[1].metric('forwarded_total{to="cluster"}')) > 0, 'the second candidate has taken over');
});

test('an ingress that is killed and started again serves its calls again by the way back', { timeout: 90_000 }, async (context) => {
  await using deployment = await GlobalDeployment.start(TALKER);
  await deployment.pathsUp(0);
  // With a second candidate callers would be gone before it is back.
  const [host, port] = deployment.ingress[1].udp.split(':');
  const readAnswer = (answer: string): string => answer.split('\r\n').filter((line) => !line.includes(` ${host} ${port} typ host`)).join('\r\n');
  await using callers = await Callers.place(deployment.endpoint, CALLS, true, { readAnswer });
  await deployment.ingress[0].kill();
  await deployment.ingress[0].start();
  const upAt = performance.now();
  await callers.hear(upAt);
  assertHeld(callers);
  const gaps = callers.gaps(upAt);
  tell(context, 'after the ingress was ready again', gaps);
  const learned = await deployment.ingress[0].metric('flows_learned_total{from="way_back"}');
  assert.ok(learned > 0, 'no flow was learned on the way back');
});

function assertHeld(callers: Callers): void {
  assert.deepEqual(callers.lines.flatMap(({ ended }) => ended ?? []), [], 'no call may end');
}

/** For each call the longest time since shortly before `from` in which nothing was heard, ms. */
function longestGaps(callers: Callers, from: number): number[] {
  return callers.lines.map(({ heardAt }) => {
    const since = heardAt.filter((at) => at > from - 100);
    return Math.max(...since.slice(1).map((at, i) => at - since[i]));
  });
}

function tell(context: TestContext, what: string, gaps: readonly number[]): void {
  const sorted = gaps.toSorted((a, b) => a - b);
  context.diagnostic(`${what}: silent for ${sorted.map((gap) => gap.toFixed(0)).join(', ')} ms`);
}
