import { RoutingKeys } from '../wire/routing-token.ts';
import { TrunkCookies } from '../wire/trunk.ts';
import { RelayCore } from './core.ts';
import { COUNTER_BYTES, CounterBlock } from './counters.ts';
import { FLOW_RECORD_BYTES, FLOW_TARGET_OFFSET, flowRecordPort } from './flow-record.ts';
import { type FlowList, takeFlows } from './handover-flows.ts';
import { NetworkList } from './networks.ts';
import type { FlowRecovery } from './recovery.ts';
import { SourceLimit, type SourceRate } from './source-limit.ts';

/** What a relay worker is told, by structured clone: plain data and shared memory. */
export interface RelayWorkerSetup {
  readonly secret: string;
  readonly previousSecret: string | undefined;
  readonly cluster: number;
  readonly allowTargets: readonly string[];
  readonly maxFlows: number;
  readonly idleTimeoutMs: number;
  readonly trunkMtu: number;
  readonly publicFamily: 4 | 6;
  readonly sourceRate: SourceRate;
  /** Whether there is a recovery cache to ask. */
  readonly recovery: boolean;
  /** A control word, see {@link STOP}, then the worker's counters. */
  readonly shared: SharedArrayBuffer;
}

/** Bits of the control word, set by the main thread: end the loop; read the message port; leave the sockets alone. */
export const STOP = 1;
export const MAIL = 2;
export const HOLD = 4;

/** What a worker of the mmsg engine says once its loop is about to run. */
export const RUNNING = 'running';

const CONTROL_BYTES = 8;

/** @param held the worker starts with {@link HOLD}, where the engine knows that. */
export function makeShared(held = false): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(CONTROL_BYTES + COUNTER_BYTES);
  if (held) Atomics.store(controlWord(shared), 0, HOLD);
  return shared;
}

export function controlWord(shared: SharedArrayBuffer): Int32Array {
  return new Int32Array(shared, 0, 1);
}

export function counterBlock(shared: SharedArrayBuffer): CounterBlock {
  return new CounterBlock(shared, CONTROL_BYTES);
}

/** The parts that a worker of any engine has. */
export function makeCore(setup: RelayWorkerSetup, recovery: FlowRecovery | null): { core: RelayCore; counters: CounterBlock; cookies: TrunkCookies } {
  const counters = counterBlock(setup.shared);
  const cookies = new TrunkCookies(setup.secret, setup.previousSecret);
  const core = new RelayCore({
    keys: new RoutingKeys(setup.secret, setup.previousSecret),
    cookies,
    cluster: setup.cluster,
    allowTargets: new NetworkList(setup.allowTargets),
    maxFlows: setup.maxFlows,
    idleTimeoutMs: setup.idleTimeoutMs,
    publicFamily: setup.publicFamily,
    counters,
    recovery: setup.recovery ? recovery : null,
    sourceLimit: new SourceLimit(setup.sourceRate),
  });
  return { core, counters, cookies };
}

/** Gives a core what came by mail: flows that the recovery cache has found, or those of the relay before. */
export function takeMail(core: RelayCore, mail: Uint8Array | FlowList, now: number): void {
  if ('vouched' in mail) takeFlows(core, mail, now);
  else takeRecovered(core, mail, now);
}

/** Gives a core the flows that the recovery cache has found. */
export function takeRecovered(core: RelayCore, records: Uint8Array, now: number): void {
  for (let at = 0; at < records.length; at += FLOW_RECORD_BYTES) {
    core.recovered(records, at, 6, flowRecordPort(records, at), records, at + FLOW_TARGET_OFFSET, now);
  }
}
