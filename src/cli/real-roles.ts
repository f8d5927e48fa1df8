import type { MetricReading } from '../observe/metrics.ts';
import type { Relay, RELAY_COUNTERS } from '../relay/index.ts';
import type { Roles } from './roles.ts';

/**
 * The roles as they are built elsewhere, loaded when a command starts one: `token` has no need of a media stack, nor
 * a relay of an agent.
 */
export const roles: Roles = {
  async startRelay(options) {
    const relaying = await import('../relay/index.ts');
    const relay = await relaying.startRelay(options);
    return Object.assign(relay, { metrics: () => relayReadings(relay, relaying.RELAY_COUNTERS) });
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
