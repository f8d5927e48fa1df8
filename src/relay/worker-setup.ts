import { RoutingKeys } from '../wire/routing-token.ts';
import { TrunkCookies } from '../wire/trunk.ts';
import { ClusterPaths, type ClusterRoute, type PathReport } from './cluster-paths.ts';
import { RelayCore } from './core.ts';
import { COUNTER_BYTES, CounterBlock } from './counters.ts';
import { FLOW_RECORD_BYTES, FLOW_TARGET_OFFSET, flowRecordPort } from './flow-record.ts';
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
  readonly publicFamily: 4 | 6;
  readonly sourceRate: SourceRate;
  /** Whether there is a recovery cache to ask. */
  readonly recovery: boolean;
  /** A control word, see {@link STOP}, then the worker's counters. */
  readonly shared: SharedArrayBuffer;
}

/** Bits of the control word, set by the main thread: end the loop; read the message port. */
export const STOP = 1;
export const MAIL = 2;

/** What a worker of the mmsg engine says once its loop is about to run. */
export const RUNNING = 'running';

/** What the main thread posts to a worker: flow records that the recovery cache has found, or new routes. */
export type WorkerMail = Uint8Array | readonly ClusterRoute[];

/** What a worker posts once a second when there are other clusters. */
export interface PathReports {
  readonly paths: readonly PathReport[];
}

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
  if (!(mail instanceof Uint8Array)) {
    paths?.update(mail, now);
    return;
  }
  for (let at = 0; at < mail.length; at += FLOW_RECORD_BYTES) {
    core.recovered(mail, at, 6, flowRecordPort(mail, at), mail, at + FLOW_TARGET_OFFSET, now);
  }
}
