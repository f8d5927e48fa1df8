import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type CallFigures, figuresOf, heardSince, type LabCall, longestGap, rtpOf, Switchboard, type Way } from './lab-parts/calls.ts';
import { drawMap } from './lab-parts/map.ts';
import { CALLERS, type CallerPlace, type PlaceName, PLACES } from './lab-parts/places.ts';
import { World } from './lab-parts/world.ts';
import { formatAddress } from '../src/wire/address.ts';
import { commandLine } from './support/arguments.ts';
import { finish, goal, printTable } from './support/report.ts';
import { figure } from './support/stats.ts';
import { seededRandom } from '../test/support/random.ts';

/**
 * `npm run lab`: three clusters, four global relays, gateways and Redis on this machine, joined by links with the
 * delays, jitter and loss of published measurements (lab-parts/places.ts). Calls from six places, each with the global
 * relays and without them; then an ingress, a path of the trunk and a cluster fail.
 *
 *   --quick       fewer calls, for a shorter time                --seed N     of what is lost and delayed
 *   --svg FILE    the result as a map                            --out FILE   the JSON
 */
const values = commandLine({ quick: { type: 'boolean', default: false }, seed: { type: 'string', default: '1' }, svg: { type: 'string' }, out: { type: 'string' } });
/** Calls from each place each way. */
const CALLS = values.quick ? 2 : 4;
const SECONDS = values.quick ? 6 : 20;
/** Calls under which something fails, from each place that it concerns. */
const CALLS_AT_RISK = values.quick ? 3 : 6;
const WAYS: readonly Way[] = ['cluster', 'global'];

interface Row extends CallFigures {
  readonly from: CallerPlace;
  readonly way: Way;
  readonly cluster: string;
  /** The relay that the first of its calls is on. */
  readonly ingress: PlaceName | null;
  /** Calls that are on another. */
  readonly strays: number;
  readonly setupMs: number;
  /** Share of the datagrams that the link loses. */
  readonly setLoss: number;
}

interface NewCall {
  readonly cluster: string;
  readonly told: PlaceName | null;
  readonly used: PlaceName | null;
  readonly setupMs: number;
}

interface Event {
  readonly what: string;
  /** Calls that were up, of those that it concerned. */
  readonly calls: number;
  readonly held: number;
  /** Median and longest silence of these calls, ms. */
  readonly silentMs: { readonly median: number; readonly max: number };
  /** Calls placed at once and two seconds later: where they landed, through whom, and after how long; null for none. */
  readonly newCalls: readonly (NewCall | null)[];
}

const startedAt = performance.now();
await using world = await World.start(seededRandom(Number(values.seed)));
const board = new Switchboard();
console.log(`14 processes up after ${((performance.now() - startedAt) / 1000).toFixed(0)} s\n`);

const rows = await compare();
const events = [await loseIngress(), await losePath(), await loseCluster()];
await board.close();

for (const { what, calls, held, silentMs, newCalls } of events) {
  console.log(`${what}: ${held} of ${calls} calls held; silent for ${silentMs.median.toFixed(0)} ms (median), ${silentMs.max.toFixed(0)} ms (longest)`);
  for (const [i, call] of newCalls.entries()) {
    const when = i === 0 ? 'a new call at once' : 'one two seconds later';
    if (call) console.log(`  ${when} lands in ${call.cluster} after ${call.setupMs.toFixed(0)} ms, is told ${call.told ?? '?'} first and uses ${call.used ?? '?'}`);
  }
}
console.log('');
if (values.svg !== undefined) writeFileSync(values.svg, map());
const newCalls = events.flatMap((event) => event.newCalls);
const gains = CALLERS.map((from) => rowOf(from, 'cluster').roundTripMs - rowOf(from, 'global').roundTripMs);
finish('lab', { seed: Number(values.seed), seconds: (performance.now() - startedAt) / 1000, rows, events }, [
  goal('places whose round trip is longer with the global relay, by more than 5 ms', gains.filter((gain) => gain < -5).length, '', 0, 'at most'),
  goal('calls lost with an ingress or a path', events[0].calls - events[0].held + events[1].calls - events[1].held, '', 0, 'at most'),
  goal('silence after the loss of a path', events[1].silentMs.max, 'ms', 1000, 'at most'),
  goal('silence after the loss of an ingress', events[0].silentMs.max, 'ms', 2000, 'at most'),
  goal('new calls while something is down', newCalls.filter((call) => call !== null).length, '', newCalls.length, 'at least'),
  goal('share of RTP packets lost, most that it is off what the links are set to', Math.max(...rows.map(({ loss, setLoss }) => Math.abs(loss - setLoss))) * 100, '%', 1, 'at most'),
  goal('time of the whole run', (performance.now() - startedAt) / 1000, 's', 360, 'at most'),
], { out: values.out ?? null });

