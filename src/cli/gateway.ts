import type { Command } from 'commander';
import { HEADER_SETS, type HeaderSet } from '../gateway/locate.ts';
import { createLogger, type LogLevel } from '../observe/log.ts';
import { Metrics } from '../observe/metrics.ts';
import { formatAddress } from '../wire/address.ts';
import { readSecrets, SECRET_HELP, warnOfWeakSecret } from './environment.ts';
import { options, required } from './options.ts';
import { runUntilSignal } from './run-until-signal.ts';
import { httpListenError } from './startup-error.ts';
import { resolveAddress } from './values.ts';
import { VERSION } from './version.ts';

interface GatewayFlags {
  readonly http: string;
  readonly clusters: string;
  readonly geoip?: string;
  readonly trustHeaders?: HeaderSet;
  readonly trustProxies?: string[];
  readonly attemptTimeout: number;
  readonly ratePerAddress: number;
  readonly ratePerKey: number;
  readonly drainTimeout: number;
  readonly logLevel: LogLevel;
}

export function addGatewayCommand(program: Command): void {
  program
    .command('gateway')
    .summary('bring each call to the nearest cluster')
    .description('Takes offers over HTTP and brings each to the nearest cluster that is up and has room. Keeps no call: any number of them may run.')
    .addOption(required(options.http('address of the HTTP API, health and metrics')))
    .addOption(required(options.clusters('YAML file that lists the clusters; read again when it changes')))
    .addOption(options.geoip())
    .addOption(options.trustHeaders(HEADER_SETS))
    .addOption(options.trustProxies())
    .addOption(options.attemptTimeout())
    .addOption(options.ratePerAddress())
    .addOption(options.ratePerKey())
    .addOption(options.drainTimeout('how long it serves on after SIGTERM, not ready, until load balancers have noticed', 5_000, '5s'))
    .addOption(options.logLevel())
    .addHelpText('after', `${SECRET_HELP}\n\nExample:\n  earshot gateway --http 0.0.0.0:8080 --clusters clusters.yaml --trust-headers cloudflare`)
    .action(runGateway);
}

async function runGateway(flags: GatewayFlags): Promise<void> {
  const { clusters, geoip, trustHeaders, trustProxies, logLevel, ratePerAddress, ratePerKey } = flags;
  const secrets = readSecrets();
  const logger = createLogger({ level: logLevel, redact: Object.values(secrets) });
  warnOfWeakSecret(secrets, logger);
  const address = await resolveAddress(flags.http);
  const { createGatewayServer, startGateway } = await import('../gateway/index.ts');
  const gateway = await startGateway({
    ...secrets,
    clusters,
    ...(geoip === undefined ? {} : { geoip }),
    ...(trustHeaders === undefined ? {} : { trustHeaders }),
    ...(trustProxies === undefined ? {} : { trustProxies }),
    attemptTimeoutMs: flags.attemptTimeout,
    logger,
  });
  const metrics = new Metrics(VERSION, 'gateway');
  metrics.add(() => gateway.metrics());
  const server = await createGatewayServer({
    gateway,
    ratePerAddress,
    ratePerKey,
    logger,
    metrics: () => metrics.text(),
    countRequest: (request) => metrics.countRequest(request),
  });
  const bound = await server.listen(address).catch((error: unknown) => {
    throw httpListenError(error, address);
  });
  const service = {
    drain: (timeoutMs: number) => gateway.drain(timeoutMs),
    close: async () => {
      await server.close();
      gateway.close();
    },
  };
  const stopped = runUntilSignal(service, flags.drainTimeout, logger);
  logger.info({ http: formatAddress(bound), clusters }, 'gateway started');
  await stopped;
}
