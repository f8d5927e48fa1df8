import { RoutingKeys } from '../wire/routing-token.ts';
import { TrunkCookies } from '../wire/trunk.ts';
import { ClusterPaths, type ClusterRoute, type PathReport } from './cluster-paths.ts';
import { RelayCore } from './core.ts';
import { COUNTER_BYTES, CounterBlock } from './counters.ts';
import { FLOW_RECORD_BYTES, FLOW_TARGET_OFFSET, flowRecordPort } from './flow-record.ts';
import { HISTOGRAM_BYTES, HistogramBlock } from './histograms.ts';
import { type FlowList, takeFlows } from './handover-flows.ts';
import { NetworkList } from './networks.ts';
import type { FlowRecovery } from './recovery.ts';
import { SourceLimit, type SourceRate } from './source-limit.ts';

/** What a relay worker is told, by structured clone: plain data and shared memory. */
export interface RelayWorkerSetup {
  readonly secret: string;
  readonly previousSecret: string | undefined;
  /** `NO_CLUSTER` when it stands by itself. */
  readonly cluster: number;
  /** The ways to other clusters; null for a relay that serves its own alone. */
  readonly routes: readonly ClusterRoute[] | null;
  readonly allowTargets: readonly string[];
  readonly maxFlows: number;
  readonly idleTimeoutMs: number;
  readonly trunkMtu: number;
  /** Longest that a packet may wait for others under load, microseconds; 0 for never. */
  readonly gatherUs: number;
  readonly publicFamily: 4 | 6;
  readonly sourceRate: SourceRate;
  /** Whether there is a recovery cache to ask. */
  readonly recovery: boolean;
  /** A control word, see {@link STOP}, then the worker's counters, then its histograms. */
  readonly shared: SharedArrayBuffer;
}

/** Bits of the control word, set by the main thread: end the loop; read the message port; leave the sockets alone. */
export const STOP = 1;
export const MAIL = 2;
export const HOLD = 4;

/** What a worker of the mmsg engine says once its loop is about to run. */
export const RUNNING = 'running';

/** What the main thread posts to a worker: what the recovery cache has found, flows of the relay before, or new routes. */
export type WorkerMail = Uint8Array | FlowList | readonly ClusterRoute[];

/** What a worker posts once a second when there are other clusters. */
export interface PathReports {
  readonly paths: readonly PathReport[];
}

const CONTROL_BYTES = 8;

/** @param held the worker starts with {@link HOLD}, where the engine knows that. */
export function makeShared(held = false): SharedArrayBuffer {
  const shared = new SharedArrayBuffer(CONTROL_BYTES + COUNTER_BYTES + HISTOGRAM_BYTES);
  if (held) Atomics.store(controlWord(shared), 0, HOLD);
  return shared;
}

export function controlWord(shared: SharedArrayBuffer): Int32Array {
  return new Int32Array(shared, 0, 1);
}

export function counterBlock(shared: SharedArrayBuffer): CounterBlock {
  return new CounterBlock(shared, CONTROL_BYTES);
}

export function histogramBlock(shared: SharedArrayBuffer): HistogramBlock {
  return new HistogramBlock(shared, CONTROL_BYTES + COUNTER_BYTES);
}

/** The parts that a worker of any engine has. */
export interface WorkerParts {
  readonly core: RelayCore;
  readonly paths: ClusterPaths | null;
  readonly counters: CounterBlock;
  readonly cookies: TrunkCookies;
}

export function makeCore(setup: RelayWorkerSetup, recovery: FlowRecovery | null, now: number): WorkerParts {
  const paths = setup.routes === null ? null : new ClusterPaths(setup.routes, now);
  const counters = counterBlock(setup.shared);
  const cookies = new TrunkCookies(setup.secret, setup.previousSecret);
  const core = new RelayCore({
    keys: new RoutingKeys(setup.secret, setup.previousSecret),
    cookies,
    cluster: setup.cluster,
    paths,
    allowTargets: new NetworkList(setup.allowTargets),
    maxFlows: setup.maxFlows,
    idleTimeoutMs: setup.idleTimeoutMs,
    publicFamily: setup.publicFamily,
    counters,
    recovery: setup.recovery ? recovery : null,
    sourceLimit: new SourceLimit(setup.sourceRate),
  });
  return { core, paths, counters, cookies };
}

/** Takes what the main thread has posted. */
export function takeMail({ core, paths }: Pick<WorkerParts, 'core' | 'paths'>, mail: WorkerMail, now: number): void {
  if (mail instanceof Uint8Array) takeRecovered(core, mail, now);
  else if ('vouched' in mail) takeFlows(core, mail, now);
  else paths?.update(mail, now);
}

function takeRecovered(core: RelayCore, records: Uint8Array, now: number): void {
  for (let at = 0; at < records.length; at += FLOW_RECORD_BYTES) {
    core.recovered(records, at, 6, flowRecordPort(records, at), records, at + FLOW_TARGET_OFFSET, now);
  }
}
