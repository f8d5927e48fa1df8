import { dnat, type DnatFigures } from './relay-parts/dnat.ts';
import { hostile } from './relay-parts/hostile.ts';
import { cpuMicros, type LoadResult, lossPercent } from './relay-parts/load.ts';
import { type FlowFigures, manyFlows } from './relay-parts/many-flows.ts';
import { findMaxRate, LOWEST_RATE, MAX_LOSS_PERCENT, type MaxRate } from './relay-parts/max-rate.ts';
import { Generator, type Part, startGoRelay, startPart, startRelayProcess, SECRET, ufragFor } from './relay-parts/processes.ts';
import { type Disturbance, ratios, takeTurns } from './relay-parts/turns.ts';
import { type BenchArguments, benchArguments, finish, type Goal, goal, printTable } from './support/report.ts';
import { type Figure, figure, formatFigure, median } from './support/stats.ts';

/**
 * What a forwarded packet costs, engine by engine: load generator → relay → echoing transceiver → relay → generator,
 * each in its own process, on loopback. Engines take turns in short slices; what is compared is compared round by round.
 * One echoed packet is two forwarded ones. `go` is a relay in Go's standard library (bench/peers/go-relay), which has no
 * batched system calls: what is compared is what a careful author gets there, not the language.
 *
 * `--help` says which parts there are. `--hostile` is a bench of its own, see relay-parts/hostile.ts.
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
  /** As a part of Go's in the same round; null where there is no Go. */
  readonly cpuOfGo: Figure | null;
  readonly p99OfGo: Figure | null;
}

/** What a relay adds to a round trip, compared with no relay at all. */
interface Added {
  readonly engine: Engine;
  readonly rate: number;
  readonly p50Micros: Figure;
  readonly p99Micros: Figure;
  readonly p999Micros: Figure;
}

interface Max {
  readonly engine: Engine;
  /** One for each round. */
  readonly rounds: readonly MaxRate[];
}

interface Peer extends Part {
  readonly engine: Engine;
}

interface Results {
  readonly rows: readonly Row[];
  readonly max: readonly Max[];
  /** At the highest rate that Go carries: the relay that gathers, and Go. */
  readonly atGoMax: readonly Row[];
  readonly added: readonly Added[];
  readonly flows: FlowFigures | null;
  readonly dnat: DnatFigures | { reason: string } | null;
  readonly disturbance: Disturbance;
}

const CLIENTS = 500;
const DEFAULT: Engine = 'mmsg, gathering';
/** What the goals for CPU are measured at: the highest of these that Go carries in full. */
const RATES = [10_000, 40_000, 60_000];
const QUICK_RATES = [40_000];
const PARTS = ['rates', 'latency', 'flows', 'dnat'] as const;

