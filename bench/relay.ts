import { hostile } from './relay-parts/hostile.ts';
import type { LoadResult } from './relay-parts/load.ts';
import { type FlowFigures, manyFlows } from './relay-parts/many-flows.ts';
import { generate, type Part, startGoRelay, startPart, startRelayProcess, SECRET, ufragFor } from './relay-parts/processes.ts';
import { type BenchArguments, benchArguments, finish, type Goal, goal, printTable } from './support/report.ts';
import { type Figure, figure, formatFigure } from './support/stats.ts';

/**
 * What a forwarded packet costs, engine by engine: load generator → relay → echoing transceiver → relay → generator,
 * each in its own process, on loopback. Engines take turns within each round. One echoed packet is two forwarded ones.
 * `go` is a relay in Go's standard library (bench/peers/go-relay), which has no batched system calls: what is compared
 * is what a careful author gets there, not the language.
 *
 * `--rates`, `--latency`, `--flows` do that part only; `--hostile` is a bench of its own, see relay-parts/hostile.ts.
 *
 * `mmsg` lets no packet wait; `mmsg, gathering` is the relay as it is by default, see src/relay/gathering.ts.
 *
 * On loopback a sender's thread does the receiver's part of the kernel's work too, so figures compare with each other
 * on one machine, not with those of other machines.
 */
type Engine = 'mmsg' | 'mmsg, gathering' | 'dgram' | 'go';

interface Row {
  readonly engine: Engine;
  /** Packets a second each way. */
  readonly rate: number;
  readonly cpuMicros: Figure;
  readonly p50Micros: Figure;
  readonly p99Micros: Figure;
  readonly p999Micros: Figure;
  readonly lossPercent: Figure;
}

/** What a relay adds to a round trip, compared with no relay at all. */
interface Added {
  readonly engine: Engine;
  readonly rate: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly p999Micros: number;
}

interface Peer extends Part {
  readonly engine: Engine;
}

const CLIENTS = 500;
const MAX_LOSS_PERCENT = 0.1;
const LATENCY_ROUNDS = 3;
/** Where the search for the maximum rate starts. */
const LOWEST_RATE = 30_000;

async function main(args: BenchArguments): Promise<void> {
  const isPart = args.switches.size > 0;
  const does = (part: 'rates' | 'latency' | 'flows'): boolean => (isPart ? args.switches.has(part) : part === 'rates' || !args.quick);
  const rates = args.quick ? [40_000] : [10_000, 20_000, 40_000, 60_000];
  const repeats = args.quick ? 3 : 5;
  const seconds = args.quick ? 0.8 : 2;
  const transceiver = await startPart('echo-transceiver', SECRET);
  const ufrag = ufragFor(transceiver.address);
  const relays: Peer[] = [];
  try {
    relays.push({ engine: 'mmsg', ...(await startRelayProcess({ engine: 'mmsg', gatherUs: 0 })) });
    relays.push({ engine: 'mmsg, gathering', ...(await startRelayProcess({ engine: 'mmsg' })) });
    relays.push({ engine: 'dgram', ...(await startRelayProcess({ engine: 'dgram' })) });
    const go = await startGoRelay();
    if ('reason' in go) console.log(go.reason);
    else relays.push({ engine: 'go', ...go });
    const load = (relay: Peer, rate: number, duration: number): Promise<LoadResult> =>
      generate({ relay: relay.address, relayPid: relay.process.pid ?? 0, ufrag, clients: CLIENTS, rate, seconds: duration });

    const rows: Row[] = [];
    for (const rate of does('rates') ? rates : []) {
      const results = new Map<Engine, LoadResult[]>(relays.map(({ engine }) => [engine, []]));
      for (let round = 0; round < repeats; round++) {
        for (const relay of relays) results.get(relay.engine)?.push(await load(relay, rate, seconds));
      }
      for (const [engine, list] of results) rows.push(summarise(engine, rate, list));
    }
    const raced = args.quick || !does('rates') ? relays.filter(({ engine }) => engine === 'mmsg, gathering' || engine === 'go') : relays;
    const maxRates = await findMaxRates(does('rates') || does('latency') ? raced : [], args.quick ? 1 : 3, args.quick ? 1.5 : 1.25, (relay, rate) =>
      load(relay, rate, args.quick ? 0.4 : 1.5),
    );
    const added = does('latency') ? await addedLatency(relays, maxRates, load, args.quick ? 1 : 2) : [];
    for (const { process: child } of relays) child.kill();
    const flows = does('flows') ? await manyFlows(transceiver.address, args.quick ? 1 : 3) : null;
    report({ rows, maxRates, added, flows }, args);
  } finally {
    for (const { process: child } of [transceiver, ...relays]) child.kill();
  }
}

