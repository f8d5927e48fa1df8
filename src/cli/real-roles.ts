import type { MetricReading } from '../observe/metrics.ts';
import type { Logger } from '../observe/log.ts';
import type { RecoveryFigures, Relay, RELAY_COUNTERS } from '../relay/index.ts';
import type { FlowStore } from '../store/index.ts';
import type { Roles } from './roles.ts';

/**
 * The roles as they are built elsewhere, loaded when a command starts one: `token` has no need of a media stack, nor
 * a relay of an agent.
 */
export const roles: Roles = {
  async startRelay(options, logger) {
    const relaying = await import('../relay/index.ts');
    const { redis, ...relayOptions } = options;
    const store = redis === undefined ? undefined : await openRedis(redis, logger);
    const onHandoverFailed = (error: Error): void => logger.warn({ err: error }, 'no successor took over; this relay goes on');
    const relay = await relaying.startRelay({ ...relayOptions, ...(store && { store }), onHandoverFailed });
    return Object.assign(relay, { metrics: () => [...relayReadings(relay, relaying.RELAY_COUNTERS), ...recoveryReadings(relay.recovery())] });
  },
  async startTransceiver(options) {
    const { startTransceiver } = await import('../transceiver/index.ts');
    return startTransceiver(options);
  },
  async routingKeys({ secret, previousSecret }) {
    const { RoutingKeys } = await import('../wire/routing-token.ts');
    return new RoutingKeys(secret, previousSecret);
  },
};

function relayReadings(relay: Relay, series: typeof RELAY_COUNTERS): MetricReading[] {
  const counters = relay.counters();
  return [
    { name: 'earshot_relay_flows', help: 'Flows remembered now.', value: relay.flows() },
    ...series.map(({ key, name, help, labels }) => ({
      name: `earshot_relay_${name}_total`,
      help: `${help}.`,
      labels,
      value: counters[key],
    })),
  ];
}

async function openRedis(url: string, logger: Logger): Promise<FlowStore> {
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
