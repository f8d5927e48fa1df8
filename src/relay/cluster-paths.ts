import type { Clusters } from '../clusters/clusters.ts';
import { formatAddress, sameAddress, type TransportAddress } from '../wire/address.ts';
import { LOCATOR_BYTES } from '../wire/locator.ts';
import { endpointKey, endpointOf, hashBytes, rendezvous } from './endpoints.ts';
import { PATH_CONDITIONS, type PathFigures, PathHealth } from './path-health.ts';

/** How relays here reach one other cluster. Plain data, for the workers. */
export interface ClusterRoute {
  readonly cluster: number;
  /** Straight to the transceivers; then `trunk` is not used. */
  readonly direct: boolean;
  /** Trunk addresses of its relays: IPv4. */
  readonly trunk: readonly TransportAddress[];
}

/** What one worker knows of one path. */
export interface PathReport extends PathFigures {
  readonly cluster: number;
  /** As the clusters file has it. */
  readonly address: string;
}

/** The ways to all clusters but `own`, from a clusters file. */
export function routesTo(clusters: Clusters, own: number): ClusterRoute[] {
  return clusters.list
    .filter(({ id }) => id !== own)
    .map(({ id, direct, trunk }) => ({ cluster: id, direct, trunk: trunk.filter(({ family }) => family === 4) }));
}

/**
 * A flow's target when it leads to another cluster, in the six bytes of an address: 0.0.<cluster id>, port 0, where no
 * transceiver can be. Which relay of the cluster it goes through is decided for each packet, so that a path that dies
 * is left by all its flows at once.
 */
export function writeClusterTarget(into: Uint8Array, offset: number, cluster: number): void {
  into[offset] = 0;
  into[offset + 1] = 0;
  into[offset + 2] = cluster >> 8;
  into[offset + 3] = cluster;
  into[offset + 4] = 0;
  into[offset + 5] = 0;
}

/** The cluster that a target stands for; -1 when it is an address. */
export function clusterOfTarget(target: Uint8Array, offset: number): number {
  if (target[offset] !== 0 || target[offset + 1] !== 0 || target[offset + 4] !== 0 || target[offset + 5] !== 0) return -1;
  return (target[offset + 2] << 8) | target[offset + 3];
}

/** What several workers say of the same paths: the worst condition, the sum of the probes, the mean of the rest. */
export function mergeReports(reports: readonly PathReport[]): PathReport[] {
  const byPath = new Map<string, PathReport[]>();
  for (const report of reports) {
    const key = `${report.cluster} ${report.address}`;
    byPath.set(key, [...(byPath.get(key) ?? []), report]);
  }
  return Array.from(byPath.values(), (same) => {
    const sum = (of: (report: PathReport) => number): number => same.reduce((total, report) => total + of(report), 0);
    const worst = Math.max(...same.map(({ condition }) => PATH_CONDITIONS.indexOf(condition)));
    return {
      cluster: same[0].cluster,
      address: same[0].address,
      condition: PATH_CONDITIONS[worst],
      roundTripMs: sum(({ roundTripMs }) => roundTripMs) / same.length,
      loss: sum(({ loss }) => loss) / same.length,
      probesSent: sum(({ probesSent }) => probesSent),
      probesAnswered: sum(({ probesAnswered }) => probesAnswered),
    };
  });
}

/** How much slower than a cluster's fastest path another may be and still take a share of its flows. */
const NEAR_FACTOR = 1.25;
const NEAR_MS = 20;
/** Round trips drift: what they decide is decided anew at most this often, ms. */
const REVIEW_MS = 5000;
/** Probes of different paths are spread over this time, ms. */
const SPREAD_MS = 100;

interface Path {
  readonly route: Way;
  readonly address: TransportAddress;
  readonly endpoint: Uint8Array;
  readonly health: PathHealth;
  readonly seed: number;
}

interface Way {
  readonly cluster: number;
  readonly direct: boolean;
  paths: Path[];
  /** Those among which flows are shared out. */
  chosen: Path[];
}

/**
 * The ways to other clusters and how well they work, as one worker sees it. Pure: no sockets, no clock.
 *
 * Of a cluster's paths those in the best condition are used, and of these the ones about as fast as the fastest. A flow
 * keeps to one of them as long as these stay the same, in every worker and after a restart (rendezvous hashing).
 */
export class ClusterPaths {
  /** After `choose`: the relay to send to, six bytes at offset 0. */
  endpoint: Uint8Array = new Uint8Array(LOCATOR_BYTES);
  /** After `poll`: the number of the probe that goes to `endpoint`, and the cluster it is for. */
  probeNumber = 0;
  probeCluster = 0;

  readonly #ways = new Map<number, Way>();
  /** By address: see {@link endpointKey}. */
  readonly #byAddress = new Map<number, Path>();
  #paths: Path[] = [];
  #nextAt = Number.POSITIVE_INFINITY;
  #reviewAt = 0;