/** Round trips through each relay, less those straight to an echo, at a quarter and three quarters of what Go carries. */
async function addedLatency(
  relays: readonly Peer[],
  maxRates: ReadonlyMap<Engine, Figure>,
  load: (relay: Peer, rate: number, seconds: number) => Promise<LoadResult>,
  seconds: number,
): Promise<Added[]> {
  const direct = await startPart('echo-transceiver', 'direct');
  const max = (maxRates.get('go') ?? maxRates.get('mmsg'))?.median ?? LOWEST_RATE;
  const added: Added[] = [];
  try {
    for (const rate of [max / 4, (max * 3) / 4].map(Math.round)) {
      const without: LoadResult[] = [];
      const results = new Map<Engine, LoadResult[]>(relays.map(({ engine }) => [engine, []]));
      for (let round = 0; round < LATENCY_ROUNDS; round++) {
        without.push(await generate({ relay: direct.address, relayPid: direct.process.pid ?? 0, ufrag: null, clients: CLIENTS, rate, seconds }));
        for (const relay of relays) results.get(relay.engine)?.push(await load(relay, rate, seconds));
      }
      for (const [engine, list] of results) {
        const of = (value: (result: LoadResult) => number): number => figure(list.map(value)).median - figure(without.map(value)).median;
        added.push({ engine, rate, p50Micros: of(({ p50 }) => p50), p99Micros: of(({ p99 }) => p99), p999Micros: of(({ p999 }) => p999) });
      }
    }
  } finally {
    direct.process.kill();
  }
  return added;
}

function summarise(engine: Engine, rate: number, results: readonly LoadResult[]): Row {
  const of = (value: (result: LoadResult) => number): Figure => figure(results.map(value));
  return {
    engine,
    rate,
    cpuMicros: of(({ relayCpu, received }) => (relayCpu * 1e6) / (2 * received)),
    p50Micros: of(({ p50 }) => p50),
    p99Micros: of(({ p99 }) => p99),
    p999Micros: of(({ p999 }) => p999),
    lossPercent: of(lossPercent),
  };
}

function lossPercent({ sent, received }: LoadResult): number {
  return (100 * (sent - received)) / sent;
}

/** By engine: the highest rate of round trips below 0.1% loss, rising by `step` until one is lost twice. */
async function findMaxRates(
  relays: readonly Peer[],
  rounds: number,
  step: number,
  load: (relay: Peer, rate: number) => Promise<LoadResult>,
): Promise<Map<Engine, Figure>> {
  const found = new Map<Engine, number[]>(relays.map(({ engine }) => [engine, []]));
  for (let round = 0; round < rounds; round++) {
    for (const relay of relays) {
      let best = 0;
      for (let rate = LOWEST_RATE; ; rate *= step) {
        let result = await load(relay, rate);
        if (lossPercent(result) > MAX_LOSS_PERCENT) result = await load(relay, rate);
        if (lossPercent(result) > MAX_LOSS_PERCENT) break;
        const previous = best;
        best = Math.max(best, result.rate);
        // The generator itself does no more.
        if (result.rate < previous * 1.05) break;
      }
      found.get(relay.engine)?.push(best);
    }
  }
  return new Map([...found].map(([engine, values]) => [engine, figure(values)]));
}

interface Results {
  readonly rows: readonly Row[];
  readonly maxRates: ReadonlyMap<Engine, Figure>;
  readonly added: readonly Added[];
  readonly flows: FlowFigures | null;
}

