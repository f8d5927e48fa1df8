import { type Relay, type RelayCounters, type RelayOptions, startRelay } from '../../src/relay/index.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';

/** What it answers to any message. */
export interface RelayState {
  readonly trunk: readonly string[];
  readonly counters: RelayCounters;
  readonly flows: number;
}

/**
 * A relay in a process of its own, so that its CPU time can be told apart: its secret, then other options as JSON. Ends
 * with its parent.
 */
const [secret, options = '{}'] = process.argv.slice(2) as [string, string?];
const loopback = parseAddress('127.0.0.1:0');
const relay: Relay = await startRelay({ udp: loopback, trunk: loopback, secret, ...(JSON.parse(options) as Partial<RelayOptions>) });
process.on('message', () => {
  const state: RelayState = { trunk: relay.trunk.map(formatAddress), counters: relay.counters(), flows: relay.flows() };
  process.send?.(state);
});
process.once('disconnect', () => void relay.close());
process.send?.(formatAddress(relay.udp));