/** Calls from each place both ways, at the same time. */
async function compare(): Promise<Row[]> {
  const calls: LabCall[] = [];
  for (let i = 0; i < CALLS; i++) {
    // Each call that is up makes the machine slower: neither way has always the later ones.
    for (const way of i % 2 === 0 ? WAYS : WAYS.toReversed()) calls.push(...(await Promise.all(CALLERS.map((from) => board.place(world, from, way)))));
  }
  await pause(1000);
  const from = performance.now();
  const rtpBefore = new Map(calls.map((call) => [call, rtpOf(call)]));
  await pause(SECONDS * 1000);
  const to = performance.now();
  const rtpAfter = new Map(calls.map((call) => [call, rtpOf(call)]));
  await pause(1000);
  const result = CALLERS.flatMap((place) =>
    WAYS.map((way): Row => {
      const own = calls.filter((call) => call.from === place && call.way === way);
      const figures = own.map((call) => figuresOf(call, from, to));
      const median = (of: (figures: Omit<CallFigures, 'loss'>) => number): number => figure(figures.map(of)).median;
      const counted = (what: 'expected' | 'lost'): number => own.reduce((sum, call) => sum + rtpAfter.get(call)![what] - rtpBefore.get(call)![what], 0);
      const used = own.map(relayOf);
      return {
        from: place,
        way,
        cluster: own[0].cluster,
        ingress: used[0],
        strays: used.filter((relay) => relay !== used[0]).length,
        setupMs: figure(own.map(({ setupMs }) => setupMs)).median,
        roundTripMs: median(({ roundTripMs }) => roundTripMs),
        jitterMs: median(({ jitterMs }) => jitterMs),
        loss: counted('lost') / counted('expected'),
        setLoss: used[0] === null ? Number.NaN : world.lossBetween(place, used[0]),
        missing: figures.reduce((sum, { missing }) => sum + missing, 0) / figures.length,
      };
    }),
  );
  await board.hangUp(calls);
  printTable([
    ['caller', 'cluster', 'way', 'relay', 'set-up ms', 'round trip ms', 'jitter ms', 'lost % (set)', 'missing %'],
    ...result.map(({ from: place, cluster, way, ingress, strays, setupMs, roundTripMs, jitterMs, loss, setLoss, missing }) => [
      PLACES[place].title, cluster, way === 'global' ? 'global relay' : 'public internet', `${ingress ?? '?'}${strays > 0 ? ` (${strays} on another)` : ''}`,
      setupMs.toFixed(0), roundTripMs.toFixed(0), jitterMs.toFixed(1), `${(loss * 100).toFixed(2)} (${(setLoss * 100).toFixed(2)})`, (missing * 100).toFixed(2),
    ]),
  ]);
  console.log(`medians of ${CALLS} calls over ${SECONDS} s; lost: RTP packets on the way to the caller; missing: frames that never came back, after retransmission\n`);
  return result;
}

