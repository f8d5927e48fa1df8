import { Option, type Command } from 'commander';
import type { AgentSettings } from '../agents/load.ts';
import { LOG_LEVELS } from '../observe/log.ts';
import { ENGINES } from './roles.ts';
import { duration, endpoint, endpoints, integer, list, redisUrl, url } from './values.ts';

const NETWORK = 'Network:';
const CALLERS = 'Callers:';
const CALLS = 'Calls:';
const LIMITS = 'Limits:';
const OPERATION = 'Operation:';

/** The environment variable of a flag: `--max-calls` is `EARSHOT_MAX_CALLS`. */
export function environmentName(flag: string): string {
  return `EARSHOT_${flag.slice(2).toUpperCase().replaceAll('-', '_')}`;
}

const REQUIRED = new WeakSet<Option>();

/** Marks an option that a command cannot do without. */
export function required(option: Option): Option {
  REQUIRED.add(option);
  option.description += ' (required)';
  return option;
}

/**
 * Ends a command that lacks a required flag. Commander's own mandatory options are checked before unknown ones, so
 * that it would name a missing flag where one was misspelt.
 */
export function requireFlags(command: Command): void {
  for (const option of command.options) {
    if (!REQUIRED.has(option) || command.getOptionValue(option.attributeName()) !== undefined) continue;
    const or = option.envVar === undefined ? '' : ` or set ${option.envVar}`;
    command.error(`${option.flags} is required: give the flag${or}.`);
  }
}

