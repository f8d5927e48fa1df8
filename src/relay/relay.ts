import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { loadLibc } from '../net/libc.ts';
import { DEFAULT_SOCKET_BUFFER, type UdpEngine } from '../net/open-udp-socket.ts';
import { MAX_DATAGRAM_BYTES } from '../net/udp-socket.ts';
import type { FlowStore } from '../store/flow-store.ts';
import { type TransportAddress, formatAddress } from '../wire/address.ts';
import { TRUNK_MTU } from '../wire/trunk.ts';
import type { Clusters } from '../clusters/clusters.ts';
import { type ClusterRoute, type PathReport, mergeReports, routesTo } from './cluster-paths.ts';
import { NO_CLUSTER } from './core.ts';
import { type RelayCounters, sumCounters } from './counters.ts';
import { startDgramEngine } from './dgram-engine.ts';
import { GATHER_US } from './gathering.ts';
import { startMmsgEngine } from './mmsg-engine.ts';
import { type RelayHistogramValues, sumHistograms } from './histograms.ts';
import { DEFAULT_ALLOWED_TARGETS, NetworkList } from './networks.ts';
import { FlowSeal } from './flow-seal.ts';
import type { HandoverEngine, HandoverFigures } from './handover-engine.ts';
import type { FlowList } from './handover-flows.ts';
import { HandoverHost } from './handover-host.ts';
import { HandoverKeys } from './handover-wire.ts';
import { Predecessor } from './predecessor.ts';
import { FLOW_TTL_MS } from './recovery.ts';
import type { PathCondition } from './path-health.ts';
import { RecoveryDesk, type RecoveryFigures } from './recovery-desk.ts';
import type { RecoveryMessage } from './recovery-mail.ts';
import type { RelayEngine } from './relay-engine.ts';
import { DEFAULT_SOURCE_RATE, type SourceRate } from './source-limit.ts';
import { type TransceiverReport, mergeTransceiverReports } from './transceivers.ts';
import { RUNNING, type PeerReports, type RelayWorkerSetup, counterBlock, histogramBlock, makeShared } from './worker-setup.ts';

export interface RelayOptions {
  /** The public address that clients send to. `[::]` serves IPv4 as well. */
  readonly udp: TransportAddress;
  /** Where transceivers answer to: IPv4. Worker i takes this port + i. */
  readonly trunk: TransportAddress;
  /** The deployment's secret; tokens and trunk datagrams under the previous one are accepted too. */
  readonly secret: string;
  readonly previousSecret?: string;
  /** This relay's cluster id, 0 to 65535. Unless given it is 0, or with `clusters` none: it stands by itself. */
  readonly cluster?: number;
  /** Forwards calls of other clusters too, as this says. */
  readonly clusters?: Clusters;
  /**
   * Trunk addresses of the transceivers of its cluster, of the first worker of each: among these it chooses for unbound
   * tickets. IPv4, within `allowTargets`. Unless given it drops such tickets.
   */
  readonly transceivers?: readonly TransportAddress[];
  /** Told when a path to another cluster has become better or worse. */
  readonly onPathChange?: (path: PathReport, before: PathCondition | null) => void;
  /** Threads; one for every two cores unless given. The dgram engine has one. */
  readonly workers?: number;
  readonly engine?: UdpEngine;
  /** IPv4 networks in which transceivers are, as 10.0.0.0/8; private and loopback ones unless given. */
  readonly allowTargets?: readonly string[];
  /** Flows that each worker remembers at most; 65,536 unless given. About 100 bytes each. */
  readonly maxFlows?: number;
  /** A flow is forgotten when no packet has passed for this long; 60 s unless given. */
  readonly idleTimeoutMs?: number;
  /** UDP payload bytes of a trunk datagram at most; 1,472 unless given, 2,048 at most. */
  readonly trunkMtu?: number;
  /**
   * Longest that a packet may wait, under load, for others to be handled with it, microseconds; 0 means never. 200
   * unless given. The mmsg engine only.
   */
  readonly gatherUs?: number;
  /** New flows that one /24 or /56 network may make; {@link DEFAULT_SOURCE_RATE} unless given. */
  readonly sourceRate?: SourceRate;
  /** Remembers flows outside this process; closed with the relay. None unless given. */
  readonly store?: FlowStore;
  /**
   * Path of a Unix socket at which relays make way for each other without losing a packet. One that listens there
   * is taken over from, sockets, flows and all; then this one listens there. Needs the mmsg engine. None unless given.
   */
  readonly handover?: string;
  /** Told when a successor asked to take over and it came to nothing: this relay goes on. */
  readonly onHandoverFailed?: (error: Error) => void;
}

