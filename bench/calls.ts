import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseAddress } from '../src/wire/address.ts';
import { RoutingKeys } from '../src/wire/routing-token.ts';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../test/support/earshot-process.ts';
import type { CallLoadOrders, CallLoadReport, CallLoadResult, Percentiles } from './call-parts/call-load.ts';
import { cpuSeconds, threadCpuSeconds } from './support/cpu.ts';
import { buildGoPeer } from './support/go-peer.ts';
import { type BenchArguments, benchArguments, finish, type Goal, goal, printTable } from './support/report.ts';
import { type Figure, figure, formatFigure, median } from './support/stats.ts';

/**
 * What an echo call costs: callers ─► relay ─► transceiver ─► relay ─► callers, against a Pion server that writes RTP
 * straight back, against plain UDP echo, and against the floor, `bare`: the same relay, and behind it a process that does
 * nothing but what no transceiver can leave out. Each server is a real process or two, driven by a load generator of its own,
 * 50 frames per second and call. All have their calls up all the time, and take turns at talking within each round.
 *
 * CPU is that of the server's whole process tree; for Earshot, relay and transceiver together, and each by itself below
 * the table. Pion runs without interceptors, so it pays for neither RTCP reports nor NACK, and Earshot for both. Each load
 * generator has all its callers on one socket and sends what is due once per millisecond, to all servers alike; its own
 * CPU is printed too, for where it comes near a core the round trips are its own.
 */
type ServerName = 'earshot' | 'bare' | 'pion' | 'udp';

interface Server {
  readonly name: ServerName;
  readonly target: string;
  /** Its processes, by what they are. */
  readonly pids: Readonly<Record<string, number>>;
  stop(): Promise<void>;
}

/** One measurement of one server. */
interface Run extends CallLoadResult {
  readonly server: ServerName;
  /** CPU seconds by process, and of the busiest thread of each. */
  readonly cpu: Readonly<Record<string, number>>;
  readonly threadCpu: Readonly<Record<string, number>>;
  readonly loadCpuSeconds: number;
  readonly seconds: number;
}

/** The calls to one server. */
interface Load {
  readonly server: Server;
  readonly setupMs: Percentiles | null;
  /** Talks for a while. What is measured must not be the first that a server does: programs are slow until warm. */
  warmUp(): Promise<void>;
  measure(): Promise<Run>;
  stop(): Promise<void>;
}

interface Row {
  readonly server: ServerName;
  readonly calls: number;
  /** Of the server, per frame that came back, µs; and of each of its processes. */
  readonly cpuMicros: Figure;
  /** The same as part of Pion's in the same run; null without Pion. */
  readonly partOfPion: number | null;
  readonly cpuMicrosOf: Readonly<Record<string, Figure>>;
  /** The same of the busiest thread of each. */
  readonly threadMicrosOf: Readonly<Record<string, Figure>>;
  /** Of the load generator, in percent of one core. */
  readonly loadCpuPercent: Figure;
  /** Of the server, per call, in percent of one core. */
  readonly cpuPercentPerCall: Figure;
  readonly setupMs: Percentiles | null;
  readonly roundTripP50Ms: Figure;
  readonly roundTripP99Ms: Figure;
  /** Median round trip above that of plain UDP echo. */
  readonly addedMs: number;
  readonly lossPercent: Figure;
}

const SECRETS = { EARSHOT_SECRET: 'a secret of the bench alone' };
const COMMON = ['--trunk', '127.0.0.1:0', '--log-level', 'error'];
const GOAL_CALLS = 300;
/** With more loss than this, of either server, a comparison says nothing. */
const JUDGED_LOSS_PERCENT = 1;
/** Calls being set up at a time: enough to keep two cores busy. */
const SETTING_UP = 4;
const PION_PACKAGES = ['golang-go', 'golang-github-pion-webrtc.v3-dev'];