/** The flags that several commands have, each described once. */
export const options = {
  http: (description: string) => option(NETWORK, '--http <addr>', description).argParser(endpoint),
  udp: (description: string) => option(NETWORK, '--udp <addr>', description).argParser(endpoint),
  trunk: () => option(NETWORK, '--trunk <addr>', 'UDP address towards the other side; worker i takes port + i').argParser(endpoint),
  advertiseTrunk: () =>
    option(NETWORK, '--advertise-trunk <addr>', 'trunk address at which relays reach this transceiver, if not --trunk').argParser(endpoint),
  ingress: () => option(NETWORK, '--ingress <addr,…>', "public UDP addresses of the relays: the callers' candidates, best first"),
  cluster: () => option(NETWORK, '--cluster <id>', 'number of this cluster').argParser(integer(0, 0xffff)).default(0),
  engine: () => option(NETWORK, '--engine <engine>', 'how UDP is read and written; mmsg is batched, on Linux').choices(ENGINES).default('auto'),
  allowTargets: () =>
    option(NETWORK, '--allow-targets <net,…>', 'IPv4 networks that transceivers and other relays may be in; loopback and private ones unless given').argParser(list),
  transceivers: () =>
    option(NETWORK, '--transceivers <addr,…>', 'trunk addresses of the transceivers of this cluster, the first worker of each, for instant connect; a name stands for all its IPv4 addresses, which are followed').argParser(endpoints),
  clusters: (description: string) => option(NETWORK, '--clusters <file>', description),
  geoip: () => option(CALLERS, '--geoip <file>', 'database of IP addresses in MMDB format, for callers of whom no header says where they are'),
  trustHeaders: (sets: readonly string[]) =>
    option(CALLERS, '--trust-headers <set>', 'headers by which the CDN in front says where callers are; none unless given').choices(sets),
  trustProxies: () =>
    option(CALLERS, '--trust-proxies <net,…>', 'networks whose headers are believed; loopback and private ones unless given').argParser(list),
  attemptTimeout: () =>
    option(CALLS, '--attempt-timeout <time>', 'after this time without an answer the next cluster is asked too').argParser(duration).default(1_000, '1s'),
  agent: () =>
    option(CALLS, '--agent <agent,…>', 'who answers: parrot, echo, realtime, cascade or a module like ./agent.js; of several, callers choose by `model`')
      .argParser(list)
      .default(['parrot', 'echo'], 'parrot,echo'),
  upstream: () =>
    option(CALLS, '--upstream <url>', 'server behind the agent: wss://… for realtime, the base URL https://…/v1 for cascade').argParser(url),
  upstreamKey: () => option(CALLS, '--upstream-key <key>', 'what that server asks for (the variable keeps it out of process lists)'),
  stt: () => option(CALLS, '--stt <model>', 'speech to text of cascade: model, or base-url#model; whisper-1 unless given'),
  llm: () => option(CALLS, '--llm <model>', 'language model of cascade, as --stt; gpt-4o-mini unless given'),
  tts: () => option(CALLS, '--tts <model>', 'text to speech of cascade, as --stt; tts-1 unless given'),
  earlyMedia: () =>
    option(CALLS, '--early-media <on|off>', "on: the agent is heard half a round trip before the caller's certificate has been verified; off: not before").choices(['on', 'off']).default('on'),
  ticketLifetime: () =>
    option(CALLS, '--ticket-lifetime <time>', 'how long an answer ahead (?instant) is good for').argParser(duration).default(600_000, '10m'),
  maxDuration: () => option(LIMITS, '--max-duration <time>', 'the longest that a call may last').argParser(duration).default(3_600_000, '1h'),
  redis: (what: string) => option(NETWORK, '--redis <url>', `Redis that remembers ${what}; redis://host:6379`).argParser(redisUrl),
  handover: () => option(OPERATION, '--handover <path>', 'Unix socket at which a new relay takes over from the one before it, without losing a packet; @name: of the network namespace'),
  stayAfterHandover: () => option(OPERATION, '--stay-after-handover', 'when another relay has taken over, wait for SIGTERM instead of ending, so that a supervisor starts nothing again').default(false),
  apiKey: () => option(CALLS, '--api-key <key>', 'what the HTTP API asks for; needed beyond loopback (the variable keeps it out of process lists)'),
  workers: (description: string) => option(LIMITS, '--workers <n>', description).argParser(integer(1, 256)),
  maxCalls: () => option(LIMITS, '--max-calls <n>', 'calls at once, 1000 per worker unless given; more are told to come back later').argParser(integer(1, 1_000_000)),
  maxFlows: () => option(LIMITS, '--max-flows <n>', 'client addresses that one worker remembers').argParser(integer(16, 16_777_216)).default(65_536),
  idleTimeout: () => option(LIMITS, '--idle-timeout <time>', 'how long an address is remembered that says nothing').argParser(duration).default(60_000, '60s'),
  ratePerAddress: () =>
    option(LIMITS, '--rate-per-address <n>', 'requests per minute that one address may send').argParser(integer(1, 10_000_000)).default(600),
  ratePerKey: () =>
    option(LIMITS, '--rate-per-key <n>', 'requests per minute that may come under one API key').argParser(integer(1, 10_000_000)).default(60_000),
  trunkMtu: () => option(LIMITS, '--trunk-mtu <bytes>', 'largest UDP payload on the trunk').argParser(integer(576, 2048)).default(1472),
  gatherUs: () =>
    option(LIMITS, '--gather-us <µs>', 'longest that a packet may wait under load for others to be handled with it; 0 for never').argParser(integer(0, 1000)).default(200),
  drainTimeout: (description: string, milliseconds: number, shown: string) =>
    option(OPERATION, '--drain-timeout <time>', description).argParser(duration).default(milliseconds, shown),
  logLevel: () => option(OPERATION, '--log-level <level>', 'least level that is logged, to stderr').choices(LOG_LEVELS).default('info', 'info'),
};

/** What {@link addAgentOptions} adds. */
export interface AgentFlags {
  readonly agent: string[];
  readonly upstream?: string;
  readonly upstreamKey?: string;
  readonly stt?: string;
  readonly llm?: string;
  readonly tts?: string;
}

/** The flags that say who answers, and what is behind it. */
export function addAgentOptions(command: Command): Command {
  for (const name of ['agent', 'upstream', 'upstreamKey', 'stt', 'llm', 'tts'] as const) command.addOption(options[name]());
  return command;
}

/** What was given of the settings of an agent. */
export function agentSettings({ upstream, upstreamKey, stt, llm, tts }: AgentFlags): AgentSettings {
  return Object.fromEntries(Object.entries({ upstream, upstreamKey, stt, llm, tts }).filter(([, value]) => value !== undefined));
}

function option(group: string, flags: string, description: string): Option {
  const created = new Option(flags, description).helpGroup(group);
  return created.env(environmentName(created.long ?? ''));
}
