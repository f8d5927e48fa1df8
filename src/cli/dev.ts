import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { createLogger, type LogLevel } from '../observe/log.ts';
import { Metrics } from '../observe/metrics.ts';
import { formatAddress, parseAddress, parseIp, type TransportAddress } from '../wire/address.ts';
import { requireKeyBeyondLoopback, startApiServer } from './api-server.ts';
import { findSecrets, warnOfWeakSecret } from './environment.ts';
import { addAgentOptions, agentSettings, options, type AgentFlags } from './options.ts';
import type { Roles } from './roles.ts';
import { runUntilSignal } from './run-until-signal.ts';
import { isUnspecified, resolveAddress, urlHost } from './values.ts';
import { VERSION } from './version.ts';

interface DevFlags extends AgentFlags {
  readonly http: string;
  readonly udp: string;
  readonly redis?: string;
  readonly apiKey?: string;
  readonly workers: number;
  readonly maxCalls?: number;
  readonly earlyMedia: 'on' | 'off';
  readonly ticketLifetime: number;
  readonly maxDuration: number;
  readonly drainTimeout: number;
  readonly logLevel: LogLevel;
}

/** The package's folder of the talk page, seen from the compiled file. */
const PAGE = fileURLToPath(new URL('../../../web', import.meta.url));
/** Between relay and transceiver on this machine; the system chooses ports, so several `dev` can run side by side. */
const TRUNK = parseAddress('127.0.0.1:0');
const TRUNK_MTU = 1472;

export function addDevCommand(program: Command, roles: Roles): void {
  const command = program
    .command('dev')
    .summary('relay, transceiver and talk page in one, to try and to develop')
    .description('Runs a relay, a transceiver and the talk page together, with real UDP between them.')
    .addOption(options.http('address of the talk page and the HTTP API').default('127.0.0.1:8080', '127.0.0.1:8080'))
    .addOption(options.udp('UDP address that callers send to').default('127.0.0.1:3478', '127.0.0.1:3478'))
    .addOption(options.redis('flows for relays that restart'));
  addAgentOptions(command)
    .addOption(options.apiKey())
    .addOption(options.workers('worker threads of the transceiver').default(1))
    .addOption(options.maxCalls())
    .addOption(options.earlyMedia())
    .addOption(options.ticketLifetime())
    .addOption(options.maxDuration())
    .addOption(options.drainTimeout('how long live calls may go on after Ctrl+C or SIGTERM', 2000, '2s'))
    .addOption(options.logLevel())
    .addHelpText(
      'after',
      '\nEnvironment:\n  EARSHOT_SECRET  secret that routing tokens and client secrets are made under (default: a new one at each start)' +
        '\n\nExample:\n  earshot dev --agent ./agent.js',
    )
    .action((flags: DevFlags) => runDev(flags, roles));
}

async function runDev(flags: DevFlags, roles: Roles): Promise<void> {
  const { agent, redis, workers, maxCalls, logLevel, apiKey = null } = flags;
  const secrets = findSecrets() ?? { secret: randomBytes(32).toString('base64') };
  const logger = createLogger({ level: logLevel, redact: [...Object.values(secrets), apiKey ?? '', flags.upstreamKey ?? ''] });
  warnOfWeakSecret(secrets, logger);
  const httpAddress = await resolveAddress(flags.http);
  requireKeyBeyondLoopback(httpAddress, apiKey);

  const relay = await roles.startRelay({
    ...secrets,
    udp: await resolveAddress(flags.udp),
    trunk: TRUNK,
    cluster: 0,
    // They are known when they run.
    transceivers: [],
    engine: 'auto',
    ...(redis === undefined ? {} : { redis }),
    workers: 1,
    maxFlows: 4096,
    idleTimeoutMs: 60_000,
    trunkMtu: TRUNK_MTU,
  }, logger);
  const transceiver = await roles.startTransceiver({
    ...secrets,
    trunk: TRUNK,
    ingress: reachableAddresses(relay.udp),
    cluster: 0,
    agents: agent,
    agentSettings: agentSettings(flags),
    maxDurationMs: flags.maxDuration,
    workers,
    ...(maxCalls === undefined ? {} : { maxCalls }),
    trunkMtu: TRUNK_MTU,
    earlyMedia: flags.earlyMedia === 'on',
    ticketLifetimeMs: flags.ticketLifetime,
    store: 'memory',
    logLevel,
  }, logger);
  relay.updateTransceivers(transceiver.trunk);
  const metrics = new Metrics(VERSION, 'dev');
  metrics.add(relay.metrics);
  metrics.add(() => transceiver.metrics());
  const http = await startApiServer({ address: httpAddress, apiKey, secrets, transceiver, metrics, logger, publicDirectory: PAGE });
  const service = {
    drain: (timeoutMs: number) => transceiver.drain(timeoutMs),
    close: async () => {
      await http.server.close();
      await transceiver.close();
      await relay.close();
    },
  };
  const stopped = runUntilSignal(service, flags.drainTimeout, logger);
  process.stdout.write(greeting(http.address, relay.udp, transceiver.agents, apiKey !== null));
  await Promise.race([stopped, relay.finished.then(() => stopped)]);
}

/** What callers can send to when the relay listens on `bound`: itself, or every address of this machine. */
function reachableAddresses(bound: TransportAddress): TransportAddress[] {
  if (!isUnspecified(bound)) return [bound];
  const addresses: TransportAddress[] = [];
  for (const { address, scopeid } of Object.values(networkInterfaces()).flatMap((interfaces) => interfaces ?? [])) {
    const ip = parseIp(address);
    // Link-local addresses mean nothing without a zone, and an IPv4 socket takes IPv4 only.
    if (!ip || scopeid || (bound.family === 4 && ip.length === 16)) continue;
    addresses.push({ family: ip.length === 4 ? 4 : 6, ip, port: bound.port });
  }
  return addresses;
}

function greeting(http: TransportAddress, udp: TransportAddress, agents: readonly string[], needsKey: boolean): string {
  const url = `http://${urlHost(http)}`;
  const key = needsKey ? 'asks for the API key' : 'needs no key, serves this machine only';
  return [
    '',
    `  Earshot ${VERSION}`,
    '',
    `  Talk    ${url}/`,
    `  API     ${url}/v1/realtime/calls  (${key})`,
    `  Media   UDP ${formatAddress(udp)}`,
    `  Agent   ${agents.join(', ')}`,
    '',
    '  Press Ctrl+C to stop.',
    '',
    '',
  ].join('\n');
}