async function main(args: BenchArguments): Promise<void> {
  const { quick } = args;
  const isPart = args.switches.size > 0;
  const does = (part: (typeof PARTS)[number]): boolean => (isPart ? args.switches.has(part) : part === 'rates' || !quick);
  const seconds = quick ? 0.6 : 1;
  const transceiver = await startPart('echo-transceiver', SECRET);
  const generator = await Generator.start();
  const ufrag = ufragFor(transceiver.address);
  const relays: Peer[] = [];
  const disturbance: Disturbance = { slices: 0, repeated: 0, disturbed: 0 };
  const load = (relay: Peer, rate: number, duration = seconds): Promise<LoadResult> =>
    generator.run({ relay: relay.address, relayPid: relay.process.pid ?? null, ufrag, clients: CLIENTS, rate, seconds: duration });
  try {
    if (does('rates') || does('latency')) {
      relays.push(...(await startRelays()));
      // What compilers and schedulers need to know of each other.
      for (const relay of relays) await load(relay, QUICK_RATES[0]);
    }
    const rows: Row[] = [];
    for (const rate of does('rates') ? (quick ? QUICK_RATES : RATES) : []) {
      rows.push(...summarise(rate, await takeTurns(relays, quick ? 8 : 5, disturbance, (relay) => load(relay, rate))));
    }
    const racers = relays.filter(({ engine }) => engine === DEFAULT || engine === 'go' || (does('rates') && !quick));
    const max = racers.length > 0 ? await raceToMax(racers, 2, (relay, rate) => load(relay, rate, seconds / 2)) : [];
    const atGoMax: Row[] = [];
    const goMax = medianMax(max, 'go');
    if (does('rates') && goMax !== null) {
      const pair = relays.filter(({ engine }) => engine === DEFAULT || engine === 'go');
      atGoMax.push(...summarise(goMax, await takeTurns(pair, quick ? 3 : 5, disturbance, (relay) => load(relay, goMax))));
    }
    const added = does('latency') ? await addedLatency(relays, goMax ?? medianMax(max, DEFAULT) ?? LOWEST_RATE, generator, load, quick ? 0.6 : 1, disturbance) : [];
    for (const { process: child } of relays) child.kill();
    const flows = does('flows') ? await manyFlows(generator, transceiver.address, quick ? 1 : 2) : null;
    const kernel = does('dnat') ? await dnat({ rate: QUICK_RATES[0], rounds: 6, seconds, step: quick ? 1.5 : 1.25 }, disturbance) : null;
    report({ rows, max, atGoMax, added, flows, dnat: kernel, disturbance }, args);
  } finally {
    generator.close();
    for (const { process: child } of [transceiver, ...relays]) child.kill();
  }
}

async function startRelays(): Promise<Peer[]> {
  const relays: Peer[] = [
    { engine: 'mmsg', ...(await startRelayProcess({ engine: 'mmsg', gatherUs: 0 })) },
    { engine: DEFAULT, ...(await startRelayProcess({ engine: 'mmsg' })) },
    { engine: 'dgram', ...(await startRelayProcess({ engine: 'dgram' })) },
  ];
  const go = await startGoRelay();
  if ('reason' in go) console.log(go.reason);
  else relays.push({ engine: 'go', ...go });
  return relays;
}

/** Each relay's highest rate, in turns: a round of the search for each, then the next round. */
async function raceToMax(relays: readonly Peer[], rounds: number, load: (relay: Peer, rate: number) => Promise<LoadResult>): Promise<Max[]> {
  const found = relays.map(({ engine }) => ({ engine, rounds: [] as MaxRate[] }));
  for (let round = 0; round < rounds; round++) {
    for (const [i, relay] of relays.entries()) found[i].rounds.push(await findMaxRate(1.25, (rate) => load(relay, rate)));
  }
  return found;
}

/** Round trips through each relay, less those straight to an echo, at a quarter and three quarters of a rate. */
async function addedLatency(
  relays: readonly Peer[],
  max: number,
  generator: Generator,
  load: (relay: Peer, rate: number, seconds: number) => Promise<LoadResult>,
  seconds: number,
  disturbance: Disturbance,
): Promise<Added[]> {
  const direct = await startPart('echo-transceiver', 'direct');
  const added: Added[] = [];
  try {
    for (const rate of [max / 4, (max * 3) / 4].map(Math.round)) {
      const results = await takeTurns<Peer | null>([null, ...relays], 4, disturbance, (relay) =>
        relay === null
          ? generator.run({ relay: direct.address, relayPid: null, ufrag: null, clients: CLIENTS, rate, seconds })
          : load(relay, rate, seconds),
      );
      const without = results.get(null)!;
      for (const relay of relays) {
        const of = (value: (result: LoadResult) => number): Figure => figure(results.get(relay)!.map((result, i) => value(result) - value(without[i])));
        added.push({ engine: relay.engine, rate, p50Micros: of(({ p50 }) => p50), p99Micros: of(({ p99 }) => p99), p999Micros: of(({ p999 }) => p999) });
      }
    }
  } finally {
    direct.process.kill();
  }
  return added;
}