  constructor(routes: readonly ClusterRoute[], now: number) {
    this.update(routes, now);
  }

  /** Takes new routes. What is known of paths that stay is kept. */
  update(routes: readonly ClusterRoute[], now: number): void {
    const before = this.#paths;
    this.#ways.clear();
    this.#byAddress.clear();
    this.#paths = [];
    for (const { cluster, direct, trunk } of routes) {
      const way: Way = { cluster, direct, paths: [], chosen: [] };
      this.#ways.set(cluster, way);
      if (direct) continue;
      way.paths = trunk.map((address, i) => {
        const known = before.find((path) => path.route.cluster === cluster && sameAddress(path.address, address));
        return known ? { ...known, route: way } : makePath(way, address, now + ((this.#paths.length + i) % 8) * (SPREAD_MS / 8));
      });
      for (const path of way.paths) this.#byAddress.set(endpointKey(path.endpoint, 0), path);
      this.#paths.push(...way.paths);
    }
    this.#review(now);
    this.#nextAt = now;
  }

  knows(cluster: number): boolean {
    return this.#ways.has(cluster);
  }

  /** Whether the transceivers of the cluster are reached without its relays. */
  isDirect(cluster: number): boolean {
    return this.#ways.get(cluster)?.direct === true;
  }

  /** The cluster whose relay has this trunk address, six bytes; -1 for none. */
  clusterAt(endpoint: Uint8Array, offset: number): number {
    return this.#byAddress.get(endpointKey(endpoint, offset))?.route.cluster ?? -1;
  }

  /** Chooses the path of a client (4 or 16 bytes at `ipOffset`) to a cluster; false when there is none. */
  choose(cluster: number, ip: Uint8Array, ipOffset: number, family: 4 | 6, port: number): boolean {
    const chosen = this.#ways.get(cluster)?.chosen;
    if (chosen === undefined || chosen.length === 0) return false;
    let best = chosen[0];
    if (chosen.length > 1) {
      const client = hashBytes(ip, ipOffset, family === 4 ? 4 : 16, Math.imul(port ^ 0x9e3779b1, 0x85ebca6b));
      let most = -1;
      for (const path of chosen) {
        const score = rendezvous(client, path.seed);
        if (score > most) {
          most = score;
          best = path;
        }
      }
    }
    this.endpoint = best.endpoint;
    return true;
  }

  /** When `poll` has something to do again. */
  get nextAt(): number {
    return this.#nextAt;
  }

  /** Takes the next probe that is due into `endpoint`, `probeNumber` and `probeCluster`; false when none is. */
  poll(now: number): boolean {
    if (now < this.#nextAt) return false;
    if (now >= this.#reviewAt) this.#review(now);
    let next = this.#reviewAt;
    for (const { health, endpoint, route } of this.#paths) {
      if (now >= health.nextProbeAt) {
        const before = health.condition;
        this.probeNumber = health.probe(now);
        this.probeCluster = route.cluster;
        this.endpoint = endpoint;
        if (health.condition !== before) this.#review(now);
        return true;
      }
      next = Math.min(next, health.nextProbeAt);
    }
    this.#nextAt = next;
    return false;
  }

  /** The peer at `from` (six bytes) has answered probe `number` as a relay of `cluster`. */
  answer(from: Uint8Array, number: number, cluster: number, now: number): void {
    const path = this.#byAddress.get(endpointKey(from, 0));
    if (path === undefined) return;
    const before = path.health.condition;
    path.health.answer(number, cluster, now);
    // A path that comes back is probed more often.
    this.#nextAt = Math.min(this.#nextAt, path.health.nextProbeAt);
    if (path.health.condition !== before) this.#review(now);
  }

  reports(now: number): PathReport[] {
    return this.#paths.map(({ route, address, health }) => ({ cluster: route.cluster, address: formatAddress(address), ...health.figures(now) }));
  }

  #review(now: number): void {
    this.#reviewAt = now + REVIEW_MS;
    for (const way of this.#ways.values()) way.chosen = best(way.paths, now);
  }
}

function best(paths: readonly Path[], now: number): Path[] {
  const usable = paths.filter(({ health }) => health.condition !== 'misdirected');
  const rank = Math.min(...usable.map(({ health }) => PATH_CONDITIONS.indexOf(health.condition)));
  const equal = usable.filter(({ health }) => health.condition === PATH_CONDITIONS[rank]);
  const trips = equal.map(({ health }) => health.figures(now).roundTripMs);
  const fastest = Math.min(...trips.filter((trip) => !Number.isNaN(trip)));
  return equal.filter((_, i) => !(trips[i] > fastest * NEAR_FACTOR + NEAR_MS));
}

function makePath(route: Way, address: TransportAddress, firstProbeAt: number): Path {
  const endpoint = endpointOf(address);
  const seed = hashBytes(endpoint, 0, LOCATOR_BYTES);
  return { route, address, endpoint, health: new PathHealth(route.cluster, firstProbeAt), seed };
}
