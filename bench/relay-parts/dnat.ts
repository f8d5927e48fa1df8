import { spawnSync } from 'node:child_process';
import { figure, type Figure } from '../support/stats.ts';
import { type LoadResult, lossPercent } from './load.ts';
import { findMaxRate, type MaxRate } from './max-rate.ts';
import { Generator, type Part, startPartWithin } from './processes.ts';
import { type Disturbance, takeTurns } from './turns.ts';

/** What the kernel's own nftables DNAT adds to a direct connection: the limit of what any relay can be. */
export interface DnatFigures {
  readonly rate: number;
  /** CPU µs of the whole machine per packet, more than without the DNAT: the kernel's work is no process's. */
  readonly addedCpuMicros: Figure;
  readonly addedP50Micros: Figure;
  readonly addedP99Micros: Figure;
  readonly lossPercent: Figure;
  readonly maxRate: MaxRate;
}

export interface DnatOptions {
  readonly rate: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly step: number;
}

/**
 *   client ──veth── router (DNAT) ──veth── server        clients 10.0.0.0/8, to 203.0.113.1:3478
 *      └───────────────veth───────────────────┘          clients 11.0.0.0/8: the same without the router
 *
 * Three network namespaces of our own. On veth, not on loopback as the relays: compare the order of magnitude.
 */
const NAMES = { client: `earshot-client-${process.pid}`, router: `earshot-router-${process.pid}`, server: `earshot-server-${process.pid}` };
const PUBLIC = { address: '203.0.113.1', port: 3478 };
const DIRECT_NETWORK = 11;
const DNAT_NETWORK = 10;
const CLIENTS = 500;

/** The figures, or a sentence that says why there are none. Leaves nothing behind, whatever ends the bench. */
export async function dnat(options: DnatOptions, disturbance: Disturbance): Promise<DnatFigures | { reason: string }> {
  if (process.getuid?.() !== 0) return { reason: 'Without the right to make network namespaces there is no row for nftables DNAT.' };
  const interrupted = (): never => process.exit(130);
  process.once('exit', cleanUp);
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  const parts: (Part | Generator)[] = [];
  try {
    const fault = lay();
    if (fault !== null) return { reason: `There is no row for nftables DNAT, for network namespaces cannot be used here: ${fault}` };
    const echo = await startPartWithin(within('server'), 'echo-transceiver', 'direct', '256', '0.0.0.0:0');
    parts.push(echo);
    const port = Number(echo.address.split(':').at(-1));
    const rule = `add rule ip nat prerouting ip daddr ${PUBLIC.address} udp dport ${PUBLIC.port} dnat to 192.0.2.6:${port}`;
    const ruleFault = runAll([[...within('router'), 'nft', rule]]);
    if (ruleFault !== null) return { reason: `There is no row for nftables DNAT: ${ruleFault}` };
    const generator = await Generator.start(within('client'));
    parts.push(generator);
    return await measure(generator, port, options, disturbance);
  } finally {
    for (const part of parts) if (part instanceof Generator) part.close();
      else part.process.kill();
    process.off('exit', cleanUp);
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
    cleanUp();
  }
}

async function measure(generator: Generator, port: number, { rate, rounds, seconds, step }: DnatOptions, disturbance: Disturbance): Promise<DnatFigures> {
  const load = (way: 'dnat' | 'direct', at: number, duration: number): Promise<LoadResult> =>
    generator.run({
      relay: way === 'dnat' ? `${PUBLIC.address}:${PUBLIC.port}` : `192.0.2.10:${port}`,
      network: way === 'dnat' ? DNAT_NETWORK : DIRECT_NETWORK,
      relayPid: null,
      ufrag: null,
      clients: CLIENTS,
      rate: at,
      seconds: duration,
    });
  const results = await takeTurns(['dnat', 'direct'] as const, rounds, disturbance, (way) => load(way, rate, seconds));
  const [through, direct] = [results.get('dnat')!, results.get('direct')!];
  const added = (value: (result: LoadResult) => number): Figure => figure(through.map((result, round) => value(result) - value(direct[round])));
  return {
    rate,
    addedCpuMicros: added(({ machineCpu, received }) => (machineCpu * 1e6) / (2 * received)),
    addedP50Micros: added(({ p50 }) => p50),
    addedP99Micros: added(({ p99 }) => p99),
    lossPercent: figure(through.map(lossPercent)),
    maxRate: await findMaxRate(step, (at) => load('dnat', at, seconds / 2)),
  };
}

/** Lays the namespaces, wires and routes; says what went wrong, or null. */
function lay(): string | null {
  const { client, router, server } = NAMES;
  const ip = (command: string): string[] => ['ip', ...command.split(' ')];
  const wire = (a: string, to: string, b: string, back: string): string[] => ip(`link add ${to} netns ${a} type veth peer name ${back} netns ${b}`);
  const address = (name: string, device: string, cidr: string): string[][] => [ip(`-n ${name} address add ${cidr} dev ${device}`), ip(`-n ${name} link set ${device} up`)];
  return runAll([
    ...[client, router, server].flatMap((name) => [ip(`netns add ${name}`), ip(`-n ${name} link set lo up`)]),
    wire(client, 'router', router, 'client'),
    wire(router, 'server', server, 'router'),
    wire(client, 'server', server, 'client'),
    ...address(client, 'router', '192.0.2.1/30'),
    ...address(router, 'client', '192.0.2.2/30'),
    ...address(router, 'server', '192.0.2.5/30'),
    ...address(server, 'router', '192.0.2.6/30'),
    ...address(client, 'server', '192.0.2.9/30'),
    ...address(server, 'client', '192.0.2.10/30'),
    ip(`-n ${client} route add local ${DNAT_NETWORK}.0.0.0/8 dev lo`),
    ip(`-n ${client} route add local ${DIRECT_NETWORK}.0.0.0/8 dev lo`),
    ip(`-n ${client} route add ${PUBLIC.address} via 192.0.2.2`),
    ip(`-n ${router} route add ${DNAT_NETWORK}.0.0.0/8 via 192.0.2.1`),
    ip(`-n ${server} route add ${DNAT_NETWORK}.0.0.0/8 via 192.0.2.5`),
    ip(`-n ${server} route add ${DIRECT_NETWORK}.0.0.0/8 via 192.0.2.9`),
    [...within('router'), 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'],
    [...within('router'), 'nft', 'add table ip nat; add chain ip nat prerouting { type nat hook prerouting priority dstnat; }'],
  ]);
}

function within(place: keyof typeof NAMES): string[] {
  return ['ip', 'netns', 'exec', NAMES[place]];
}

function runAll(commands: readonly (readonly string[])[]): string | null {
  for (const [program, ...args] of commands) {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0) return `${[program, ...args].join(' ')}: ${error?.message ?? stderr.trim()}`;
  }
  return null;
}

/** With a namespace go its wires, routes and rules. One that was never made is no fault. */
function cleanUp(): void {
  for (const name of Object.values(NAMES)) spawnSync('ip', ['netns', 'delete', name]);
}
