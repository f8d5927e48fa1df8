import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseAddress } from '../src/wire/address.ts';
import { deriveKey } from '../src/wire/derive-key.ts';
import { RoutingKeys } from '../src/wire/routing-token.ts';
import type { LoadResult, LoadTask } from './relay-parts/load.ts';
import { buildGoPeer } from './support/go-peer.ts';
import { type BenchArguments, benchArguments, finish, type Goal, goal, printTable } from './support/report.ts';
import { type Figure, figure, formatFigure } from './support/stats.ts';

/**
 * What a forwarded packet costs, engine by engine: load generator → relay → echoing transceiver → relay → generator,
 * each in its own process, on loopback. Engines take turns within each round. One echoed packet is two forwarded ones.
 * `go` is a relay in Go's standard library (bench/peers/go-relay), which has no batched system calls: what is compared
 * is what a careful author gets there, not the language.
 *
 * On loopback a sender's thread does the receiver's part of the kernel's work too, so figures compare with each other
 * on one machine, not with those of other machines.
 */
type Engine = 'mmsg' | 'dgram' | 'go';

interface Row {
  readonly engine: Engine;
  /** Packets a second each way. */
  readonly rate: number;
  readonly cpuMicros: Figure;
  readonly p50Micros: Figure;
  readonly p99Micros: Figure;
  readonly lossPercent: Figure;
}

interface Peer {
  readonly engine: Engine;
  readonly process: ChildProcess;
  readonly address: string;
}

const SECRET = 'bench';
const CLIENTS = 500;
const MAX_LOSS_PERCENT = 0.1;
/** Where the search for the maximum rate starts. */
const LOWEST_RATE = 20_000;

async function main(args: BenchArguments): Promise<void> {
  const rates = args.quick ? [10_000, 40_000] : [10_000, 20_000, 40_000, 60_000];
  const repeats = args.quick ? 3 : 5;
  const seconds = args.quick ? 1 : 3;
  const transceiver = await start('echo-transceiver', SECRET);
  const locator = { kind: 0, address: parseAddress(transceiver.address) } as const;
  const ufrag = new RoutingKeys(SECRET).encodeUfrag({ cluster: 0, locator, nonce: 1 });
  const relays: Peer[] = [];
  try {
    for (const engine of ['mmsg', 'dgram'] as const) relays.push({ engine, ...(await start('relay-process', SECRET, engine)) });
    const go = await startGoRelay();
    if ('reason' in go) console.log(go.reason);
    else relays.push(go);
    const load = (relay: Peer, rate: number, duration: number): Promise<LoadResult> =>
      generate({ relay: relay.address, relayPid: relay.process.pid ?? 0, ufrag, clients: CLIENTS, rate, seconds: duration });

    const rows: Row[] = [];
    for (const rate of rates) {
      const results = new Map<Engine, LoadResult[]>(relays.map(({ engine }) => [engine, []]));
      for (let round = 0; round < repeats; round++) {
        for (const relay of relays) results.get(relay.engine)?.push(await load(relay, rate, seconds));
      }
      for (const [engine, list] of results) rows.push(summarise(engine, rate, list));
    }
    const maxRates = await findMaxRates(relays, args.quick ? 1 : 3, args.quick ? 1.5 : 1.25, (relay, rate) =>
      load(relay, rate, args.quick ? 0.5 : 2),
    );
    report(rows, maxRates, args);
  } finally {
    for (const { process: child } of [transceiver, ...relays]) child.kill();
  }
}

