import assert from 'node:assert/strict';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { LibdatachannelCaller } from '../support/libdatachannel-caller.ts';
import { PROJECT } from '../support/paths.ts';
import { RedisServer } from '../support/redis.ts';
import { percentile } from '../../bench/support/stats.ts';
import { Callers, Deployment, pause } from './relay-deployment.ts';

const CALLS = 50;
const INDEPENDENT_CALLS = 4;
const TALKER = path.join(PROJECT, 'dist/test/e2e/relay-talker.js');

/**
 * Gaps are counted from the moment the new relay forwards. The promise is asserted for the median call; the slowest may
 * take longer by what a busy machine takes to run a test's own 50 callers.
 */
const BUSY_MACHINE_MS = 400;

test('kill -9 while the agents talk, without Redis: the way back carries on within two frames', { timeout: 90_000 }, async (context) => {
  await using deployment = await Deployment.start({ agent: TALKER });
  await using callers = await Callers.place(deployment.endpoint, CALLS, true);
  await deployment.killRelay();
  const upAt = await deployment.startRelay();
  await callers.hear(upAt);
  assertHeld(callers);
  assertGap(context, callers.gaps(upAt), 40);
  const byWayBack = await deployment.relayMetric('flows_learned_total{from="way_back"}');
  assert.ok(byWayBack > CALLS / 2, `only ${byWayBack} flows were learned on the way back`);
});

test('kill -9 while only the callers talk, with Redis: they are heard again within 100 ms', { timeout: 90_000 }, async (context) => {
  await using redis = await RedisServer.start();
  await using deployment = await Deployment.start({ agent: 'echo', redis: redis.url });
  await using callers = await Callers.place(deployment.endpoint, CALLS);
  while ((await deployment.relayMetric('recovery_flows_total{result="written"}')) < CALLS) await pause(50);
  await deployment.killRelay();
  const upAt = await deployment.startRelay();
  await callers.hear(upAt);
  assertHeld(callers);
  assertGap(context, callers.gaps(upAt), 100);
  const learned = async (from: string): Promise<number> => deployment.relayMetric(`flows_learned_total{from="${from}"}`);
  const byRedis = await learned('recovery');
  context.diagnostic(`flows learned: ${byRedis} from Redis, ${await learned('token')} by token, ${await learned('way_back')} on the way back`);
  assert.ok(byRedis > CALLS / 2, 'most flows came from Redis');
});

test('kill -9 while only the callers talk, with a Redis that is gone: each next STUN check heals its call', { timeout: 90_000 }, async (context) => {
  await using redis = await RedisServer.start();
  await using deployment = await Deployment.start({ agent: 'echo', redis: redis.url });
  await using callers = await Callers.place(deployment.endpoint, CALLS);
  const others = await Promise.all(Array.from({ length: INDEPENDENT_CALLS }, () => LibdatachannelCaller.call({ endpoint: deployment.endpoint })));
  try {
    await Promise.all(others.map((other) => other.hears((heard) => heard.length > 10)));
    await redis.kill();
    await deployment.killRelay();
    const upAt = await deployment.startRelay();
    await callers.hear(upAt);
    assertHeld(callers);
    // The client core of this project checks every 2.5 to 5 s.
    assertGap(context, callers.gaps(upAt), 5000);
    await Promise.all(others.map((other) => other.hears((heard) => (heard.at(-1)?.at ?? 0) > upAt)));
    const gaps = others.map(({ heard }) => (heard.find(({ at }) => at > upAt)?.at ?? Number.POSITIVE_INFINITY) - upAt);
    context.diagnostic(`libdatachannel: heard again after ${gaps.map((gap) => gap.toFixed(0)).join(', ')} ms`);
  } finally {
    await Promise.all(others.map((other) => other.close()));
  }
});

test('a Redis that freezes, dies and comes back empty costs the calls not one frame', { timeout: 90_000 }, async (context) => {
  await using redis = await RedisServer.start();
  await using deployment = await Deployment.start({ agent: 'echo', redis: redis.url });
  await using callers = await Callers.place(deployment.endpoint, CALLS / 2);
  const since = performance.now();
  redis.freeze();
  await pause(1500);
  redis.thaw();
  await redis.kill();
  await pause(500);
  await redis.start();
  await pause(1000);
  const { sent, lost } = await callers.fallSilent(since);
  assertHeld(callers);
  context.diagnostic(`${lost} of ${sent} frames lost`);
  assert.equal(lost, 0);
});

function assertHeld(callers: Callers): void {
  assert.deepEqual(callers.lines.flatMap(({ ended }) => ended ?? []), [], 'no call may end');
}

function assertGap(context: TestContext, gaps: readonly number[], promiseMs: number): void {
  const sorted = gaps.toSorted((a, b) => a - b);
  const [median, slowest] = [percentile(sorted, 50), sorted[sorted.length - 1]];
  context.diagnostic(`gap after the restart, ${gaps.length} calls: median ${median.toFixed(0)} ms, slowest ${slowest.toFixed(0)} ms`);
  assert.ok(median <= promiseMs, `the median call was silent for ${median} ms, ${promiseMs} ms are promised`);
  assert.ok(slowest <= promiseMs + BUSY_MACHINE_MS, `a call was silent for ${slowest} ms`);
}
