import type { MetricReading } from '../observe/metrics.ts';
import type { AttemptOutcome } from './first-answer.ts';
import { INGRESS_CONDITIONS } from './ingress-health.ts';
import type { IngressState } from './ingress-monitor.ts';
import type { LocationSource } from './locate.ts';
import { CONDITIONS, type ClusterState, type Reason } from './steer.ts';

/** What a gateway counts, by label values. */
export class GatewayCounters {
  readonly #decisions = new Map<string, { cluster: string; reason: Reason; count: number }>();
  readonly #attempts = new Map<string, { cluster: string; outcome: AttemptOutcome; count: number }>();
  readonly #located = new Map<LocationSource, number>();
  readonly #limited = new Map<'address' | 'key', number>();
  offersWithoutCluster = 0;
  lateAnswers = 0;
  sidebands = 0;

  decided(cluster: string, reason: Reason): void {
    count(this.#decisions, `${cluster} ${reason}`, { cluster, reason });
  }

  attempted(cluster: string, outcome: AttemptOutcome): void {
    count(this.#attempts, `${cluster} ${outcome}`, { cluster, outcome });
  }

  located(source: LocationSource): void {
    this.#located.set(source, (this.#located.get(source) ?? 0) + 1);
  }

  limited(by: 'address' | 'key'): void {
    this.#limited.set(by, (this.#limited.get(by) ?? 0) + 1);
  }

  readings(clusters: readonly ClusterState[], ingress: readonly IngressState[]): MetricReading[] {
    const one = (name: string, help: string, value: number, labels: Readonly<Record<string, string>> = {}): MetricReading => ({
      name: `earshot_gateway_${name}`,
      help,
      labels,
      value,
    });
    return [
      ...Array.from(this.#decisions.values(), ({ cluster, reason, count: n }) =>
        one('decisions_total', 'Offers brought to a cluster, by cluster and reason.', n, { cluster, reason }),
      ),
      ...Array.from(this.#attempts.values(), ({ cluster, outcome, count: n }) =>
        one('attempts_total', 'Offers sent to a cluster, by cluster and how it took them.', n, { cluster, outcome }),
      ),
      ...Array.from(this.#located, ([source, n]) => one('located_total', 'Offers, by how the place of the caller became known.', n, { source })),
      ...Array.from(this.#limited, ([by, n]) => one('rate_limited_total', 'Requests refused because there were too many, by what was counted.', n, { by })),
      one('offers_unserved_total', 'Offers that no cluster took.', this.offersWithoutCluster),
      one('late_answers_total', 'Calls hung up because another cluster had answered first, or the caller was gone.', this.lateAnswers),
      one('sidebands', 'WebSockets open through this gateway.', this.sidebands),
      ...clusters.flatMap(({ cluster, condition, load }) => [
        one('cluster_load', 'Calls in progress as a share of the capacity of the cluster.', load, { cluster: cluster.name }),
        ...CONDITIONS.map((each) =>
          one('cluster_condition', 'What the gateway knows of the cluster: 1 for the condition that it is in.', Number(each === condition), {
            cluster: cluster.name,
            condition: each,
          }),
        ),
      ]),
      ...ingress.flatMap(({ address, condition }) =>
        INGRESS_CONDITIONS.map((each) =>
          one('ingress_condition', 'What the gateway knows of a public relay address: 1 for the condition that it is in.', Number(each === condition), {
            ingress: address,
            condition: each,
          }),
        ),
      ),
    ];
  }
}

function count<T>(counts: Map<string, T & { count: number }>, key: string, labels: T): void {
  const entry = counts.get(key);
  if (entry) entry.count++;
  else counts.set(key, { ...labels, count: 1 });
}