/** What a relay is and holds, for a debug endpoint. No client address, no secret. */
export interface RelayDump {
  readonly engine: 'mmsg' | 'dgram';
  readonly udp: string;
  /** Null for none. */
  readonly cluster: number | null;
  readonly paths: readonly PathReport[];
  readonly transceivers: readonly TransceiverReport[];
  readonly workers: readonly { readonly trunk: string; readonly flows: number; readonly counters: RelayCounters }[];
}

export interface Relay {
  readonly engine: 'mmsg' | 'dgram';
  /** As bound: with the port that the system chose when 0 was asked for. */
  readonly udp: TransportAddress;
  /** One per worker. */
  readonly trunk: readonly TransportAddress[];
  /**
   * Resolves when the relay has been closed. Rejects when a worker has died, which ends the process unless handled:
   * a new relay serves every call again within one voice packet.
   */
  readonly finished: Promise<void>;
  /** How it took over from a relay before it; null when there was none. */
  readonly takenOver: HandoverFigures | null;
  /** Resolves when a successor forwards in its place. Close it then: that tells the successor that all is free. */
  readonly handedOver: Promise<HandoverFigures>;
  /** Resolves when the relay that it took over from has let go of everything; at once when there was none. */
  predecessorLeft(): Promise<void>;
  /** Live values, summed over the workers. */
  counters(): RelayCounters;
  /** Batch sizes and durations of the packet loops, summed over the workers. */
  histograms(): readonly RelayHistogramValues[];
  /** Flows remembered now, summed over the workers; up to a second old. */
  flows(): number;
  /** Workers that let packets gather now; up to a second old. */
  gathering(): number;
  /** What the recovery cache did; null without one. */
  recovery(): RecoveryFigures | null;
  /** The paths to other clusters, as all workers together see them; up to a second old. */
  paths(): PathReport[];
  /** Takes a new version of the clusters file; flows stay. Without effect on a relay that was started without one. */
  updateClusters(clusters: Clusters): void;
  /** The transceiver workers of its cluster, as all workers together see them; up to a second old. */
  transceivers(): TransceiverReport[];
  /**
   * Takes new addresses of transceivers; those outside `allowTargets` are left out. Without effect on a relay that was
   * started without any list.
   */
  updateTransceivers(addresses: readonly TransportAddress[]): void;
  dump(): RelayDump;
  /** Goes on until no client has sent for five seconds, or `timeoutMs` has passed; then closes. Ends when handed over. */
  drain(timeoutMs: number): Promise<void>;
  /** Stops forwarding and closes the sockets. Idempotent. */
  close(): Promise<void>;
}

const MAX_FLOWS = 65_536;
const IDLE_TIMEOUT_MS = 60_000;
const MAX_GATHER_US = 1000;
const QUIET_MS = 5000;
const DRAIN_CHECK_MS = 100;

