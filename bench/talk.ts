import { fork } from 'node:child_process';
import { once } from 'node:events';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../test/support/earshot-process.ts';
import { type BenchArguments, benchArguments, finish, type Goal, goal, printTable } from './support/report.ts';
import { CLEAN, type Impairment } from './talk-parts/impairment.ts';
import type { Distribution, TalkOrders, TalkResult } from './talk-parts/talk-load.ts';

/**
 * How a conversation sounds at the caller's ear: callers ─► their impaired path ─► relay ─► transceiver ─► agent, and
 * back. All figures are taken in the callers' process; the path's own delay is part of them.
 *
 * `--calls N` and `--minutes N`: how many echo calls, and for how long on the clean path (50, 10). `--clean`: no other.
 */
interface Network {
  readonly name: string;
  readonly impairment: Impairment;
  readonly redundant: boolean;
  /** Jitter buffer of the ear, ms: what a browser comes to on such a path. */
  readonly earMs: number;
}

interface Row {
  readonly network: string;
  readonly scenario: TalkOrders['scenario'];
  readonly calls: number;
  readonly result: TalkResult;
}

const CLEAN_PATH: Network = { name: 'clean', impairment: CLEAN, redundant: false, earMs: 40 };
const LOSS = { delayMs: 30, jitterMs: 10, loss: 0.05, burst: 2, reordered: 0.005 };
const NETWORKS: readonly Network[] = [
  CLEAN_PATH,
  { name: '30–40 ms, 5 % lost in bursts', impairment: LOSS, redundant: false, earMs: 120 },
  { name: '… with redundancy', impairment: LOSS, redundant: true, earMs: 120 },
];

async function main(args: BenchArguments): Promise<void> {
  const rows: Row[] = [];
  const server = await startEarshot();
  try {
    for (const network of NETWORKS) {
      const clean = network === CLEAN_PATH;
      if (args.switches.has('clean') && !clean) continue;
      const calls = Number(args.values.get('calls') ?? (args.quick ? QUICK_CALLS : CALLS));
      const minutes = Number(args.values.get('minutes') ?? MINUTES);
      const echo = { calls, seconds: args.quick ? QUICK_SECONDS : clean ? minutes * 60 : IMPAIRED_SECONDS };
      const parrot = { calls: PARROT_CALLS, rounds: args.quick ? 1 : 5 };
      rows.push(await talk(server.url, network, 'echo', { ...echo, rounds: 0 }));
      rows.push(await talk(server.url, network, 'parrot', { ...parrot, seconds: 0 }));
    }
  } finally {
    await server.stop();
  }
  report(rows, args);
}

async function talk(
  url: string,
  { name, impairment, redundant, earMs }: Network,
  scenario: TalkOrders['scenario'],
  size: Pick<TalkOrders, 'calls' | 'seconds' | 'rounds'>,
): Promise<Row> {
  const orders: TalkOrders = { url, scenario, impairment, redundant, earMs, seed: SEED, ...size };
  const child = fork(new URL('./talk-parts/talk-load.js', import.meta.url), [JSON.stringify(orders)]);
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`the callers of ${scenario} ended with code ${code}`);
  });
  const [result] = (await Promise.race([once(child, 'message'), failed])) as [TalkResult];
  failed.catch(() => undefined);
  return { network: name, scenario, calls: size.calls, result };
}

function report(rows: readonly Row[], args: BenchArguments): void {
  const of = (figure: Distribution | undefined, which: 'p50' | 'p95' | 'p99' | 'max' = 'p50'): string =>
    figure === undefined || figure.count === 0 ? '–' : figure[which].toFixed(1);
  const count = (figure: Distribution | undefined): string => (figure === undefined ? '–' : String(figure.count));
  printTable([
    ['network', 'agent', 'calls', 'delay p50 ms', 'p99', 'gaps', 'longest ms', 'own', 'response p50 ms', 'p95', 'barge-in p50 ms', 'p95', 'N', 'heard ± ms', 'pacing p99 ms', 'recovered'],
    ...rows.map(({ network, scenario, calls, result: { echo, parrot, framesRecovered } }) => [
      network,
      scenario,
      String(calls),
      of(echo.mouthToEar),
      of(echo.mouthToEar, 'p99'),
      count(scenario === 'echo' ? echo.gaps : parrot.gaps),
      of(scenario === 'echo' ? echo.gaps : parrot.gaps, 'max'),
      count(scenario === 'echo' ? echo.ownGaps : parrot.ownGaps),
      of(parrot.response),
      of(parrot.response, 'p95'),
      of(parrot.bargeIn),
      of(parrot.bargeIn, 'p95'),
      count(parrot.bargeIn),
      of(parrot.heardError, 'max'),
      of(parrot.pacing, 'p99'),
      String(framesRecovered),
    ]),
  ]);
  console.log(`\ngaps: those that are not the callers' own, who did not run for ${rows.reduce((most, { result }) => Math.max(most, result.ownStalls.count === 0 ? 0 : result.ownStalls.max), 0).toFixed(0)} ms at the longest\n`);
  finish('talk', rows, goals(rows), args);
}

function goals(rows: readonly Row[]): Goal[] {
  const clean = (scenario: Row['scenario']): TalkResult | undefined =>
    rows.find((row) => row.network === CLEAN_PATH.name && row.scenario === scenario)?.result;
  const echo = clean('echo')?.echo;
  const parrot = clean('parrot')?.parrot;
  if (echo === undefined || parrot === undefined) return [];
  return [
    goal('echo, mouth to ear on a clean path, p99', echo.mouthToEar.p99, 'ms', 25, 'at most'),
    goal('gaps at the ear on a clean path, echo', echo.gaps.count, '', 0, 'at most'),
    goal('gaps at the ear on a clean path, parrot', parrot.gaps.count, '', 0, 'at most'),
    goal('barge-in, first frame of speech to last frame of the answer, p50', parrot.bargeIn.p50, 'ms', 80, 'at most'),
    goal('barge-in, first frame of speech to last frame of the answer, p95', parrot.bargeIn.p95, 'ms', 120, 'at most'),
  ];
}

async function startEarshot(): Promise<{ url: string; stop(): Promise<void> }> {
  const http = `127.0.0.1:${await freeTcpPort()}`;
  const udp = `127.0.0.1:${await freeUdpPort()}`;
  const dev = new EarshotProcess(['dev', '--http', http, '--udp', udp, '--agent', 'echo,parrot', '--log-level', 'error']);
  await dev.ready(`http://${http}`);
  return { url: `http://${http}/v1/realtime/calls`, stop: () => dev.kill() };
}

const SEED = 20_260_000;
const CALLS = 50;
const MINUTES = 10;
const IMPAIRED_SECONDS = 60;
const QUICK_CALLS = 10;
const QUICK_SECONDS = 5;
const PARROT_CALLS = 30;

await main(benchArguments('clean', { value: 'calls' }, { value: 'minutes' }));
