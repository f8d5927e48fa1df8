import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../test/support/earshot-process.ts';
import { cpuSeconds } from './support/cpu.ts';
import { type BenchArguments, benchArguments, finish, goal, printTable } from './support/report.ts';
import type { PacingOrders, PacingReport } from './pacing-parts/listeners.ts';

/**
 * How evenly frames leave when one worker thread speaks on hundreds of calls at once, encoding included: a frame's
 * place is that of its timestamp, and its error how far from there it came, at the ear, the median of its call taken
 * as zero. Listeners and server share the machine, so that this is the most it can be.
 */
async function main(args: BenchArguments): Promise<void> {
  const rows: { load: Load; report: Extract<PacingReport, { type: 'result' }>; cpuPercent: number; late: string }[] = [];
  for (const load of args.quick ? LOADS.slice(0, 2) : LOADS) {
    const server = await startEarshot();
    try {
      const orders: PacingOrders = { url: server.url, ...load, seconds: args.quick ? QUICK_SECONDS : SECONDS };
      const child = fork(new URL('./pacing-parts/listeners.js', import.meta.url), [JSON.stringify(orders)]);
      const failed = once(child, 'exit').then(([code]) => {
        throw new Error(`the listeners ended with code ${code}`);
      });
      const next = async (): Promise<PacingReport> => ((await Promise.race([once(child, 'message'), failed])) as [PacingReport])[0];
      await next();
      const cpuBefore = cpuSeconds(server.pid);
      const from = performance.now();
      const report = await next();
      failed.catch(() => undefined);
      if (report.type !== 'result') throw new Error('the listeners began twice');
      const cpuPercent = (100_000 * (cpuSeconds(server.pid) - cpuBefore)) / (performance.now() - from);
      rows.push({ load, report, cpuPercent, late: await lateTicks(server.metrics) });
    } finally {
      await server.stop();
    }
  }
  printTable([
    ['calls', 'agent speaks', 'microphones', 'frames/s', 'error p50 ms', 'p99', 'max', "listeners' own p99", 'server CPU %', 'clock turns more than 5 ms late %'],
    ...rows.map(({ load, report: { frames, p50, p99, max, ownP99 }, cpuPercent, late }) => [
      String(load.calls),
      `${load.speaking * 100} %`,
      load.microphones ? 'on' : 'off',
      (frames / (args.quick ? QUICK_SECONDS : SECONDS)).toFixed(0),
      p50.toFixed(2),
      p99.toFixed(2),
      max.toFixed(1),
      ownP99.toFixed(2),
      cpuPercent.toFixed(0),
      late,
    ]),
  ]);
  console.log('');
  const at = rows[0];
  finish('pacing', rows, [goal(`pacing error at ${GOAL_CALLS} calls that all speak, one worker, p99`, at.report.p99, 'ms', 5, 'at most')], args);
}

type Load = Pick<PacingOrders, 'calls' | 'speaking' | 'microphones'>;

const GOAL_CALLS = 300;
const SECONDS = 15;
const QUICK_SECONDS = 8;
/** The first is the goal's; then agents that speak as long as in a conversation, without and with callers who do. */
const LOADS: readonly Load[] = [
  { calls: GOAL_CALLS, speaking: 1, microphones: false },
  { calls: GOAL_CALLS, speaking: 0.4, microphones: false },
  { calls: 150, speaking: 0.4, microphones: true },
  { calls: 100, speaking: 1, microphones: false },
];

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
