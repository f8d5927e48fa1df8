import { RoutingKeys } from '../wire/routing-token.ts';
import { TrunkCookies } from '../wire/trunk.ts';
import { RelayCore } from './core.ts';
import { COUNTER_BYTES, CounterBlock } from './counters.ts';
import { NetworkList } from './networks.ts';

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
  /** A control word, see {@link STOP}, then the worker's counters. */
  readonly shared: SharedArrayBuffer;
}

/** The control word: 0 = run. */
export const STOP = 1;

const CONTROL_BYTES = 8;

export function makeShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(CONTROL_BYTES + COUNTER_BYTES);
}

export function controlWord(shared: SharedArrayBuffer): Int32Array {
  return new Int32Array(shared, 0, 1);
}

export function counterBlock(shared: SharedArrayBuffer): CounterBlock {
  return new CounterBlock(shared, CONTROL_BYTES);
}

/** The parts that a worker of any engine has. */
export function makeCore(setup: RelayWorkerSetup): { core: RelayCore; counters: CounterBlock; cookies: TrunkCookies } {
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
    recovery: null,
  });
  return { core, counters, cookies };
}
