import type { TransportAddress } from '../wire/address.ts';
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
import type { Prober } from './packet-path.ts';
import { SourceLimit, type SourceRate } from './source-limit.ts';
import { type TransceiverReport, TransceiverWorkers } from './transceivers.ts';

/** What a relay worker is told, by structured clone: plain data and shared memory. */
export interface RelayWorkerSetup {
  readonly secret: string;
  readonly previousSecret: string | undefined;
  /** `NO_CLUSTER` when it stands by itself. */
  readonly cluster: number;
  /** The ways to other clusters; null for a relay that serves its own alone. */
  readonly routes: readonly ClusterRoute[] | null;
  /** The first worker of each transceiver of its cluster; null when they are not known. */
  readonly transceivers: readonly TransportAddress[] | null;
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

/**
 * What the main thread posts to a worker: what the recovery cache has found, flows of the relay before, or new routes and
 * addresses.
 */
export type WorkerMail =
  | Uint8Array
  | FlowList
  | { readonly routes: readonly ClusterRoute[] }
  | { readonly transceivers: readonly TransportAddress[] };

/** What a worker posts once a second when there are peers to probe. */
export interface PeerReports {
  readonly paths: readonly PathReport[];
  readonly transceivers: readonly TransceiverReport[];
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
  readonly transceivers: TransceiverWorkers | null;
  /** Both of these, as far as there are any. */
  readonly probers: readonly Prober[];
  readonly counters: CounterBlock;
  readonly cookies: TrunkCookies;
}

export function makeCore(setup: RelayWorkerSetup, recovery: FlowRecovery | null, now: number): WorkerParts {
  const paths = setup.routes === null ? null : new ClusterPaths(setup.routes, now);
  const transceivers = setup.transceivers === null ? null : new TransceiverWorkers(setup.cluster, setup.transceivers, now);
  const counters = counterBlock(setup.shared);
  const cookies = new TrunkCookies(setup.secret, setup.previousSecret);
  const core = new RelayCore({
    keys: new RoutingKeys(setup.secret, setup.previousSecret),
    cookies,
    cluster: setup.cluster,
    paths,
    transceivers,
    allowTargets: new NetworkList(setup.allowTargets),
    maxFlows: setup.maxFlows,
    idleTimeoutMs: setup.idleTimeoutMs,
    publicFamily: setup.publicFamily,
    counters,
    recovery: setup.recovery ? recovery : null,
    sourceLimit: new SourceLimit(setup.sourceRate),
  });
  return { core, paths, transceivers, probers: [paths, transceivers].filter((prober) => prober !== null), counters, cookies };
}

/** Takes what the main thread has posted. */
export function takeMail({ core, paths, transceivers }: Pick<WorkerParts, 'core' | 'paths' | 'transceivers'>, mail: WorkerMail, now: number): void {
  if (mail instanceof Uint8Array) takeRecovered(core, mail, now);
  else if ('vouched' in mail) takeFlows(core, mail, now);
  else if ('routes' in mail) paths?.update(mail.routes, now);
  else transceivers?.update(mail.transceivers, now);
}

/** What a worker has learned of its peers; null when it has none. */
export function peerReports({ paths, transceivers, probers }: WorkerParts, now: number): PeerReports | null {
  return probers.length === 0 ? null : { paths: paths?.reports(now) ?? [], transceivers: transceivers?.reports() ?? [] };
}

function takeRecovered(core: RelayCore, records: Uint8Array, now: number): void {
  for (let at = 0; at < records.length; at += FLOW_RECORD_BYTES) {
    core.recovered(records, at, 6, flowRecordPort(records, at), records, at + FLOW_TARGET_OFFSET, now);
  }
}
