import type { Cluster, Clusters } from '../clusters/clusters.ts';
import type { Logger } from '../observe/log.ts';
import { ClusterHealth, type RequestFault } from './cluster-health.ts';
import { askReadiness } from './readiness.ts';
import type { ClusterState } from './steer.ts';
import type { Upstream } from './upstream.ts';

export interface HealthMonitorOptions {
  readonly upstream: Upstream;
  readonly logger: Logger;
}

interface Watched {
  cluster: Cluster;
  readonly health: ClusterHealth;
  timer: NodeJS.Timeout | null;
  /** As last logged. */
  condition: string;
}

/** Probes each cluster and keeps what is known of it, over changes of the clusters file too. */
export class HealthMonitor {
  readonly #upstream: Upstream;
  readonly #logger: Logger;
  readonly #watched = new Map<number, Watched>();
  #clusters: readonly Cluster[] = [];
  #closed = false;

  constructor({ upstream, logger }: HealthMonitorOptions) {
    this.#upstream = upstream;
    this.#logger = logger;
  }

  /** Begins to probe these clusters, and stops for those that are gone. Resolves when each new one was probed once. */
  async watch(clusters: Clusters): Promise<void> {
    for (const [id, watched] of this.#watched) {
      if (!clusters.byId.has(id)) this.#forget(id, watched);
    }
    this.#clusters = clusters.list;
    const fresh: Promise<void>[] = [];
    for (const cluster of clusters.list) {
      const watched = this.#watched.get(cluster.id);
      if (watched && watched.cluster.signaling.href === cluster.signaling.href) {
        watched.cluster = cluster;
        continue;
      }
      if (watched) this.#forget(cluster.id, watched);
      const added: Watched = { cluster, health: new ClusterHealth(), timer: null, condition: 'unknown' };
      this.#watched.set(cluster.id, added);
      fresh.push(this.#probe(added));
    }
    await Promise.all(fresh);
  }

  /** In the order of the file. */
  states(): ClusterState[] {
    const now = performance.now();
    return this.#clusters.flatMap((cluster) => this.#watched.get(cluster.id)?.health.state(cluster, now) ?? []);
  }

  requestFailed({ id }: Cluster, fault: RequestFault): void {
    const watched = this.#watched.get(id);
    if (!watched) return;
    watched.health.handleFailure(fault, performance.now());
    this.#tell(watched);
    this.#schedule(watched);
  }

  requestSucceeded({ id }: Cluster, placed: boolean): void {
    this.#watched.get(id)?.health.handleSuccess(placed);
  }

  /** Stops probing. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const [id, watched] of this.#watched) this.#forget(id, watched);
  }

  async #probe(watched: Watched): Promise<void> {
    const probe = await askReadiness(this.#upstream, watched.cluster.signaling.origin);
    if (this.#closed || this.#watched.get(watched.cluster.id) !== watched) return;
    watched.health.handleProbe(probe, watched.cluster, performance.now());
    this.#tell(watched);
    this.#schedule(watched);
  }

  #schedule(watched: Watched): void {
    if (watched.timer) clearTimeout(watched.timer);
    const wait = Math.max(0, watched.health.nextProbeAt - performance.now());
    watched.timer = setTimeout(() => void this.#probe(watched), wait).unref();
  }

  #tell(watched: Watched): void {
    const { condition } = watched.health.state(watched.cluster, performance.now());
    if (condition === watched.condition) return;
    const level = condition === 'ready' ? 'info' : 'warn';
    this.#logger[level]({ cluster: watched.cluster.name, before: watched.condition, now: condition }, 'cluster changed');
    watched.condition = condition;
  }

  #forget(id: number, { timer }: Watched): void {
    if (timer) clearTimeout(timer);
    this.#watched.delete(id);
  }
}
