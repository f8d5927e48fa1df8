import { allIngress, type Clusters, type Ingress } from '../clusters/clusters.ts';
import type { Logger } from '../observe/log.ts';
import { formatAddress } from '../wire/address.ts';
import { type IngressCondition, IngressHealth } from './ingress-health.ts';
import { askReadiness } from './readiness.ts';
import type { Upstream } from './upstream.ts';

export interface IngressMonitorOptions {
  readonly upstream: Upstream;
  readonly logger: Logger;
}

export interface IngressState {
  /** `host:port` */
  readonly address: string;
  readonly condition: IngressCondition;
}

interface Watched {
  readonly http: string | null;
  readonly health: IngressHealth;
  timer: NodeJS.Timeout | null;
}

/** Probes the relays behind the public addresses, and keeps what is known of them over changes of the clusters file. */
export class IngressMonitor {
  readonly #upstream: Upstream;
  readonly #logger: Logger;
  /** By address. */
  #watched = new Map<string, Watched>();

  constructor({ upstream, logger }: IngressMonitorOptions) {
    this.#upstream = upstream;
    this.#logger = logger;
  }

  /** Begins to probe the relays of these clusters, and stops for those that are gone. Resolves when each new one was probed once. */
  async watch(clusters: Clusters): Promise<void> {
    const before = this.#watched;
    this.#watched = new Map();
    const fresh: Promise<void>[] = [];
    for (const ingress of allIngress(clusters)) {
      const address = formatAddress(ingress.address);
      const http = ingress.http?.origin ?? null;
      const known = before.get(address);
      const watched = known?.http === http ? known : { http, health: new IngressHealth(ingress), timer: null };
      this.#watched.set(address, watched);
      if (watched === known) before.delete(address);
      else fresh.push(this.#probe(address, watched));
    }
    for (const { timer } of before.values()) if (timer) clearTimeout(timer);
    await Promise.all(fresh);
  }

  conditionOf({ address }: Ingress): IngressCondition {
    return this.#watched.get(formatAddress(address))?.health.condition ?? 'unwatched';
  }

  /** In the order of the file. */
  states(): IngressState[] {
    return Array.from(this.#watched, ([address, { health }]) => ({ address, condition: health.condition }));
  }

  /** Stops probing. Idempotent. */
  close(): void {
    for (const { timer } of this.#watched.values()) if (timer) clearTimeout(timer);
    this.#watched.clear();
  }

  async #probe(address: string, watched: Watched): Promise<void> {
    const { http, health } = watched;
    if (http === null) return;
    const probe = await askReadiness(this.#upstream, http);
    if (this.#watched.get(address) !== watched) return;
    const before = health.condition;
    const now = performance.now();
    health.handleProbe(probe, now);
    const { condition } = health;
    if (condition !== before) this.#logger[condition === 'ready' ? 'info' : 'warn']({ ingress: address, before, now: condition }, 'ingress changed');
    watched.timer = setTimeout(() => void this.#probe(address, watched), Math.max(0, health.nextProbeAt - now)).unref();
  }
}
