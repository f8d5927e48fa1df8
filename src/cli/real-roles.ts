import type { HistogramReading, MetricReading } from '../observe/metrics.ts';
import type { Logger } from '../observe/log.ts';
import type { ClustersFile } from '../clusters/clusters-file.ts';
import type { PathReport, PATH_CONDITIONS, RecoveryFigures, Relay, RELAY_COUNTERS, TransceiverReport, WORKER_CONDITIONS } from '../relay/index.ts';
import type { RedisStore } from '../store/index.ts';
import { formatAddress } from '../wire/address.ts';
import { ResolvedAddresses } from './resolved-addresses.ts';
import type { Roles } from './roles.ts';

/**
 * The roles as they are built elsewhere, loaded when a command starts one: `token` has no need of a media stack, nor
 * a relay of an agent.
 */
export const roles: Roles = {
  async startRelay(options, logger) {
    const relaying = await import('../relay/index.ts');
    const { redis, clusters: file, transceivers: texts, ...relayOptions } = options;
    const clusters = file === undefined ? null : await openClusters(file, logger);
    const store = redis === undefined ? undefined : await openRedis(redis, logger);
    const names = (id: number): string => clusters?.current.byId.get(id)?.name ?? String(id);
    const transceivers = texts === undefined ? null : await ResolvedAddresses.open(texts, logger);
    const relay = await relaying.startRelay({
      ...relayOptions,
      ...(store && { store }),
      ...(clusters && { clusters: clusters.current }),
      ...(transceivers && { transceivers: transceivers.current }),
      onHandoverFailed: (error: Error) => logger.warn({ err: error }, 'no successor took over; this relay goes on'),
      onPathChange({ cluster, address, condition }, before) {
        const level = condition === 'up' ? 'info' : 'warn';
        logger[level]({ cluster: names(cluster), path: address, before, now: condition }, 'path changed');
      },
    });
    clusters?.onChange((changed) => relay.updateClusters(changed));
    transceivers?.onChange((changed) => {
      logger.info({ transceivers: changed.map(formatAddress) }, 'transceivers changed');
      relay.updateTransceivers(changed);
    });
    // While it started they may have changed already.
    if (transceivers !== null) relay.updateTransceivers(transceivers.current);
    const stopWatching = (): void => {
      clusters?.close();
      transceivers?.close();
    };
    relay.finished.then(stopWatching, stopWatching);
    return Object.assign(relay, {
      metrics: () => [
        ...relayReadings(relay, relaying.RELAY_COUNTERS),
        ...recoveryReadings(relay.recovery()),
        ...pathReadings(relay.paths(), relaying.PATH_CONDITIONS, names),
        ...(transceivers === null ? [] : transceiverReadings(relay.transceivers(), relaying.WORKER_CONDITIONS)),
      ],
    });
  },
  async startTransceiver({ store: where, ...options }, logger) {
    const { startTransceiver } = await import('../transceiver/index.ts');
    const { MemoryStore } = await import('../store/index.ts');
    const store = where === undefined ? undefined : where === 'memory' ? new MemoryStore() : await openRedis(where, logger);
    return startTransceiver({ ...options, ...(store && { store }) });
  },
  async routingKeys({ secret, previousSecret }) {
    const { RoutingKeys } = await import('../wire/routing-token.ts');
    return new RoutingKeys(secret, previousSecret);
  },
};

function relayReadings(relay: Relay, series: typeof RELAY_COUNTERS): (MetricReading | HistogramReading)[] {
  const counters = relay.counters();
  return [
    { name: 'earshot_relay_flows', help: 'Flows remembered now.', value: relay.flows() },
    { name: 'earshot_relay_gathering_workers', help: 'Workers that let packets gather now, because their load makes it pay.', value: relay.gathering() },
    ...series.map(({ key, name, help, labels }) => ({
      name: `earshot_relay_${name}_total`,
      help: `${help}.`,
      labels,
      value: counters[key],
    })),
    ...relay.histograms().map(({ name, help, ...values }) => ({ name: `earshot_relay_${name}`, help: `${help}.`, ...values })),
  ];
}

