import { Option, type Command } from 'commander';
import { LOG_LEVELS } from '../observe/log.ts';
import { ENGINES } from './roles.ts';
import { duration, endpoint, integer, list, redisUrl } from './values.ts';

const NETWORK = 'Network:';
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
    option(NETWORK, '--allow-targets <net,…>', 'IPv4 networks that transceivers may be in; loopback and private ones unless given').argParser(list),
  redis: () =>
    option(NETWORK, '--redis <url>', 'Redis that remembers flows for relays that restart; redis://host:6379').argParser(redisUrl),
  agent: () => option(CALLS, '--agent <agent>', 'who answers: parrot, echo or a module like ./agent.js').default('parrot', 'parrot'),
  apiKey: () => option(CALLS, '--api-key <key>', 'what the HTTP API asks for; needed beyond loopback (the variable keeps it out of process lists)'),
  workers: (description: string) => option(LIMITS, '--workers <n>', description).argParser(integer(1, 256)),
  maxCalls: () => option(LIMITS, '--max-calls <n>', 'calls at once, 1000 per worker unless given; more are told to come back later').argParser(integer(1, 1_000_000)),
  maxFlows: () => option(LIMITS, '--max-flows <n>', 'client addresses that one worker remembers').argParser(integer(16, 16_777_216)).default(65_536),
  idleTimeout: () => option(LIMITS, '--idle-timeout <time>', 'how long an address is remembered that says nothing').argParser(duration).default(60_000, '60s'),
  trunkMtu: () => option(LIMITS, '--trunk-mtu <bytes>', 'largest UDP payload on the trunk').argParser(integer(576, 2048)).default(1472),
  drainTimeout: (description: string, milliseconds: number, shown: string) =>
    option(OPERATION, '--drain-timeout <time>', description).argParser(duration).default(milliseconds, shown),
  logLevel: () => option(OPERATION, '--log-level <level>', 'least level that is logged, to stderr').choices(LOG_LEVELS).default('info', 'info'),
};

function option(group: string, flags: string, description: string): Option {
  const created = new Option(flags, description).helpGroup(group);
  return created.env(environmentName(created.long ?? ''));
}
