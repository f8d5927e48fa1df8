import type { Cluster } from '../clusters/clusters.ts';
import type { ClusterState, Condition } from './steer.ts';

/** What `GET /readyz` of a cluster said. */
export type Probe =
  | { readonly type: 'answered'; readonly ready: boolean; readonly calls: number | null; readonly capacity: number | null }
  | { readonly type: 'failed' };

/** How a request other than a probe failed. */
export type RequestFault = 'unreachable' | 'not-ready' | 'full';

/** Between probes of a cluster that answers, ms. */
const PROBE_INTERVAL_MS = 1_000;
/** Between probes of one that does not, at most, ms: the time doubles from the interval on. */
const MAX_PROBE_INTERVAL_MS = 8_000;
/** How long a cluster is avoided that failed a request, whatever its probes say, ms: doubles with each failure in a row. */
const AVOID_MS = 2_000;
const MAX_AVOID_MS = 30_000;
/** How long a cluster counts as full that said so, ms, unless a probe tells of room before. */
const FULL_MS = 2_000;

/**
 * What the gateway knows of one cluster, from probes and from real requests. Pure: `now` is monotonic, ms.
 *
 * A failed request counts at once and outweighs probes for a while: a cluster may well say that it is ready and yet
 * answer no offer. Calls placed since the last probe count as load, so that a burst does not overfill a cluster.
 */
export class ClusterHealth {
  #probed: 'unknown' | 'ready' | 'not-ready' | 'unreachable' = 'unknown';
  #failedProbes = 0;
  #failedRequests = 0;
  #avoid: { until: number; condition: Condition } = { until: Number.NEGATIVE_INFINITY, condition: 'unreachable' };
  #reported: { calls: number; capacity: number } | null = null;
  #placed = 0;
  #nextProbeAt = Number.NEGATIVE_INFINITY;

  /** When the next probe is due. */
  get nextProbeAt(): number {
    return this.#nextProbeAt;
  }

  handleProbe(probe: Probe, cluster: Cluster, now: number): void {
    if (probe.type === 'failed') {
      this.#probed = 'unreachable';
      this.#nextProbeAt = now + Math.min(PROBE_INTERVAL_MS * 2 ** this.#failedProbes, MAX_PROBE_INTERVAL_MS);
      this.#failedProbes++;
      return;
    }
    this.#failedProbes = 0;
    this.#nextProbeAt = now + PROBE_INTERVAL_MS;
    this.#probed = probe.ready ? 'ready' : 'not-ready';
    this.#placed = 0;
    const capacity = probe.capacity ?? cluster.capacity;
    this.#reported = probe.calls === null || capacity === null ? null : { calls: probe.calls, capacity };
    if (this.#avoid.condition === 'full' && this.#reported) this.#avoid = { until: now, condition: 'full' };
  }

  handleFailure(fault: RequestFault, now: number): void {
    const wait = fault === 'full' ? FULL_MS : Math.min(AVOID_MS * 2 ** this.#failedRequests, MAX_AVOID_MS);
    if (fault !== 'full') this.#failedRequests++;
    this.#avoid = { until: now + wait, condition: fault };
    this.#nextProbeAt = Math.min(this.#nextProbeAt, now);
  }

  /** A real request was answered. `placed`: it began a call. */
  handleSuccess(placed: boolean): void {
    this.#failedRequests = 0;
    if (placed) this.#placed++;
  }

  state(cluster: Cluster, now: number): ClusterState {
    const condition = now < this.#avoid.until ? this.#avoid.condition : this.#probed;
    return { cluster, condition, load: this.#load(cluster) };
  }

  #load({ capacity }: Cluster): number {
    const { calls = 0, capacity: reported = Infinity } = this.#reported ?? {};
    // Behind a load balancer the report is one transceiver's, while what is placed spreads over all of the cluster.
    return calls / reported + this.#placed / (capacity ?? reported);
  }
}