async function main(args: BenchArguments): Promise<void> {
  const callCounts = args.quick ? [GOAL_CALLS] : [50, GOAL_CALLS, 500];
  const servers: Server[] = [];
  try {
    servers.push(await startUdpEcho(), await startBareEcho(), await startEarshot());
    const pion = await startPion();
    if ('reason' in pion) console.log(pion.reason);
    else servers.push(pion);
    const rows: Row[] = [];
    for (const calls of callCounts) rows.push(...(await compare(servers, calls, args)));
    report(rows, args);
  } finally {
    for (const server of servers) await server.stop();
  }
}

async function compare(servers: readonly Server[], calls: number, { quick }: BenchArguments): Promise<Row[]> {
  const rounds = quick ? 3 : 5;
  const loads: Load[] = [];
  const runs: Run[] = [];
  try {
    for (const server of servers) {
      loads.push(await startLoad(server, { target: server.target, calls, settingUp: SETTING_UP, seconds: quick ? 1 : 5 }));
    }
    for (const load of loads) await load.warmUp();
    for (let round = 0; round < rounds; round++) for (const load of loads) runs.push(await load.measure());
  } finally {
    for (const load of loads) await load.stop();
  }
  return summarise(loads, runs, calls);
}

function summarise(loads: readonly Load[], runs: readonly Run[], calls: number): Row[] {
  const baseline = median(runs.filter(({ server }) => server === 'udp').map(({ roundTripMs }) => roundTripMs.p50));
  const pion = runs.filter(({ server }) => server === 'pion');
  return loads.map(({ server: { name }, setupMs }) => {
    const own = runs.filter(({ server }) => server === name);
    const of = (value: (run: Run) => number): Figure => figure(own.map(value));
    const perPacket = (cpu: 'cpu' | 'threadCpu'): Record<string, Figure> =>
      Object.fromEntries(Object.keys(own[0].cpu).map((part) => [part, of((run) => (run[cpu][part] * 1e6) / run.received)]));
    const roundTripP50Ms = of(({ roundTripMs }) => roundTripMs.p50);
    const cpuMicros = of(microsPerPacket);
    return {
      server: name,
      calls,
      cpuMicros,
      partOfPion: pion.length === 0 ? null : cpuMicros.median / median(pion.map(microsPerPacket)),
      cpuMicrosOf: perPacket('cpu'),
      threadMicrosOf: perPacket('threadCpu'),
      loadCpuPercent: of((run) => (100 * run.loadCpuSeconds) / run.seconds),
      cpuPercentPerCall: of((run) => (100 * cpuSum(run)) / run.seconds / calls),
      setupMs,
      roundTripP50Ms,
      roundTripP99Ms: of(({ roundTripMs }) => roundTripMs.p99),
      addedMs: roundTripP50Ms.median - baseline,
      lossPercent: of(({ sent, received }) => (100 * (sent - received)) / sent),
    };
  });
}

function microsPerPacket(run: Run): number {
  return (cpuSum(run) * 1e6) / run.received;
}

function cpuSum({ cpu }: Run): number {
  return Object.values(cpu).reduce((sum, seconds) => sum + seconds, 0);
}