/** The global relay of São Paulo dies under its calls and comes back later. */
async function loseIngress(): Promise<Event> {
  const calls = await placeAll('saopaulo');
  const at = performance.now();
  await world.kill('relay saopaulo');
  const newOnes = await placedTwice('saopaulo', at);
  await heardSince(calls, at + 500, 15_000);
  const event = describe('the global relay of São Paulo is killed', calls, at, newOnes);
  await world.restart('relay saopaulo');
  return event;
}

/** One of the two paths from Sydney's global relay to its cluster goes dark, then the other one instead. */
async function losePath(): Promise<Event> {
  const calls = await placeAll('sydney');
  // The paths of a relay are known after a few probes.
  await pause(2000);
  let longest: Event | null = null;
  for (const trunkPath of [0, 1]) {
    const at = performance.now();
    world.cutTrunk('sydney', 'singapore', trunkPath, true);
    const newOnes = await placedTwice('sydney', at);
    await heardSince(calls, performance.now(), 5000);
    const event = describe('a trunk path from Sydney to Singapore goes dark', calls, at, newOnes);
    if (longest === null || event.silentMs.max > longest.silentMs.max) longest = event;
    world.cutTrunk('sydney', 'singapore', trunkPath, false);
    await pause(2500);
  }
  await board.hangUp(calls);
  return longest!;
}

/** All of Virginia dies: calls elsewhere do not notice, and new ones land elsewhere. */
async function loseCluster(): Promise<Event> {
  const calls = [...(await placeAll('tokyo')), ...(await placeAll('dublin'))];
  const at = performance.now();
  await Promise.all([world.kill('relay virginia'), world.kill('transceiver virginia')]);
  const newOnes = await placedTwice('california', at);
  await heardSince(calls, performance.now(), 5000);
  return describe('the cluster Virginia is killed; calls of other clusters', calls, at, newOnes);
}

async function placeAll(from: CallerPlace): Promise<LabCall[]> {
  const calls = await Promise.all(Array.from({ length: CALLS_AT_RISK }, () => board.place(world, from, 'global')));
  await heardSince(calls, performance.now() + 500, 5000);
  return calls;
}

/** A call at once, and another when the gateways have had the time to notice. */
async function placedTwice(from: CallerPlace, at: number): Promise<(NewCall | null)[]> {
  const first = await placed(from);
  await pause(Math.max(0, at + 2000 - performance.now()));
  return [first, await placed(from)];
}

async function placed(from: CallerPlace): Promise<NewCall | null> {
  try {
    const call = await board.place(world, from, 'global');
    await heardSince([call], performance.now(), 5000);
    return { cluster: call.cluster, told: call.told, used: relayOf(call), setupMs: call.setupMs };
  } catch (error) {
    console.log(`no new call from ${from}: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

/** The relay that a call sends to now. */
function relayOf({ from, caller: { selected } }: LabCall): PlaceName | null {
  return selected && world.relayBehind(from, formatAddress(selected));
}

function describe(what: string, calls: readonly LabCall[], from: number, newOnes: readonly (NewCall | null)[]): Event {
  const { median, max } = figure(calls.map((call) => longestGap(call, from, performance.now())));
  const held = calls.filter(({ ended }) => ended === null).length;
  return { what, calls: calls.length, held, silentMs: { median, max }, newCalls: newOnes };
}

function rowOf(from: CallerPlace, way: Way): Row {
  return rows.find((row) => row.from === from && row.way === way)!;
}

function map(): string {
  const line = ({ roundTripMs, jitterMs }: Row): string => `round trip ${roundTripMs.toFixed(0)} ms, jitter ${jitterMs.toFixed(0)} ms`;
  const entries = CALLERS.map((from) => {
    const [without, by] = [rowOf(from, 'cluster'), rowOf(from, 'global')];
    return { from, ingress: by.ingress, cluster: by.cluster, text: [`with: ${line(by)}`, `without: ${line(without)}`] };
  });
  return drawMap(entries, 'Earshot lab: calls with and without global relays');
}