/**
 * Starts a relay: opens its sockets, then its workers; resolves when they forward.
 * @throws {NetError} `EADDRINUSE` and the like, or `ENOSYS` when the engine asked for cannot run here.
 * @throws {RangeError} for an option out of range, with a message that says what is right.
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const engine = resolveEngine(options.engine ?? 'auto');
  const usual = options.workers ?? (engine === 'mmsg' ? defaultWorkers() : 1);
  checkOptions(options, engine, usual);
  const predecessor = options.handover === undefined ? null : await Predecessor.find(options.handover, handoverKeys(options), { ...options, cluster: ownCluster(options) });
  const count = predecessor?.sockets.length ?? usual;
  const workers = Array.from({ length: count }, () => workerSetup(options, predecessor !== null));
  const start = engine === 'mmsg' ? startMmsgEngine : startDgramEngine;
  const running = await start({
    udp: options.udp,
    trunk: options.trunk,
    receiveBuffer: DEFAULT_SOCKET_BUFFER,
    sendBuffer: DEFAULT_SOCKET_BUFFER,
    workers,
    ...(predecessor && { inherited: predecessor.sockets }),
  });
  const relay = new RunningRelay(engine, options, running, workers, predecessor);
  try {
    await relay.start();
  } catch (error) {
    relay.finished.catch(() => undefined);
    predecessor?.abandon();
    await relay.close();
    throw error;
  }
  return relay;
}

class RunningRelay implements Relay {
  readonly engine: 'mmsg' | 'dgram';
  readonly udp: TransportAddress;
  readonly trunk: readonly TransportAddress[];
  readonly finished: Promise<void>;
  readonly handedOver: Promise<HandoverFigures>;
  takenOver: HandoverFigures | null = null;
  readonly #options: RelayOptions;
  readonly #predecessor: Predecessor | null;
  #host: HandoverHost | null = null;
  #isHandedOver = false;
  #resolveHandedOver: (figures: HandoverFigures) => void = () => undefined;
  readonly #running: RelayEngine;
  readonly #workers: readonly RelayWorkerSetup[];
  readonly #desk: RecoveryDesk | null;
  /** What each worker said last. */
  readonly #reports: PeerReports[] = [];
  readonly #aborter = new AbortController();
  #closing: Promise<void> | null = null;

  constructor(
    engine: 'mmsg' | 'dgram',
    options: RelayOptions,
    running: RelayEngine,
    workers: readonly RelayWorkerSetup[],
    predecessor: Predecessor | null,
  ) {
    this.engine = engine;
    this.udp = running.udp;
    this.trunk = running.trunk;
    this.#options = options;
    this.#predecessor = predecessor;
    this.handedOver = new Promise((resolve) => (this.#resolveHandedOver = resolve));
    this.#running = running;
    this.#workers = workers;
    this.#desk = options.store === undefined ? null : openDesk(options, options.store, running);
    for (const [i, thread] of running.threads.entries()) {
      thread.on('message', (message: typeof RUNNING | FlowList | RecoveryMessage | PeerReports) => {
        if (message === RUNNING || 'vouched' in message) return;
        if ('paths' in message) this.#report(i, message, options.onPathChange);
        else this.#desk?.handle(i, message);
      });
    }
    // `once` rejects when the thread emits `error`, which it does before `exit`.
    this.finished = Promise.all(running.threads.map((thread) => once(thread, 'exit'))).then(() => this.#closing ?? died());
  }

  /** Resolves when it forwards, and waits for a successor if it is to. */
  async start(): Promise<void> {
    const { handover: engine, started } = this.#running;
    const { handover: path } = this.#options;
    await started;
    if (path === undefined || engine === null) return;
    if (this.#predecessor !== null) this.takenOver = await this.#predecessor.takeOver(engine);
    const onFailed = this.#options.onHandoverFailed ?? (() => undefined);
    try {
      this.#host = this.#openHost(path, engine, onFailed);
    } catch (error) {
      // Calls depend on it already: that it cannot hand over in its turn is no reason to end them.
      if (this.takenOver === null) throw error;
      onFailed(error as Error);
    }
  }

  #openHost(path: string, engine: HandoverEngine, onFailed: (error: Error) => void): HandoverHost {
    return new HandoverHost({
      path,
      engine,
      keys: handoverKeys(this.#options),
      state: { udp: formatAddress(this.udp), trunk: this.trunk.map(formatAddress), cluster: ownCluster(this.#options) },
      onGone: (figures) => {
        this.#isHandedOver = true;
        this.#aborter.abort();
        this.#resolveHandedOver(figures);
      },
      onFailed,
    });
  }

  async predecessorLeft(): Promise<void> {
    await this.#predecessor?.left();
  }

  counters(): RelayCounters {
    return sumCounters(this.#workers.map(({ shared }) => counterBlock(shared).snapshot()));
  }

  histograms(): RelayHistogramValues[] {
    return sumHistograms(this.#workers.map(({ shared }) => histogramBlock(shared)));
  }

  flows(): number {
    return this.#workers.reduce((sum, { shared }) => sum + counterBlock(shared).flows, 0);
  }

  gathering(): number {
    return this.#workers.filter(({ shared }) => counterBlock(shared).gathering).length;
  }

  recovery(): RecoveryFigures | null {
    return this.#desk && { ...this.#desk.figures };
  }

  #report(worker: number, reports: PeerReports, onChange: RelayOptions['onPathChange']): void {
    const before = new Map(this.paths().map(({ cluster, address, condition }) => [`${cluster} ${address}`, condition]));
    this.#reports[worker] = reports;
    for (const path of this.paths()) {
      const was = before.get(`${path.cluster} ${path.address}`) ?? null;
      if (was !== path.condition) onChange?.(path, was);
    }
  }

  paths(): PathReport[] {
    return mergeReports(this.#reports.flatMap(({ paths }) => paths));
  }

  transceivers(): TransceiverReport[] {
    return mergeTransceiverReports(this.#reports.flatMap(({ transceivers }) => transceivers));
  }

  updateClusters(clusters: Clusters): void {
    if (this.#workers[0].routes === null) return;
    const routes = routesTo(clusters, ownCluster(this.#options));
    for (const i of this.#workers.keys()) this.#running.tell(i, { routes });
  }

  updateTransceivers(addresses: readonly TransportAddress[]): void {
    if (this.#workers[0].transceivers === null) return;
    const allowed = new NetworkList(this.#options.allowTargets ?? DEFAULT_ALLOWED_TARGETS);
    const transceivers = addresses.filter((address) => isAllowed(address, allowed));
    for (const i of this.#workers.keys()) this.#running.tell(i, { transceivers });
  }

  dump(): RelayDump {
    return {
      engine: this.engine,
      udp: formatAddress(this.udp),
      cluster: ownCluster(this.#options) === NO_CLUSTER ? null : ownCluster(this.#options),
      paths: this.paths(),
      transceivers: this.transceivers(),
      workers: this.#workers.map(({ shared }, i) => ({
        trunk: formatAddress(this.trunk[i]),
        flows: counterBlock(shared).flows,
        counters: counterBlock(shared).snapshot(),
      })),
    };
  }

  async drain(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    let received = this.counters().clientReceived;
    let quietSince = performance.now();
    for (let now = quietSince; now < deadline && now - quietSince < QUIET_MS && !this.#aborter.signal.aborted; now = performance.now()) {
      await delay(Math.min(DRAIN_CHECK_MS, deadline - now), undefined, { signal: this.#aborter.signal }).catch(() => undefined);
      const latest = this.counters().clientReceived;
      if (latest !== received) quietSince = performance.now();
      received = latest;
    }
    // A successor takes the closing for the sign that all is free; what else there is, the owner knows.
    if (!this.#isHandedOver) await this.close();
  }

  close(): Promise<void> {
    this.#aborter.abort();
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    await this.#desk?.close();
    await this.#running.close();
    this.#host?.close();
  }
}

function handoverKeys({ secret, previousSecret }: RelayOptions): HandoverKeys {
  return new HandoverKeys(secret, previousSecret);
}

function openDesk(options: RelayOptions, store: FlowStore, running: RelayEngine): RecoveryDesk {
  return new RecoveryDesk({
    store,
    seal: new FlowSeal(options.secret, options.previousSecret, ownCluster(options)),
    ttlMs: FLOW_TTL_MS,
    answer: (worker, records) => running.tell(worker, records),
  });
}

function ownCluster({ cluster, clusters }: RelayOptions): number {
  return cluster ?? (clusters === undefined ? 0 : NO_CLUSTER);
}

function died(): never {
  throw new Error('A relay worker ended by itself');
}

function resolveEngine(engine: UdpEngine): 'mmsg' | 'dgram' {
  if (engine !== 'auto') return engine;
  return typeof loadLibc() === 'string' ? 'dgram' : 'mmsg';
}

/**
 * One for every two cores. The kernel's part in receiving and sending needs cores as well, and few workers meet fuller
 * batches than many: on two cores, one worker forwards a packet for four fifths of the CPU that two take.
 */
function defaultWorkers(): number {
  return Math.ceil(availableParallelism() / 2);
}

function workerSetup(options: RelayOptions, held: boolean): RelayWorkerSetup {
  return {
    secret: options.secret,
    previousSecret: options.previousSecret,
    cluster: ownCluster(options),
    routes: routesOf(options),
    transceivers: options.transceivers ?? null,
    allowTargets: options.allowTargets ?? DEFAULT_ALLOWED_TARGETS,
    maxFlows: options.maxFlows ?? MAX_FLOWS,
    idleTimeoutMs: options.idleTimeoutMs ?? IDLE_TIMEOUT_MS,
    trunkMtu: options.trunkMtu ?? TRUNK_MTU,
    gatherUs: options.gatherUs ?? GATHER_US,
    publicFamily: options.udp.family,
    sourceRate: options.sourceRate ?? DEFAULT_SOURCE_RATE,
    recovery: options.store !== undefined,
    shared: makeShared(held),
  };
}

function routesOf(options: RelayOptions): ClusterRoute[] | null {
  return options.clusters === undefined ? null : routesTo(options.clusters, ownCluster(options));
}

function checkOptions(options: RelayOptions, engine: 'mmsg' | 'dgram', workers: number): void {
  if (options.secret === '') throw new RangeError('The secret is empty: set EARSHOT_SECRET to a long random text');
  if (options.trunk.family !== 4) throw new RangeError('The trunk is IPv4: give a --trunk address as 10.0.0.5:7000');
  if (!(workers >= 1 && workers <= 256)) throw new RangeError(`Workers must be 1 to 256: ${workers}`);
  if (engine === 'dgram' && workers > 1) {
    throw new RangeError('The dgram engine has one worker, for node:dgram cannot share a port; use --engine mmsg');
  }
  if (options.trunk.port + workers - 1 > 65535) {
    throw new RangeError(`${workers} workers need trunk ports up to ${options.trunk.port + workers - 1}: choose a lower one`);
  }
  if (engine === 'dgram' && options.handover !== undefined) {
    throw new RangeError('A handover needs the mmsg engine, for node:dgram cannot pass its sockets on');
  }
  const mtu = options.trunkMtu ?? TRUNK_MTU;
  if (!(mtu >= 576 && mtu <= MAX_DATAGRAM_BYTES)) {
    throw new RangeError(`The trunk MTU must be 576 to ${MAX_DATAGRAM_BYTES} bytes: ${mtu}`);
  }
  const gatherUs = options.gatherUs ?? GATHER_US;
  if (!(gatherUs >= 0 && gatherUs <= MAX_GATHER_US)) throw new RangeError(`Packets may gather for 0 to ${MAX_GATHER_US} µs: ${gatherUs}`);
  // For its errors, too: better here than in a worker.
  const allowed = new NetworkList(options.allowTargets ?? DEFAULT_ALLOWED_TARGETS);
  const stray = options.transceivers?.find((address) => !isAllowed(address, allowed));
  if (stray !== undefined) {
    throw new RangeError(`The transceiver ${formatAddress(stray)} is not IPv4, with a port, in one of the networks of --allow-targets`);
  }
  if (options.transceivers !== undefined && ownCluster(options) === NO_CLUSTER) {
    throw new RangeError('A relay of no cluster has no transceivers: give --cluster beside --transceivers');
  }
}

function isAllowed({ family, ip, port }: TransportAddress, networks: NetworkList): boolean {
  return family === 4 && port > 0 && networks.contains(ip, 0);
}