function summarise(rate: number, results: ReadonlyMap<Peer, readonly LoadResult[]>): Row[] {
  const go = [...results].find(([{ engine }]) => engine === 'go')?.[1];
  return [...results].map(([{ engine }, list]) => {
    const of = (value: (result: LoadResult) => number): Figure => figure(list.map(value));
    const ofGo = (value: (result: LoadResult) => number): Figure | null => (go === undefined ? null : ratios(list.map(value), go.map(value)));
    return {
      engine,
      rate,
      cpuMicros: of(cpuMicros),
      p50Micros: of(({ p50 }) => p50),
      p99Micros: of(({ p99 }) => p99),
      p999Micros: of(({ p999 }) => p999),
      lossPercent: of(lossPercent),
      cpuOfGo: ofGo(cpuMicros),
      p99OfGo: ofGo(({ p99 }) => p99),
    };
  });
}

function medianMax(max: readonly Max[], engine: Engine): number | null {
  const found = max.find((candidate) => candidate.engine === engine);
  return found === undefined ? null : Math.round(median(found.rounds.map(({ rate }) => rate)));
}

function report(results: Results, args: BenchArguments): void {
  const { rows, max, atGoMax, added, flows, dnat: kernel, disturbance } = results;
  if (rows.length > 0) printRows([...rows, ...atGoMax]);
  if (max.length > 0) {
    printTable([
      ['engine', `round trips/s below ${MAX_LOSS_PERCENT}% loss`],
      ...max.map(({ engine, rounds }) => [engine, formatFigure(figure(rounds.map(({ rate }) => rate)), 0)]),
    ]);
    const limited = max.filter(({ rounds }) => rounds.some(({ generatorLimited }) => generatorLimited)).map(({ engine }) => engine);
    if (limited.length > 0) console.log(`The load generator, on the same cores, was the ceiling for: ${limited.join('; ')}.`);
    console.log('');
  }
  if (added.length > 0) {
    printTable([
      ['added to a round trip', 'packets/s each way', 'p50 µs', 'p99 µs', 'p99.9 µs'],
      ...added.map((row) => [row.engine, String(row.rate), ...[row.p50Micros, row.p99Micros, row.p999Micros].map((micros) => formatFigure(micros, 0))]),
    ]);
    console.log('');
  }
  if (flows !== null) {
    printTable([
      ['flows', 'table, bytes/flow', 'whole process, MiB', 'CPU µs/packet'],
      ...flows.map(({ flows: count, tableBytes, processMiB, cpuMicros: micros }) => [String(count), tableBytes.toFixed(1), processMiB.toFixed(0), formatFigure(micros)]),
    ]);
    console.log('');
  }
  if (kernel !== null) printDnat(kernel);
  if (disturbance.slices > 0) {
    const { slices, repeated, disturbed } = disturbance;
    console.log(`${slices} slices, ${repeated} of them measured again because something else was at work; ${disturbed} are disturbed as they stand.\n`);
  }
  finish('relay', results, goals(results), args);
}

function printRows(rows: readonly Row[]): void {
  const ofGo = (value: Figure | null): string => (value === null ? '' : formatFigure(value));
  printTable([
    ['engine', 'packets/s each way', 'CPU µs/packet', 'of Go’s', 'round trip p50 µs', 'p99 µs', 'of Go’s', 'p99.9 µs', 'loss %'],
    ...rows.map((row) => [
      row.engine,
      String(row.rate),
      formatFigure(row.cpuMicros),
      ofGo(row.cpuOfGo),
      formatFigure(row.p50Micros, 0),
      formatFigure(row.p99Micros, 0),
      ofGo(row.p99OfGo),
      formatFigure(row.p999Micros, 0),
      formatFigure(row.lossPercent, 3),
    ]),
  ]);
  console.log('');
}