function report(results: Results, args: BenchArguments): void {
  const { rows, maxRates, added, flows } = results;
  if (rows.length > 0) {
    printTable([
      ['engine', 'packets/s each way', 'CPU µs/packet', 'round trip p50 µs', 'p99 µs', 'p99.9 µs', 'loss %'],
      ...rows.map((row) => [
        row.engine,
        String(row.rate),
        formatFigure(row.cpuMicros),
        formatFigure(row.p50Micros, 0),
        formatFigure(row.p99Micros, 0),
        formatFigure(row.p999Micros, 0),
        formatFigure(row.lossPercent, 3),
      ]),
    ]);
    console.log('');
  }
  if (maxRates.size > 0) {
    printTable([
      ['engine', `round trips/s below ${MAX_LOSS_PERCENT}% loss`],
      ...[...maxRates].map(([engine, rate]) => [engine, formatFigure(rate, 0)]),
    ]);
  }
  if (added.length > 0) {
    console.log('');
    printTable([
      ['added to a round trip', 'packets/s each way', 'p50 µs', 'p99 µs', 'p99.9 µs'],
      ...added.map((row) => [row.engine, String(row.rate), ...[row.p50Micros, row.p99Micros, row.p999Micros].map((micros) => micros.toFixed(0))]),
    ]);
  }
  if (flows !== null) {
    console.log('');
    printTable([
      ['flows', 'table, bytes/flow', 'whole process, MiB', 'CPU µs/packet'],
      ...flows.map(({ flows: count, tableBytes, processMiB, cpuMicros }) => [
        String(count),
        tableBytes.toFixed(1),
        processMiB.toFixed(0),
        formatFigure(cpuMicros),
      ]),
    ]);
  }
  console.log('');
  finish('relay', { ...results, maxRates: Object.fromEntries(maxRates) }, goals(results), args);
}

function goals({ rows, maxRates, flows }: Results): Goal[] {
  return [...(rows.length > 0 ? rateGoals(rows, maxRates) : []), ...(flows === null ? [] : flowGoals(flows))];
}

/** Compared with Go at the highest rate that Go carries in full: CPU per packet falls with the rate. */
function rateGoals(rows: readonly Row[], maxRates: ReadonlyMap<Engine, Figure>): Goal[] {
  const peer: Engine = maxRates.has('go') ? 'go' : 'dgram';
  const carried = rows.filter(({ engine, lossPercent }) => engine === peer && lossPercent.median <= MAX_LOSS_PERCENT);
  const rate = Math.max(rows[0].rate, ...carried.map((row) => row.rate));
  const at = (engine: Engine): Row | undefined => rows.find((row) => row.engine === engine && row.rate === rate);
  const ratio = (engine: Engine, value: (row: Row | undefined) => number | undefined): number =>
    (value(at(engine)) ?? Number.NaN) / (value(at(peer)) ?? Number.NaN);
  const max = (engine: Engine): number => maxRates.get(engine)?.median ?? Number.NaN;
  const ours: Engine = 'mmsg, gathering';
  return [
    goal(`CPU per packet of mmsg, as part of that of ${peer}, at ${rate}/s`, ratio('mmsg', (row) => row?.cpuMicros.median), '', 0.6, 'at most'),
    goal(`CPU per packet of mmsg, gathering, as part of that of ${peer}, at ${rate}/s`, ratio(ours, (row) => row?.cpuMicros.median), '', 0.45, 'at most'),
    goal(`p99 round trip of mmsg, as part of that of ${peer}, at ${rate}/s`, ratio('mmsg', (row) => row?.p99Micros.median), '', 1, 'at most'),
    goal(`Maximum rate of mmsg, gathering, as part of that of ${peer}`, max(ours) / max(peer), '', 1.5, 'at least'),
  ];
}

function flowGoals(flows: FlowFigures): Goal[] {
  const [fewest] = flows;
  const most = flows[flows.length - 1];
  const ratio = most.cpuMicros.median / fewest.cpuMicros.median;
  return [
    ...flows.slice(1).map(({ flows: count, tableBytes }) => goal(`Memory of the flow table at ${count} flows`, tableBytes, 'bytes/flow', 128, 'at most')),
    goal(`CPU per packet at ${most.flows} flows, as part of that at ${fewest.flows}`, ratio, '', 1.2, 'at most'),
  ];
}

const args = benchArguments('hostile', 'rates', 'latency', 'flows');
await (args.switches.has('hostile') ? hostile(args) : main(args));
