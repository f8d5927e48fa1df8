import type { Command } from 'commander';
import { createLogger, type LogLevel } from '../observe/log.ts';
import { Metrics } from '../observe/metrics.ts';
import { formatAddress, type TransportAddress } from '../wire/address.ts';
import { requireKeyBeyondLoopback, startApiServer } from './api-server.ts';
import { readSecrets, SECRET_HELP, warnOfWeakSecret } from './environment.ts';
import { addAgentOptions, agentSettings, options, required, type AgentFlags } from './options.ts';
import type { Roles } from './roles.ts';
import { runUntilSignal } from './run-until-signal.ts';
import { StartupError } from './startup-error.ts';
import { endpoints, isUnspecified, resolveAddress } from './values.ts';
import { VERSION } from './version.ts';

interface TransceiverFlags extends AgentFlags {
  readonly http: string;
  readonly trunk: string;
  readonly advertiseTrunk?: string;
  readonly ingress: string[];
  readonly cluster: number;
  readonly redis?: string;
  readonly apiKey?: string;
  readonly workers?: number;
  readonly maxCalls?: number;
  readonly trunkMtu: number;
  readonly earlyMedia: 'on' | 'off';
  readonly ticketLifetime: number;
  readonly maxDuration: number;
  readonly drainTimeout: number;
  readonly logLevel: LogLevel;
}

export function addTransceiverCommand(program: Command, roles: Roles): void {
  const command = program
    .command('transceiver')
    .summary('answer calls behind relays')
    .description('Answers calls: takes offers over HTTP and media through relays, and talks to the agent.')
    .addOption(required(options.http('address of the HTTP API, health and metrics')))
    .addOption(required(options.trunk()))
    .addOption(options.advertiseTrunk())
    .addOption(required(options.ingress().argParser(endpoints)))
    .addOption(options.cluster())
    .addOption(options.redis('which answers ahead (?instant) are used, and what they cannot hold'));
  addAgentOptions(command)
    .addOption(options.apiKey())
    .addOption(options.workers('worker threads, one per core but one unless given'))
    .addOption(options.maxCalls())
    .addOption(options.earlyMedia())
    .addOption(options.ticketLifetime())
    .addOption(options.maxDuration())
    .addOption(options.trunkMtu())
    .addOption(options.drainTimeout('how long live calls may go on after SIGTERM', 600_000, '10m'))
    .addOption(options.logLevel())
    .addHelpText(
      'after',
      `${SECRET_HELP}\n\nExample:\n  earshot transceiver --http 0.0.0.0:8080 --trunk 10.0.0.6:7100 --ingress 203.0.113.9:3478 --agent ./agent.js`,
    )
    .action((flags: TransceiverFlags) => runTransceiver(flags, roles));
}

async function runTransceiver(flags: TransceiverFlags, roles: Roles): Promise<void> {
  const { agent, cluster, redis, workers, maxCalls, trunkMtu, logLevel, apiKey = null } = flags;
  const secrets = readSecrets();
  const logger = createLogger({ level: logLevel, redact: [...Object.values(secrets), apiKey ?? '', flags.upstreamKey ?? ''] });
  warnOfWeakSecret(secrets, logger);
  const address = await resolveAddress(flags.http);
  requireKeyBeyondLoopback(address, apiKey);
  const trunk = await resolveAddress(flags.trunk);
  const advertiseTrunk = flags.advertiseTrunk === undefined ? null : await resolveAddress(flags.advertiseTrunk);
  requireReachable(advertiseTrunk ?? trunk, '--advertise-trunk ADDR');
  const ingress = await Promise.all(flags.ingress.map(resolveAddress));
  for (const candidate of ingress) requireReachable(candidate, '--ingress ADDR');

  const transceiver = await roles.startTransceiver({
    ...secrets,
    trunk,
    ...(advertiseTrunk === null ? {} : { advertiseTrunk }),
    ingress,
    ...(workers === undefined ? {} : { workers }),
    ...(maxCalls === undefined ? {} : { maxCalls }),
    cluster,
    agents: agent,
    agentSettings: agentSettings(flags),
    maxDurationMs: flags.maxDuration,
    trunkMtu,
    earlyMedia: flags.earlyMedia === 'on',
    ticketLifetimeMs: flags.ticketLifetime,
    ...(redis === undefined ? {} : { store: redis }),
    logLevel,
  }, logger);
  const metrics = new Metrics(VERSION, 'transceiver');
  metrics.add(() => transceiver.metrics());
  const http = await startApiServer({ address, apiKey, secrets, transceiver, metrics, logger });
  const service = {
    drain: (timeoutMs: number) => transceiver.drain(timeoutMs),
    close: async () => {
      await http.server.close();
      await transceiver.close();
    },
  };
  const stopped = runUntilSignal(service, flags.drainTimeout, logger);
  logger.info({ http: formatAddress(http.address), trunk: formatAddress(trunk), agents: transceiver.agents, cluster }, 'transceiver started');
  await stopped;
}

/** What others are told to send to must name a machine. */
function requireReachable(address: TransportAddress, flag: string): void {
  if (isUnspecified(address)) {
    throw new StartupError(`${formatAddress(address)} is no address that anybody can send to: say with ${flag} which one is.`);
  }
}
