/**
 * What a gateway adds to an offer: offers go straight to a cluster and through a gateway by turns, one every 3.3 ms, over
 * loopback and connections that are kept, so that both meet the same machine in the same second. The cluster answers at
 * once, so that nothing but HTTP is measured. Gateway and cluster are processes of their own.
 *
 * What is compared: in each round the percentile of one way less that of the straight one; then the median of the rounds.
 * Beside the gateway stands a bare proxy, as few lines as Node allows: what a hop costs on this machine, whatever it does.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { benchArguments, finish, goal, printTable } from './support/report.ts';
import { figure, formatFigure, percentile } from './support/stats.ts';

const OFFERS_PER_SECOND = 100;
const ANSWER = `v=0\r\n${'a=x-line-of-an-answer:0123456789abcdef\r\n'.repeat(40)}`;
const OFFER = `v=0\r\n${'a=x-line-of-an-offer:0123456789abcdef\r\n'.repeat(80)}`;
const EARSHOT = fileURLToPath(new URL('../../bin/earshot.js', import.meta.url));

if (process.argv[2] === 'cluster') serveCluster();
else if (process.argv[2] === 'proxy') serveProxy(Number(process.argv[3]));
else await measure();

function serveCluster(): void {
  const server = createServer((incoming, response) => {
    if (incoming.url === '/readyz') response.end('ready\n');
    else incoming.resume().on('end', () => response.writeHead(201, { 'Content-Type': 'application/sdp', 'Content-Length': ANSWER.length }).end(ANSWER));
  });
  announce(server);
}

function serveProxy(clusterPort: number): void {
  const agent = new Agent({ keepAlive: true });
  const server = createServer((incoming, response) => {
    const { method, url, headers } = incoming;
    const outgoing = request({ agent, port: clusterPort, host: '127.0.0.1', method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    incoming.pipe(outgoing);
  });
  announce(server);
}

/** Tells the parent where it listens. */
function announce(server: Server): void {
  server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
}

async function measure(): Promise<void> {
  const options = benchArguments();
  const [rounds, seconds] = options.quick ? [5, 6] : [8, 9];
  const folder = mkdtempSync(path.join(tmpdir(), 'earshot-bench-'));
  const cluster = spawn(process.execPath, [process.argv[1], 'cluster'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const clusterPort = Number(await printed(cluster, 'stdout', /^(\d+)/));
  const proxy = spawn(process.execPath, [process.argv[1], 'proxy', String(clusterPort)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const proxyPort = Number(await printed(proxy, 'stdout', /^(\d+)/));
  const file = path.join(folder, 'clusters.yaml');
  writeFileSync(file, `clusters: [{ id: 1, name: one, latitude: 0, longitude: 0, signaling: "http://127.0.0.1:${clusterPort}", ingress: [{ address: "192.0.2.1:3478" }] }]`);
  const gateway = spawn(
    process.execPath,
    [EARSHOT, 'gateway', '--http', '127.0.0.1:0', '--clusters', file, '--rate-per-address', '10000000', '--drain-timeout', '0s'],
    { stdio: ['ignore', 'inherit', 'pipe'], env: { ...process.env, EARSHOT_SECRET: 'the secret of the gateway bench' } },
  );
  const gatewayPort = Number(await printed(gateway, 'stderr', /"http":"127\.0\.0\.1:(\d+)"/));
  gateway.stderr?.resume();
  try {
    const agent = new Agent({ keepAlive: true });
    for (const port of [clusterPort, proxyPort, gatewayPort]) await warmUp(agent, port);
    const direct: number[][] = [];
    const bare: number[][] = [];
    const through: number[][] = [];
    const ways = [{ port: clusterPort, rounds: direct }, { port: proxyPort, rounds: bare }, { port: gatewayPort, rounds: through }];
    for (let round = 0; round < rounds; round++) {
      const times = await run(agent, ways.map(({ port }) => port), seconds);
      for (const [i, way] of ways.entries()) way.rounds.push(times[i]);
    }
    agent.destroy();
    const at = (runs: number[][], p: number): number[] => runs.map((times) => percentile(times, p));
    const added = (runs: number[][], p: number): number[] => at(runs, p).map((time, i) => time - at(direct, p)[i]);
    const row = (name: string, values: (p: number) => number[]): string[] => [name, ...[50, 95, 99].map((p) => formatFigure(figure(values(p))))];
    printTable([
      [`ms per offer, ${OFFERS_PER_SECOND}/s each way`, 'p50', 'p95', 'p99'],
      row('straight to the cluster', (p) => at(direct, p)),
      row('through a bare proxy', (p) => at(bare, p)),
      row('through the gateway', (p) => at(through, p)),
      row('added by a bare proxy', (p) => added(bare, p)),
      row('added by the gateway', (p) => added(through, p)),
    ]);
    const figures = (runs: number[][]): object => ({ p50: figure(added(runs, 50)), p99: figure(added(runs, 99)) });
    const results = { offersPerSecond: OFFERS_PER_SECOND, addedMs: { gateway: figures(through), bareProxy: figures(bare) } };
    finish('gateway', results, [goal('a gateway adds, p99 on loopback', figure(added(through, 99)).median, 'ms', 3, 'at most')], options);
  } finally {
    gateway.kill('SIGTERM');
    proxy.kill('SIGTERM');
    cluster.kill('SIGTERM');
    rmSync(folder, { recursive: true });
  }
}

/** As many offers, one after the other, as make the processes' code as fast as it gets. */
async function warmUp(agent: Agent, port: number): Promise<void> {
  for (let i = 0; i < 1_500; i++) await offer(agent, port);
}

/** Sends offers to all ports by turns, each when it is due whatever became of the one before; by port ascending times in ms. */
async function run(agent: Agent, ports: readonly number[], seconds: number): Promise<number[][]> {
  const startedAt = performance.now();
  const pending: Promise<number>[][] = ports.map(() => []);
  for (let i = 0; i < seconds * OFFERS_PER_SECOND * ports.length; i++) {
    const due = startedAt + (i * 1000) / (OFFERS_PER_SECOND * ports.length);
    await pause(Math.max(0, due - performance.now()));
    const way = i % ports.length;
    pending[way].push(offer(agent, ports[way]));
  }
  return Promise.all(pending.map(async (each) => (await Promise.all(each)).sort((a, b) => a - b)));
}

function offer(agent: Agent, port: number): Promise<number> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const outgoing = request({ agent, port, host: '127.0.0.1', method: 'POST', path: '/v1/realtime/calls', headers: { 'Content-Type': 'application/sdp', 'Content-Length': OFFER.length } });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      if (response.statusCode !== 201) reject(new Error(`answered ${response.statusCode}`));
      response.resume().on('end', () => resolve(performance.now() - startedAt));
    });
    outgoing.end(OFFER);
  });
}

async function printed(child: ChildProcess, stream: 'stdout' | 'stderr', pattern: RegExp): Promise<string> {
  let text = '';
  for (;;) {
    const match = pattern.exec(text);
    if (match) return match[1];
    const [chunk] = (await Promise.race([once(child[stream]!, 'data'), once(child, 'exit')])) as [unknown];
    if (child.exitCode !== null) throw new Error(`a process of the bench ended:\n${text}`);
    text += String(chunk);
  }
}