function printDnat(kernel: DnatFigures | { reason: string }): void {
  if ('reason' in kernel) {
    console.log(`${kernel.reason}\n`);
    return;
  }
  printTable([
    ['the limit', 'packets/s each way', 'added CPU µs/packet', 'added p50 µs', 'added p99 µs', 'loss %', 'round trips/s'],
    [
      'nftables DNAT, on veth',
      String(kernel.rate),
      formatFigure(kernel.addedCpuMicros),
      formatFigure(kernel.addedP50Micros, 0),
      formatFigure(kernel.addedP99Micros, 0),
      formatFigure(kernel.lossPercent, 3),
      `${kernel.maxRate.rate.toFixed(0)}${kernel.maxRate.generatorLimited ? ', all that the generator sends' : ''}`,
    ],
  ]);
  console.log('');
}

function goals({ rows, max, atGoMax, flows }: Results): Goal[] {
  return [...(rows.length > 0 ? rateGoals(rows, max, atGoMax) : []), ...(flows === null ? [] : flowGoals(flows))];
}

/** Compared with Go at the highest rate that Go carries in full: CPU per packet falls with the rate. */
function rateGoals(rows: readonly Row[], max: readonly Max[], atGoMax: readonly Row[]): Goal[] {
  const carried = rows.filter(({ engine, lossPercent: loss }) => engine === 'go' && loss.median <= MAX_LOSS_PERCENT);
  const rate = Math.max(rows[0].rate, ...carried.map((row) => row.rate));
  const at = (engine: Engine): Row | undefined => rows.find((row) => row.engine === engine && row.rate === rate);
  const nothing = Number.NaN;
  return [
    goal(`CPU per packet of mmsg, as part of that of go, at ${rate}/s`, at('mmsg')?.cpuOfGo?.median ?? nothing, '', 0.6, 'at most'),
    goal(`CPU per packet of ${DEFAULT}, as part of that of go, at ${rate}/s`, at(DEFAULT)?.cpuOfGo?.median ?? nothing, '', 0.45, 'at most'),
    goal(`p99 round trip of mmsg, as part of that of go, at ${rate}/s`, at('mmsg')?.p99OfGo?.median ?? nothing, '', 1, 'at most'),
    ...maxGoals(max, atGoMax),
  ];
}

/** Where the load generator is the ceiling, the relays are compared at Go's own maximum instead. */
function maxGoals(max: readonly Max[], atGoMax: readonly Row[]): Goal[] {
  const [ours, go] = [DEFAULT, 'go'].map((engine) => max.find((candidate) => candidate.engine === engine)?.rounds ?? []);
  const rates = (rounds: readonly MaxRate[]): number[] => rounds.map(({ rate }) => rate);
  const ratio = go.length === 0 ? Number.NaN : ratios(rates(ours), rates(go)).median;
  if (!(ratio < 1.5) || !ours.some(({ generatorLimited }) => generatorLimited)) {
    return [goal(`Maximum rate of ${DEFAULT}, as part of that of go`, ratio, '', 1.5, 'at least')];
  }
  const row = atGoMax.find(({ engine }) => engine === DEFAULT);
  return [
    goal(`p99 round trip of ${DEFAULT}, as part of that of go, at go’s maximum (the generator is the ceiling)`, row?.p99OfGo?.median ?? Number.NaN, '', 1, 'at most'),
    goal(`Loss of ${DEFAULT} at go’s maximum`, row?.lossPercent.median ?? Number.NaN, '%', MAX_LOSS_PERCENT, 'at most'),
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

const HELP = `npm run bench:relay -- [--quick] [--rates] [--latency] [--flows] [--dnat] [--out FILE]
  everything, in at most five minutes; --quick: the rates alone, in at most 90 s; with a part's name, that part only

npm run bench:relay -- --hostile [--quick] [--out FILE]
  live calls under an attack`;

if (process.argv.includes('--help')) console.log(HELP);
else {
  const args = benchArguments('hostile', ...PARTS);
  await (args.switches.has('hostile') ? hostile(args) : main(args));
}