function report(rows: readonly Row[], args: BenchArguments): void {
  printTable([
    ['server', 'calls', 'CPU µs/packet', 'part of Pion', '% of a core/call', 'set-up p50 ms', 'p99 ms', 'round trip p50 ms', 'p99 ms', 'added ms', 'loss %'],
    ...rows.map((row) => [
      row.server,
      String(row.calls),
      formatFigure(row.cpuMicros, 1),
      row.partOfPion?.toFixed(2) ?? '–',
      formatFigure(row.cpuPercentPerCall, 3),
      row.setupMs?.p50.toFixed(0) ?? '–',
      row.setupMs?.p99.toFixed(0) ?? '–',
      formatFigure(row.roundTripP50Ms),
      formatFigure(row.roundTripP99Ms),
      row.addedMs.toFixed(2),
      formatFigure(row.lossPercent, 3),
    ]),
  ]);
  console.log('');
  printTable([
    ['process', 'calls', 'CPU µs/packet', 'its busiest thread', 'its load generator, % of a core'],
    ...rows.flatMap(({ server, calls, cpuMicrosOf, threadMicrosOf, loadCpuPercent }) =>
      Object.entries(cpuMicrosOf).map(([part, micros]) => [
        part === server ? server : `${server}: ${part}`,
        String(calls),
        formatFigure(micros, 1),
        formatFigure(threadMicrosOf[part], 1),
        formatFigure(loadCpuPercent, 0),
      ]),
    ),
  ]);
  console.log('\nbare: the same relay, and behind it the socket, the trunk and SRTP of a transceiver, without calls\n');
  finish('calls', rows, goals(rows), args);
}

function goals(rows: readonly Row[]): Goal[] {
  const at = (name: ServerName): Row | undefined => rows.find(({ server, calls }) => server === name && calls === GOAL_CALLS);
  const earshot = at('earshot');
  const pion = at('pion');
  if (earshot === undefined) return [];
  // What is lost costs little: figures with loss are those of a server that could not keep up.
  const loss = goal(`frames lost by Earshot at ${GOAL_CALLS} calls`, earshot.lossPercent.median, '%', 0.1, 'at most');
  if (pion === undefined || Math.max(earshot.lossPercent.median, pion.lossPercent.median) > JUDGED_LOSS_PERCENT) {
    console.log(`Without Pion, or with more than ${JUDGED_LOSS_PERCENT} % lost, the other goals cannot be judged.`);
    return [loss];
  }
  return [
    loss,
    goal(
      `CPU per echoed packet, relay included, as part of Pion's, at ${GOAL_CALLS} calls (bare in the same run: ${at('bare')?.partOfPion?.toFixed(2)})`,
      earshot.cpuMicros.median / pion.cpuMicros.median,
      '',
      0.33,
      'at most',
    ),
    goal(
      `p99 round trip as part of Pion's, at ${GOAL_CALLS} calls`,
      earshot.roundTripP99Ms.median / pion.roundTripP99Ms.median,
      '',
      1,
      'at most',
    ),
  ];
}

/** Places the calls and resolves when all are up. */
async function startLoad(server: Server, orders: CallLoadOrders): Promise<Load> {
  const child = fork(new URL('./call-parts/call-load.js', import.meta.url), [JSON.stringify(orders)]);
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`the load generator that calls ${server.name} ended with code ${code}`);
  });
  failed.catch(() => undefined);
  const next = async <Type extends CallLoadReport['type']>(type: Type): Promise<Extract<CallLoadReport, { type: Type }>> => {
    const [message] = (await Promise.race([once(child, 'message'), failed])) as [CallLoadReport];
    if (message.type !== type) throw new Error(`the load generator says ${message.type} before ${type}`);
    return message as Extract<CallLoadReport, { type: Type }>;
  };
  const cpu = (): Record<string, number> =>
    Object.fromEntries(Object.entries(server.pids).map(([part, pid]) => [part, cpuSeconds(pid)]));
  const threads = (): Record<string, ReadonlyMap<number, number>> =>
    Object.fromEntries(Object.entries(server.pids).map(([part, pid]) => [part, threadCpuSeconds(pid)]));
  const busiest = (after: ReadonlyMap<number, number>, before: ReadonlyMap<number, number>): number =>
    Math.max(...Array.from(after, ([tid, seconds]) => seconds - (before.get(tid) ?? 0)));
  const loadCpu = (): number => cpuSeconds(child.pid ?? 0);
  const { setupMs } = await next('ready');
  const measure = async (): Promise<Run> => {
    child.send('measure');
    await next('measuring');
    const [before, threadsBefore, loadBefore, startedAt] = [cpu(), threads(), loadCpu(), performance.now()];
    await next('measured');
    const seconds = (performance.now() - startedAt) / 1000;
    const used = Object.entries(cpu()).map(([part, after]) => [part, after - before[part]]);
    const usedByThread = Object.entries(threads()).map(([part, after]) => [part, busiest(after, threadsBefore[part])]);
    const loadCpuSeconds = loadCpu() - loadBefore;
    const { result } = await next('result');
    const [cpuOf, threadCpu] = [Object.fromEntries(used), Object.fromEntries(usedByThread)];
    return { server: server.name, cpu: cpuOf, threadCpu, loadCpuSeconds, seconds, ...result };
  };
  return {
    server,
    setupMs,
    measure,
    async warmUp() {
      await measure();
    },
    async stop() {
      const exit = once(child, 'exit');
      child.disconnect();
      await exit;
    },
  };
}

