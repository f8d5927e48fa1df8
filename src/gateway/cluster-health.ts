import type { Cluster } from '../clusters/clusters.ts';
import { type Probe, ProbeTimes } from './readiness.ts';
import type { ClusterState, Condition } from './steer.ts';

/** How a request other than a probe failed. */
export type RequestFault = 'unreachable' | 'not-ready' | 'full';

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
  #failedRequests = 0;
  #avoid: { until: number; condition: Condition } = { until: Number.NEGATIVE_INFINITY, condition: 'unreachable' };
  #reported: { calls: number; capacity: number } | null = null;
  #placed = 0;
  readonly #probes = new ProbeTimes();

  /** When the next probe is due. */
  get nextProbeAt(): number {
    return this.#probes.nextAt;
  }

  handleProbe(probe: Probe, cluster: Cluster, now: number): void {
    this.#probes.handleProbe(probe, now);
    if (probe.type === 'failed') {
      this.#probed = 'unreachable';
      return;
    }
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
    this.#probes.hasten(now);
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
