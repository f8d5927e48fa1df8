import type { ShardOptions } from '../../src/transceiver/protocol.ts';
import { openShard, type Shard, type ShardEvents } from '../../src/transceiver/shard.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { SECRET } from './test-relay.ts';

/** A shard in this thread, with what matters to a test, and what it has to say. */
export function openTestShard(options: Partial<ShardOptions> = {}, events: Partial<ShardEvents> = {}): Promise<Shard> {
  const all: ShardOptions = {
    index: 0,
    workers: 1,
    maxCalls: 1000,
    cluster: 7,
    trunk: parseAddress('127.0.0.1:0'),
    advertiseTrunk: null,
    ingress: [parseAddress('127.0.0.1:3478')],
    secret: SECRET,
    previousSecret: null,
    agents: ['echo'],
    agentSettings: {},
    maxDurationMs: 3_600_000,
    trunkMtu: 1472,
    earlyMedia: true,
    logLevel: 'silent',
    ...options,
  };
  const nothing = (): void => undefined;
  return openShard(all, { ticketUsed: nothing, callEnded: nothing, fetchSession: nothing, ...events });
}
