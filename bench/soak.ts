import { setTimeout as pause } from 'node:timers/promises';
import { Deployment } from '../test/e2e/relay-deployment.ts';
import { RedisServer } from '../test/support/redis.ts';
import { Caller } from './call-parts/caller.ts';
import { commandLine } from './support/arguments.ts';
import { finish, goal, printTable } from './support/report.ts';
import { seededRandom } from '../test/support/random.ts';

/**
 * `npm run soak -- --minutes N`: calls come and go through a relay that is killed at random, as is Redis. Every call
 * echoes a frame each 20 ms; every second one begins with an answer that was given ahead. Says how many calls were held, what was lost, and what the transceiver's process has
 * gained once all calls are over. Frames are lost while there is no relay, and after it until a flow is found again:
 * at once with Redis, at the client's next STUN check when Redis has lost all shortly before. The same seed gives the same order of events, not the same moments.
 */
const values = commandLine({
  minutes: { type: 'string', default: '10' },
  calls: { type: 'string', default: '20' },
  seed: { type: 'string', default: '1' },
  quick: { type: 'boolean', default: false },
  out: { type: 'string' },
});
const SECONDS = values.quick ? 30 : Number(values.minutes) * 60;
const CALLS = Number(values.calls);
const FRAME_MS = 20;
/** A call lasts this long, s. */
const CALL_SECONDS = [3, 40] as const;
/** Something is killed this often, s. */
const KILL_SECONDS = [4, 12] as const;
const CONNECT_LIMIT_MS = 15_000;
const WARM_UP_MS = 5000;
/** What a heap that nobody collected may have gained. */
const HEAP_SLACK_MIB = 48;

const random = seededRandom(Number(values.seed));
const between = ([low, high]: readonly [number, number]): number => (low + random() * (high - low)) * 1000;
const counts = { placed: 0, askedAhead: 0, held: 0, lost: 0, notConnected: 0, relayKills: 0, redisKills: 0, redisFreezes: 0, relayAwayMs: 0, framesSent: 0, framesLost: 0 };
const calls = new Set<Caller>();
/** Those among them that are up and send a frame each tick. */
const talking = new Set<Caller>();

await using redis = await RedisServer.start();
await using deployment = await Deployment.start({ agent: 'echo', redis: redis.url, transceivers: [] });
const clock = setInterval(tick, FRAME_MS);
const warmUp = [call(2000), call(2000), call(2000)];
await pause(WARM_UP_MS);
await Promise.all(warmUp);
const before = await footprint();

const endsAt = performance.now() + SECONDS * 1000;
await Promise.all([traffic(), trouble()]);
clearInterval(clock);
// What is left of ended calls goes within the time that late packets are waited for.
await pause(3000);
const after = await footprint();

printTable([
  ['', 'before', 'after'],
  ...(['heapMiB', 'residentMiB', 'handles', 'files'] as const).map((name) => [name, before[name].toFixed(1), after[name].toFixed(1)]),
]);
console.log('');
printTable([['', 'count'], ...Object.entries(counts).map(([name, value]) => [name, String(value)])]);
console.log('');
finish('soak', { seconds: SECONDS, seed: Number(values.seed), counts, before, after }, [
  goal('calls lost', counts.lost + counts.notConnected, '', 0, 'at most'),
  goal('heap gained', after.heapMiB - before.heapMiB, 'MiB', HEAP_SLACK_MIB, 'at most'),
  goal('handles gained', after.handles - before.handles, '', 0, 'at most'),
  goal('files gained', after.files - before.files, '', 0, 'at most'),
], { out: values.out ?? null });

/** Keeps the number of calls up until the end, then waits for the last ones. */
async function traffic(): Promise<void> {
  const running = new Set<Promise<void>>();
  while (performance.now() < endsAt) {
    while (running.size < CALLS) {
      const one: Promise<void> = call(Math.min(between(CALL_SECONDS), endsAt - performance.now())).finally(() => running.delete(one));
      running.add(one);
    }
    await pause(100);
  }
  await Promise.all(running);
}

/** Kills one thing after the other; all of it runs again at the end. */
async function trouble(): Promise<void> {
  for (;;) {
    const wait = between(KILL_SECONDS);
    if (performance.now() + wait > endsAt) return;
    await pause(wait);
    const choice = random();
    if (choice < 0.6) {
      counts.relayKills++;
      const killedAt = performance.now();
      await deployment.killRelay();
      counts.relayAwayMs += Math.round((await deployment.startRelay()) - killedAt);
    } else if (choice < 0.8) {
      counts.redisKills++;
      await redis.kill();
      await pause(between([0.1, 3]));
      await redis.start();
    } else {
      counts.redisFreezes++;
      redis.freeze();
      await pause(between([0.1, 5]));
      redis.thaw();
    }
  }
}

/** One call, from the offer to our hanging up. */
async function call(milliseconds: number): Promise<void> {
  counts.placed++;
  const isAhead = counts.placed % 2 === 0;
  if (isAhead) counts.askedAhead++;
  const caller = await Caller.place(isAhead ? `${deployment.endpoint}?instant` : deployment.endpoint);
  let ended: string | null = null;
  caller.onEnded = (reason) => (ended = reason);
  calls.add(caller);
  const limit = pause(CONNECT_LIMIT_MS).then(() => 'late');
  const outcome = await Promise.race([caller.connected.then(() => 'connected', (error: unknown) => String(error)), limit]);
  if (outcome === 'connected') {
    caller.figures.restart(performance.now());
    talking.add(caller);
    await pause(milliseconds);
    if (ended === null) counts.held++;
    else {
      counts.lost++;
      console.log(`a call was lost: ${String(ended)}`);
    }
  } else {
    counts.notConnected++;
    console.log(`a call did not come up: ${outcome}`);
  }
  calls.delete(caller);
  talking.delete(caller);
  await pause(200);
  counts.framesSent += caller.figures.sent;
  counts.framesLost += caller.figures.sent - caller.figures.roundTrips.length;
  await caller.close();
}

function tick(): void {
  const now = performance.now();
  for (const caller of calls) {
    if (talking.has(caller)) caller.sendFrame(now);
    caller.tick(now);
  }
}

/** Of the transceiver's process. TCP connections are left out: they are ours, kept alive for the next offer. */
async function footprint(): Promise<Record<'heapMiB' | 'residentMiB' | 'handles' | 'files', number>> {
  const [heap, resident, handles, connections, files] = await Promise.all(
    [
      'nodejs_heap_size_used_bytes',
      'process_resident_memory_bytes',
      'nodejs_active_handles_total',
      'nodejs_active_handles{type="Socket"}',
      'process_open_fds',
    ].map((series) => deployment.transceiverMetric(series)),
  );
  return { heapMiB: heap / 2 ** 20, residentMiB: resident / 2 ** 20, handles: handles - connections, files: files - connections };
}
