import type { Command } from 'commander';
import { createLogger, type LogLevel } from '../observe/log.ts';
import { Metrics } from '../observe/metrics.ts';
import { createAdminServer, type HttpServer } from '../signaling/base-server.ts';
import { formatAddress } from '../wire/address.ts';
import { readSecrets, SECRET_HELP, warnOfWeakSecret } from './environment.ts';
import { options, required } from './options.ts';
import type { Engine, Roles } from './roles.ts';
import { runUntilSignal } from './run-until-signal.ts';
import { httpListenError } from './startup-error.ts';
import { resolveAddress } from './values.ts';
import { VERSION } from './version.ts';

interface RelayFlags {
  readonly udp: string;
  readonly trunk: string;
  readonly http?: string;
  readonly cluster: number;
  readonly clusters?: string;
  readonly transceivers?: string[];
  readonly engine: Engine;
  readonly allowTargets?: string[];
  readonly redis?: string;
  readonly workers?: number;
  readonly maxFlows: number;
  readonly idleTimeout: number;
  readonly trunkMtu: number;
  readonly gatherUs: number;
  readonly handover?: string;
  readonly stayAfterHandover: boolean;
  readonly drainTimeout: number;
  readonly logLevel: LogLevel;
}

export function addRelayCommand(program: Command, roles: Roles): void {
  program
    .command('relay')
    .summary('forward packets behind one UDP port')
    .description('Forwards packets between callers and transceivers, behind one UDP port. Keeps no call: it may be killed at any moment.')
    .addOption(required(options.udp('public UDP address that callers send to')))
    .addOption(required(options.trunk()))
    .addOption(options.http('address of health, readiness and metrics; none unless given'))
    .addOption(options.cluster())
    .addOption(options.clusters('YAML file that lists the clusters, for a relay that forwards to all of them; without --cluster it belongs to none'))
    .addOption(options.transceivers())
    .addOption(options.engine())
    .addOption(options.allowTargets())
    .addOption(options.redis('flows for relays that restart'))
    .addOption(options.workers('worker threads, one for every two cores unless given; the dgram engine has one'))
    .addOption(options.maxFlows())
    .addOption(options.idleTimeout())
    .addOption(options.trunkMtu())
    .addOption(options.gatherUs())
    .addOption(options.handover())
    .addOption(options.stayAfterHandover())
    .addOption(options.drainTimeout('how long it forwards on after SIGTERM, not ready, while clients still send to it', 20_000, '20s'))
    .addOption(options.logLevel())
    .addHelpText('after', `${SECRET_HELP}\n\nExample:\n  earshot relay --udp 0.0.0.0:3478 --trunk 10.0.0.5:7000 --http 0.0.0.0:9090`)
    .action((flags: RelayFlags, command: Command) => runRelay(flags, roles, command.getOptionValueSource('cluster') !== 'default'));
}

async function runRelay(flags: RelayFlags, roles: Roles, isOfCluster: boolean): Promise<void> {
  const { cluster, clusters, transceivers, engine, allowTargets, redis, handover, workers, maxFlows, trunkMtu, gatherUs, logLevel } = flags;
  const secrets = readSecrets();
  const logger = createLogger({ level: logLevel, redact: Object.values(secrets) });
  warnOfWeakSecret(secrets, logger);
  const relay = await roles.startRelay({
    ...secrets,
    udp: await resolveAddress(flags.udp),
    trunk: await resolveAddress(flags.trunk),
    ...(allowTargets === undefined ? {} : { allowTargets }),
    ...(workers === undefined ? {} : { workers }),
    ...(redis === undefined ? {} : { redis }),
    ...(handover === undefined ? {} : { handover }),
    ...(isOfCluster || clusters === undefined ? { cluster } : {}),
    ...(clusters === undefined ? {} : { clusters }),
    ...(transceivers === undefined ? {} : { transceivers }),
    engine,
    maxFlows,
    idleTimeoutMs: flags.idleTimeout,
    trunkMtu,
    gatherUs,
  }, logger);
  let ready = true;
  const metrics = new Metrics(VERSION, 'relay');
  metrics.add(relay.metrics);
  let http: HttpServer | null = null;
  if (flags.http !== undefined) {
    const address = await resolveAddress(flags.http);
    await relay.predecessorLeft();
    http = createAdminServer({
      logger,
      metrics: () => metrics.text(),
      ready: () => ready,
      countRequest: (request) => metrics.countRequest(request),
    });
    await http.listen(address).catch((error: unknown) => {
      throw httpListenError(error, address);
    });
  }
  const service = {
    drain: (timeoutMs: number) => {
      ready = false;
      return relay.drain(timeoutMs);
    },
    close: async () => {
      await http?.close();
      await relay.close();
    },
  };
  const stopped = runUntilSignal(service, flags.drainTimeout, logger, { done: relay.handedOver, stays: flags.stayAfterHandover });
  if (relay.takenOver !== null) logger.info(relay.takenOver, 'took over from the relay before');
  logger.info({ udp: formatAddress(relay.udp), trunk: flags.trunk, cluster }, 'relay started');
  await Promise.race([stopped, relay.finished.then(() => stopped)]);
}
