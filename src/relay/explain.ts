import { type TransportAddress, formatAddress } from '../wire/address.ts';
import { readEndpoint4 } from '../wire/locator.ts';
import { RoutingKeys } from '../wire/routing-token.ts';
import { TrunkCookies } from '../wire/trunk.ts';
import { RelayCore } from './core.ts';
import { counterBlock, makeShared } from './worker-setup.ts';
import { DROP_REASONS, type DropReason } from './drop-reason.ts';
import { DEFAULT_ALLOWED_TARGETS, NetworkList } from './networks.ts';
import type { RelayOptions } from './relay.ts';

/**
 * Says where a relay that has just started would send a datagram from `client`, in one sentence, by asking the same
 * core that decides on the packet path.
 */
export function explain(
  options: Pick<RelayOptions, 'secret' | 'previousSecret' | 'cluster' | 'allowTargets'>,
  datagram: Uint8Array,
  client: TransportAddress,
): string {
  const { secret, previousSecret, cluster = 0, allowTargets = DEFAULT_ALLOWED_TARGETS } = options;
  const core = new RelayCore({
    keys: new RoutingKeys(secret, previousSecret),
    cookies: new TrunkCookies(secret, previousSecret),
    cluster,
    paths: null,
    transceivers: null,
    allowTargets: new NetworkList(allowTargets),
    maxFlows: 1,
    idleTimeoutMs: Number.POSITIVE_INFINITY,
    publicFamily: 6,
    counters: counterBlock(makeShared()),
    recovery: null,
    sourceLimit: null,
  });
  const verdict = core.fromClient(datagram, 0, datagram.length, client.family, client.ip, 0, client.port, 0);
  if (verdict !== 'forward') return explainDrop(verdict);
  const target = formatAddress(readEndpoint4(core.target, core.targetOffset));
  return `Forwarded to the transceiver at ${target}, as its token says (cluster ${cluster}, call ${core.token.nonce}).`;
}

function explainDrop(reason: DropReason): string {
  return `Dropped as ${reason}: ${DROP_REASONS[reason]}.`;
}
