import assert from 'node:assert/strict';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LibdatachannelCaller } from '../support/libdatachannel-caller.ts';
import { PROJECT } from '../support/paths.ts';
import { RedisServer } from '../support/redis.ts';
import { percentile } from '../../bench/support/stats.ts';
import { AnsweringTrunk } from './answering-trunk.ts';
import { Callers, Deployment, ENVIRONMENT } from './relay-deployment.ts';

const CALLS = 50;
const TALKER = path.join(PROJECT, 'dist/test/e2e/relay-talker.js');

/**
 * Gaps are counted from the moment the new relay forwards. What is promised is told; what is asserted is more by what a
 * busy machine takes to run a test's own 50 callers: for the median call, and for the slowest.
 */
const BUSY_MACHINE_MS = { median: 200, slowest: 400 };

test('kill -9 of the relay, three times under 50 calls of libdatachannel: each way to recover is enough, and no call ends', { timeout: 120_000 }, async (context) => {
  await using redis = await RedisServer.start();
  using trunk = await AnsweringTrunk.open(ENVIRONMENT.EARSHOT_SECRET);
  await using deployment = await Deployment.start({ agent: TALKER, redis: redis.url, advertiseTrunk: trunk.address });
  trunk.standBefore(deployment.transceiverTrunk);
  await using callers = await Independent.place(deployment.endpoint, CALLS);
  const learned = (from: string): Promise<number> => deployment.relayMetric(`flows_learned_total{from="${from}"}`);
  const killed = async (what: string, promiseMs: number, whileDown = (): void => undefined): Promise<void> => {
    await deployment.killRelay();
    whileDown();
    const upAt = await deployment.startRelay();
    const gaps = await callers.gaps(upAt);
    assert.deepEqual(callers.ended, [], 'no call may end');
    assertGap(context, what, gaps, promiseMs);
    const ways = [await learned('recovery'), await learned('token'), await learned('way_back')];
    context.diagnostic(`${what}: flows learned ${ways[0]} from Redis, ${ways[1]} by token, ${ways[2]} on the way back`);
  };

  while ((await deployment.relayMetric('recovery_flows_total{result="written"}')) < CALLS) await pause(50);
  // Nothing comes from the transceiver, a report or a keep-alive, before the client it is for has been heard anew.
  await killed('only the callers talk, Redis', 100, () => trunk.hush());
  assert.equal(await learned('way_back'), 0);
  // The others happen to have checked meanwhile.
  assert.ok((await learned('recovery')) > CALLS / 2, 'flows came from Redis');
  trunk.unhush();

  await redis.kill();
  // Until a client checks again nobody knows its flow. libdatachannel does every few seconds.
  await killed('only the callers talk, no Redis', 5000);

  callers.listen();
  await callers.gaps(performance.now());
  await killed('only the agents talk, no Redis', 40);
  assert.ok((await learned('way_back')) > CALLS / 2, 'most flows came by the way back');
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
  assert.deepEqual(callers.lines.flatMap(({ ended }) => ended ?? []), [], 'no call may end');
  context.diagnostic(`${lost} of ${sent} frames lost`);
  assert.equal(lost, 0);
});

/** Calls of a stack that shares no line with this project. */
class Independent implements AsyncDisposable {
  readonly ended: string[] = [];
  readonly #calls: readonly LibdatachannelCaller[];

  private constructor(calls: readonly LibdatachannelCaller[]) {
    this.#calls = calls;
    for (const call of calls) void call.ended().then((why) => this.ended.push(why));
  }

  /** Resolves when every call has heard something. */
  static async place(endpoint: string, count: number): Promise<Independent> {
    const calls: LibdatachannelCaller[] = [];
    while (calls.length < count) calls.push(await LibdatachannelCaller.call({ endpoint, cheapSilence: true }));
    const placed = new Independent(calls);
    await placed.gaps(0);
    return placed;
  }

  /** The callers fall silent and have their agents talk. */
  listen(): void {
    for (const call of this.#calls) {
      call.muted = true;
      call.sendEvent({ type: 'response.create' });
    }
  }

  /** For each call: milliseconds from `upAt` until it heard something again, once all have. */
  gaps(upAt: number): Promise<number[]> {
    return Promise.all(
      this.#calls.map(async (call) => {
        const ended = call.ended();
        await Promise.race([ended, call.hears((heard) => (heard.at(-1)?.at ?? 0) > upAt)]);
        return (call.heard.find(({ at }) => at > upAt)?.at ?? Number.POSITIVE_INFINITY) - upAt;
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#calls.map((call) => call.close()));
  }
}

function assertGap(context: TestContext, what: string, gaps: readonly number[], promiseMs: number): void {
  const sorted = gaps.toSorted((a, b) => a - b);
  const [median, slowest] = [percentile(sorted, 50), sorted[sorted.length - 1]];
  const kept = `${gaps.filter((gap) => gap <= promiseMs).length} of ${gaps.length} calls within the ${promiseMs} ms promised`;
  context.diagnostic(`${what}: gap after the restart median ${median.toFixed(0)} ms, slowest ${slowest.toFixed(0)} ms; ${kept}`);
  assert.ok(median <= promiseMs + BUSY_MACHINE_MS.median, `the median call was silent for ${median} ms, ${promiseMs} ms are promised`);
  assert.ok(slowest <= promiseMs + BUSY_MACHINE_MS.slowest, `a call was silent for ${slowest} ms`);
}