async function startUdpEcho(): Promise<Server> {
  const child = fork(new URL('./call-parts/udp-echo.js', import.meta.url));
  const [address] = (await once(child, 'message')) as [string];
  return { name: 'udp', target: `udp://${address}`, pids: { udp: child.pid ?? 0 }, stop: () => end(child) };
}

async function startRelay(): Promise<{ relay: EarshotProcess; udp: string }> {
  const udp = `127.0.0.1:${await freeUdpPort()}`;
  const admin = `127.0.0.1:${await freeTcpPort()}`;
  const relay = new EarshotProcess(['relay', '--udp', udp, '--http', admin, ...COMMON], SECRETS);
  await relay.ready(`http://${admin}`);
  return { relay, udp };
}

/** The floor: a relay of its own, and behind it what no transceiver can do without. */
async function startBareEcho(): Promise<Server> {
  const { relay, udp } = await startRelay();
  const echo = fork(new URL('./call-parts/bare-echo.js', import.meta.url), [SECRETS.EARSHOT_SECRET]);
  const [address] = (await once(echo, 'message')) as [string];
  const locator = { kind: 0, address: parseAddress(address) } as const;
  const ufrag = new RoutingKeys(SECRETS.EARSHOT_SECRET).encodeUfrag({ cluster: 0, locator, nonce: 1 });
  return {
    name: 'bare',
    target: `bare://${udp}/${ufrag}`,
    pids: { relay: relay.pid, echo: echo.pid ?? 0 },
    stop: async () => {
      await Promise.all([relay.kill(), end(echo)]);
    },
  };
}

async function startEarshot(): Promise<Server> {
  const { relay, udp } = await startRelay();
  const http = `127.0.0.1:${await freeTcpPort()}`;
  const transceiver = new EarshotProcess(
    ['transceiver', '--http', http, '--ingress', udp, '--agent', 'echo', '--max-calls', '10000', ...COMMON],
    SECRETS,
  );
  await transceiver.ready(`http://${http}`);
  return {
    name: 'earshot',
    target: `http://${http}/v1/realtime/calls`,
    pids: { relay: relay.pid, transceiver: transceiver.pid },
    stop: async () => {
      await Promise.all([relay.kill(), transceiver.kill()]);
    },
  };
}

async function startPion(): Promise<Server | { reason: string }> {
  const built = buildGoPeer('pion-echo', PION_PACKAGES);
  if ('reason' in built) return built;
  const http = `127.0.0.1:${await freeTcpPort()}`;
  const child = spawn(built.program, [http, `127.0.0.1:${await freeUdpPort()}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit').then(() => ({ reason: 'Pion ended before it was ready, so it runs without.' }));
  const ready = once(child.stdout, 'data').then(() => null);
  return (
    (await Promise.race([ready, ended])) ?? { name: 'pion', target: `http://${http}/`, pids: { pion: child.pid ?? 0 }, stop: () => end(child) }
  );
}

async function end(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill();
  await exit;
}

await main(benchArguments());
