import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../test/support/earshot-process.ts';
import { cpuSeconds } from './support/cpu.ts';
import { type BenchArguments, benchArguments, finish, goal, printTable } from './support/report.ts';
import type { PacingErrors } from './pacing-parts/ears.ts';
import type { PacingOrders, PacingReport } from './pacing-parts/listeners.ts';

/**
 * How evenly frames leave when one worker thread speaks on hundreds of calls at once, encoding included: a frame's
 * place is that of its timestamp, and its error how far from there the kernel took it from the relay, the median of its
 * call taken as zero. What only a clock, Opus and a socket do on the same machine in the same run stands beside it: the
 * machine is shared, and what it takes away nobody can give back.
 */
async function main(args: BenchArguments): Promise<void> {
  const rows: Row[] = [];
  for (const load of args.quick ? LOADS.slice(0, 3) : LOADS) rows.push(await measure(load, args.quick ? QUICK_SECONDS : SECONDS));
  printTable([
    ['server', 'calls', 'agent speaks', 'microphones', 'frames/s', 'error p50 ms', 'p99', 'max', 'server CPU %', 'clock turns more than 5 ms late %'],
    ...rows.map(({ load, report: { frames, p50, p99, max }, seconds, cpuPercent, late }) => [
      load.bare ? 'bare' : 'Earshot',
      String(load.calls),
      `${load.speaking * 100} %`,
      load.microphones ? 'on' : 'off',
      (frames / seconds).toFixed(0),
      p50.toFixed(2),
      p99.toFixed(2),
      max.toFixed(1),
      cpuPercent.toFixed(0),
      late ?? '–',
    ]),
  ]);
  console.log('\nbare: the same clock, the same encoder and a socket, without calls or a relay\n');
  const p99 = (bare: boolean): number => rows.find(({ load }) => load.speaking === 1 && load.bare === bare)!.report.p99;
  finish(
    'pacing',
    rows,
    [goal(`pacing error at ${GOAL_CALLS} calls that all speak, one worker, p99 (bare in the same run: ${p99(true).toFixed(1)})`, p99(false), 'ms', 5, 'at most')],
    args,
  );
}

interface Load extends Pick<PacingOrders, 'calls' | 'speaking' | 'microphones'> {
  readonly bare: boolean;
}

interface Row {
  readonly load: Load;
  readonly seconds: number;
  readonly report: PacingErrors;
  readonly cpuPercent: number;
  /** null for the bare speaker, which keeps no count. */
  readonly late: string | null;
}

const GOAL_CALLS = 300;
const SECONDS = 15;
const QUICK_SECONDS = 8;
/** The first is the goal's, the second what the machine allows; then agents that speak as long as in a conversation, without and with callers who do. */
const LOADS: readonly Load[] = [
  { calls: GOAL_CALLS, speaking: 1, microphones: false, bare: false },
  { calls: GOAL_CALLS, speaking: 1, microphones: false, bare: true },
  { calls: GOAL_CALLS, speaking: 0.4, microphones: false, bare: false },
  { calls: 150, speaking: 0.4, microphones: true, bare: false },
  { calls: 100, speaking: 1, microphones: false, bare: false },
];

async function measure(load: Load, seconds: number): Promise<Row> {
  const server = load.bare ? null : await startEarshot();
  try {
    const orders: PacingOrders = { ...load, url: server?.url ?? null, seconds };
    const child = fork(new URL('./pacing-parts/listeners.js', import.meta.url), [JSON.stringify(orders)]);
    const failed = once(child, 'exit').then(([code]) => {
      throw new Error(`the listeners ended with code ${code}`);
    });
    const next = async <Type extends PacingReport['type']>(type: Type): Promise<Extract<PacingReport, { type: Type }>> => {
      const [report] = (await Promise.race([once(child, 'message'), failed])) as [PacingReport];
      if (report.type !== type) throw new Error(`the listeners say ${report.type} before ${type}`);
      return report as Extract<PacingReport, { type: Type }>;
    };
    const pid = (await next('listening')).pid ?? server!.pid;
    const [cpuBefore, from] = [cpuSeconds(pid), performance.now()];
    // The bare speaker ends with the listeners: what it used is read while it lives.
    await pause(seconds * 900);
    const cpuPercent = (100_000 * (cpuSeconds(pid) - cpuBefore)) / (performance.now() - from);
    const report = await next('result');
    failed.catch(() => undefined);
    return { load, seconds, report, cpuPercent, late: server && (await lateTicks(server.metrics)) };
  } finally {
    await server?.stop();
  }
}

/** The server's own count. */
async function lateTicks(url: string): Promise<string> {
  const text = await (await fetch(url)).text();
  const counts = new Map([...text.matchAll(/^earshot_media_clock_ticks_total\{late_ms="(\w+)"\} (\d+)/gm)].map(([, bound, count]) => [bound, Number(count)]));
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const late = ['10', '20', 'more'].reduce((sum, bound) => sum + (counts.get(bound) ?? 0), 0);
  return ((100 * late) / all).toFixed(2);
}

async function startEarshot(): Promise<{ url: string; metrics: string; pid: number; stop(): Promise<void> }> {
  const secrets = { EARSHOT_SECRET: 'a secret of the bench alone' };
  const udp = `127.0.0.1:${await freeUdpPort()}`;
  const admin = `127.0.0.1:${await freeTcpPort()}`;
  const http = `127.0.0.1:${await freeTcpPort()}`;
  const agent = fileURLToPath(new URL('./pacing-parts/speaker.js', import.meta.url));
  const common = ['--trunk', '127.0.0.1:0', '--log-level', 'error', '--workers', '1'];
  const relay = new EarshotProcess(['relay', '--udp', udp, '--http', admin, ...common], secrets);
  const transceiver = new EarshotProcess(['transceiver', '--http', http, '--ingress', udp, '--agent', agent, '--max-calls', '1000', ...common], secrets);
  await relay.ready(`http://${admin}`);
  await transceiver.ready(`http://${http}`);
  return {
    url: `http://${http}/v1/realtime/calls`,
    metrics: `http://${http}/metrics`,
    pid: transceiver.pid,
    stop: async () => {
      await Promise.all([relay.kill(), transceiver.kill()]);
    },
  };
}

await main(benchArguments());