async function openClusters(file: string, logger: Logger): Promise<ClustersFile> {
  const { ClustersFile: Opened } = await import('../clusters/clusters-file.ts');
  return Opened.open(file, logger);
}

async function openRedis(url: string, logger: Logger): Promise<RedisStore> {
  const { RedisStore } = await import('../store/index.ts');
  return new RedisStore(url, (connected, reason) => {
    if (connected) logger.info('Redis is connected');
    else logger.warn({ reason }, 'Redis is away; calls go on without it');
  });
}

function recoveryReadings(figures: RecoveryFigures | null): MetricReading[] {
  if (figures === null) return [];
  const lookups = 'Clients looked up in the recovery cache, by what came of it.';
  const written = 'Flows for the recovery cache, by what became of them.';
  const prefix = 'earshot_relay_recovery';
  return [
    { name: `${prefix}_lookups_total`, help: lookups, labels: { result: 'hit' }, value: figures.hits },
    { name: `${prefix}_lookups_total`, help: lookups, labels: { result: 'miss' }, value: figures.misses },
    { name: `${prefix}_lookups_total`, help: lookups, labels: { result: 'error' }, value: figures.lookupErrors },
    { name: `${prefix}_forged_total`, help: 'Values in the recovery cache that no relay of this deployment has written.', value: figures.forged },
    { name: `${prefix}_flows_total`, help: written, labels: { result: 'written' }, value: figures.written },
    { name: `${prefix}_flows_total`, help: written, labels: { result: 'dropped' }, value: figures.writesDropped },
    { name: `${prefix}_write_batches_total`, help: 'Batches of flows written to the recovery cache.', value: figures.writeBatches },
    { name: `${prefix}_write_errors_total`, help: 'Batches that could not be written; they are tried again.', value: figures.writeErrors },
    { name: `${prefix}_queued`, help: 'Lookups and flows that wait for the recovery cache now.', value: figures.queued },
  ];
}

function pathReadings(paths: readonly PathReport[], conditions: typeof PATH_CONDITIONS, nameOf: (cluster: number) => string): MetricReading[] {
  const prefix = 'earshot_relay_path';
  return paths.flatMap(({ cluster, address, condition, roundTripMs, loss, probesSent, probesAnswered }) => {
    const labels = { cluster: nameOf(cluster), path: address };
    return [
      ...conditions.map((each) => ({
        name: `${prefix}_condition`,
        help: 'What is known of the path to a relay of another cluster: 1 for the condition that it is in.',
        labels: { ...labels, condition: each },
        value: Number(each === condition),
      })),
      ...(Number.isNaN(roundTripMs)
        ? []
        : [{ name: `${prefix}_round_trip_seconds`, help: 'Round trip to that relay, smoothed.', labels, value: roundTripMs / 1000 }]),
      { name: `${prefix}_loss_ratio`, help: 'Share of the last probes that were not answered.', labels, value: loss },
      { name: `${prefix}_probes_total`, help: 'Probes of that relay.', labels: { ...labels, result: 'sent' }, value: probesSent },
      { name: `${prefix}_probes_total`, help: 'Probes of that relay.', labels: { ...labels, result: 'answered' }, value: probesAnswered },
    ];
  });
}

function transceiverReadings(workers: readonly TransceiverReport[], conditions: typeof WORKER_CONDITIONS): MetricReading[] {
  return conditions.map((each) => ({
    name: 'earshot_relay_transceiver_workers',
    help: 'Workers of the transceivers that this relay knows, by condition, the worst that one of its own workers sees; unknown: no answer yet.',
    labels: { condition: each },
    value: workers.filter(({ condition }) => condition === each).length,
  }));
}
