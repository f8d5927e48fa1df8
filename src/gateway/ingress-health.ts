import type { Ingress } from '../clusters/clusters.ts';
import { type Probe, ProbeTimes } from './readiness.ts';

/**
 * What is known of a public relay address, best first: callers are told a worse one only after the better ones.
 * `unwatched`: the clusters file does not say where its relay can be asked, so it is taken to be well.
 */
export const INGRESS_CONDITIONS = ['ready', 'unwatched', 'unknown', 'not-ready', 'unreachable'] as const;
export type IngressCondition = (typeof INGRESS_CONDITIONS)[number];

/** Not to be named while there is another. */
export function isAvoided(condition: IngressCondition): boolean {
  return condition === 'not-ready' || condition === 'unreachable';
}

/**
 * What the gateway knows of one relay, from probes of its HTTP. Pure: `now` is monotonic, ms.
 *
 * One probe that fails is enough: to name another relay first costs next to nothing, to name a dead one is heard.
 */
export class IngressHealth {
  readonly #probes = new ProbeTimes();
  #condition: IngressCondition;

  constructor({ http }: Pick<Ingress, 'http'>) {
    this.#condition = http === null ? 'unwatched' : 'unknown';
  }

  get condition(): IngressCondition {
    return this.#condition;
  }

  /** When the next probe is due. */
  get nextProbeAt(): number {
    return this.#probes.nextAt;
  }

  handleProbe(probe: Probe, now: number): void {
    this.#probes.handleProbe(probe, now);
    this.#condition = probe.type === 'failed' ? 'unreachable' : probe.ready ? 'ready' : 'not-ready';
  }
}