function summarise(engine: Engine, rate: number, results: readonly LoadResult[]): Row {
  const of = (value: (result: LoadResult) => number): Figure => figure(results.map(value));
  return {
    engine,
    rate,
    cpuMicros: of(({ relayCpu, received }) => (relayCpu * 1e6) / (2 * received)),
    p50Micros: of(({ p50 }) => p50),
    p99Micros: of(({ p99 }) => p99),
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

function report(rows: readonly Row[], maxRates: ReadonlyMap<Engine, Figure>, args: BenchArguments): void {
  printTable([
    ['engine', 'packets/s each way', 'CPU µs/packet', 'round trip p50 µs', 'p99 µs', 'loss %'],
    ...rows.map((row) => [
      row.engine,
      String(row.rate),
      formatFigure(row.cpuMicros),
      formatFigure(row.p50Micros, 0),
      formatFigure(row.p99Micros, 0),
      formatFigure(row.lossPercent, 3),
    ]),
  ]);
  console.log('');
  printTable([
    ['engine', `round trips/s below ${MAX_LOSS_PERCENT}% loss`],
    ...[...maxRates].map(([engine, rate]) => [engine, formatFigure(rate, 0)]),
  ]);
  console.log('');
  finish('relay', { rows, maxRates: Object.fromEntries(maxRates) }, goals(rows, maxRates), args);
}

/** Compared with Go at the highest rate that Go carries in full: CPU per packet falls with the rate. */
function goals(rows: readonly Row[], maxRates: ReadonlyMap<Engine, Figure>): Goal[] {
  const peer: Engine = maxRates.has('go') ? 'go' : 'dgram';
  const carried = rows.filter(({ engine, lossPercent }) => engine === peer && lossPercent.median <= MAX_LOSS_PERCENT);
  const rate = Math.max(rows[0].rate, ...carried.map((row) => row.rate));
  const at = (engine: Engine): Row | undefined => rows.find((row) => row.engine === engine && row.rate === rate);
  const ratio = (value: (row: Row | undefined) => number | undefined): number =>
    (value(at('mmsg')) ?? Number.NaN) / (value(at(peer)) ?? Number.NaN);
  const max = (engine: Engine): number => maxRates.get(engine)?.median ?? Number.NaN;
  return [
    goal(`CPU per packet of mmsg, as part of that of ${peer}, at ${rate}/s`, ratio((row) => row?.cpuMicros.median), '', 0.6, 'at most'),
    goal(`p99 round trip of mmsg, as part of that of ${peer}, at ${rate}/s`, ratio((row) => row?.p99Micros.median), '', 1, 'at most'),
    goal(`Maximum rate of mmsg, as part of that of ${peer}`, max('mmsg') / max(peer), '', 1.5, 'at least'),
  ];
}

async function startGoRelay(): Promise<Peer | { reason: string }> {
  const built = buildGoPeer('go-relay', ['golang-go']);
  if ('reason' in built) return built;
  const hex = (info: string, bytes: number): string => Buffer.from(deriveKey(SECRET, info, bytes)).toString('hex');
  const args = ['127.0.0.1:0', '127.0.0.1', hex('earshot trunk v1', 8), hex('earshot route v1', 16)];
  const child = spawn(built.program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await Promise.race([once(child.stdout, 'data'), failed(child, 'go-relay')])) as [Buffer];
  return { engine: 'go', process: child, address: line.toString().trim() };
}

/** Starts a part in its own process; the first thing that it says is its address. */
async function start(part: string, ...args: string[]): Promise<{ process: ChildProcess; address: string }> {
  const child = fork(new URL(`./relay-parts/${part}.js`, import.meta.url), args);
  const [address] = (await Promise.race([once(child, 'message'), failed(child, part)])) as [string];
  return { process: child, address };
}

async function generate(task: LoadTask): Promise<LoadResult> {
  const child = fork(new URL('./relay-parts/load-generator.js', import.meta.url), [JSON.stringify(task)]);
  const exit = once(child, 'exit');
  const [result] = (await Promise.race([once(child, 'message'), failed(child, 'load-generator')])) as [LoadResult];
  await exit;
  return result;
}

async function failed(child: ChildProcess, part: string): Promise<never> {
  const [code] = (await once(child, 'exit')) as [number | null];
  throw new Error(`${part} ended with code ${code} before it had anything to say`);
}

await main(benchArguments());
