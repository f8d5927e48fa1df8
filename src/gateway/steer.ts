import type { Cluster, Clusters, Ingress, Place } from '../clusters/clusters.ts';
import type { TransportAddress } from '../wire/address.ts';
import { distanceKm } from './distance.ts';
import { type IngressCondition, isAvoided } from './ingress-health.ts';

/** What is known of a cluster, best first: offers go to a worse one only when there is no better. */
export const CONDITIONS = ['ready', 'unknown', 'full', 'not-ready', 'unreachable'] as const;
export type Condition = (typeof CONDITIONS)[number];

export interface ClusterState {
  readonly cluster: Cluster;
  readonly condition: Condition;
  /** Calls in progress as a share of capacity: 1 is full. */
  readonly load: number;
}

export interface Candidate extends ClusterState {
  /** From the caller. Null when nobody knows where the caller is. */
  readonly distanceKm: number | null;
  /** The distance, and what the load adds to it: candidates of one condition are in this order. */
  readonly costKm: number;
}

/** Why a cluster got a call. */
export type Reason =
  /** No other is nearer to the caller. */
  | 'nearest'
  /** The caller's place is unknown, and the file lists it before the others. */
  | 'first-listed'
  /** A nearer one, or one listed before, has too many calls. */
  | 'spill-over'
  /** A nearer one, or one listed before, takes no calls or did not answer. */
  | 'fail-over';

/** From this load on a cluster is given less than what is nearest to it. */
const SPILL_FROM_LOAD = 0.7;
/** What a full cluster would be treated as farther away, km; in between it grows with the square of the load. */
const SPILL_KM = 6_000;
/** How much farther a cluster counts than the one listed before it, where the caller's place is unknown. */
const LISTED_STEP_KM = 1_000;
/** How much a way over the public internet counts, against the same way over the trunk. */
const PUBLIC_FACTOR = 2;
/** Candidates of one address family in an answer: the second costs a caller nothing while the first one works. */
const INGRESS_PER_FAMILY = 2;

/**
 * Puts the clusters in the order in which an offer should be brought to them. Pure.
 *
 * Distance decides among clusters that are ready and have room. Load turns into distance gradually, so that a region
 * at its peak hands over the callers at its edge first, and no threshold makes all of them jump at once.
 */
export function steer(place: Place | null, states: readonly ClusterState[]): Candidate[] {
  const candidates = states.map((state, i): Candidate => {
    const distance = place && distanceKm(place, state.cluster.place);
    const condition = state.condition === 'ready' && state.load >= 1 ? 'full' : state.condition;
    return { ...state, condition, distanceKm: distance, costKm: (distance ?? i * LISTED_STEP_KM) + loadKm(state.load) };
  });
  return candidates.sort((a, b) => rank(a) - rank(b) || a.costKm - b.costKm);
}

/** Why `chosen` got the call although others may have been nearer. `failed`: those that were asked and did not take it. */
export function reasonFor(chosen: Candidate, candidates: readonly Candidate[], failed: ReadonlySet<Cluster>): Reason {
  const passedOver = candidates.filter((other) => other !== chosen && isNearer(other, chosen, candidates));
  if (passedOver.length === 0) return chosen.distanceKm === null ? 'first-listed' : 'nearest';
  const isBusy = ({ cluster, condition }: Candidate): boolean => !failed.has(cluster) && (condition === 'ready' || condition === 'full');
  return passedOver.every(isBusy) ? 'spill-over' : 'fail-over';
}

export interface IngressChoice {
  /** What callers are told, best first. */
  readonly addresses: readonly TransportAddress[];
  /** Those that would have been told, or told sooner, had they been well. */
  readonly avoided: readonly { readonly address: TransportAddress; readonly condition: IngressCondition }[];
}

/**
 * The public relay addresses for a call in `cluster`, best first: of the relays that lead there, per address family the
 * two with the shortest way from the caller through the relay to the cluster, of which the part to the relay counts more.
 * So a relay beside the caller comes first, one off the way comes not at all, and one that dies costs an ICE check and not
 * a new call. One that is known to be dead comes after all others. Without a place the cluster's own come first, in the
 * order of the file. Pure.
 */
export function chooseIngress(place: Place | null, cluster: Cluster, clusters: Clusters, conditionOf: (ingress: Ingress) => IngressCondition): IngressChoice {
  const foreign = clusters.list.filter(({ id }) => id !== cluster.id).flatMap(({ ingress }) => ingress);
  const leading = [...cluster.ingress, ...[...foreign, ...clusters.ingress].filter((entry) => entry.global)];
  const from = place ?? cluster.place;
  const costKm = (entry: Ingress): number => PUBLIC_FACTOR * distanceKm(from, entry.place) + distanceKm(entry.place, cluster.place);
  const byCost = leading.map((entry) => ({ address: entry.address, costKm: costKm(entry), condition: conditionOf(entry) })).sort((a, b) => a.costKm - b.costKm);
  const avoided = fewPerFamily(byCost).filter(({ condition }) => isAvoided(condition));
  const named = avoided.length === 0 ? byCost : byCost.toSorted((a, b) => Number(isAvoided(a.condition)) - Number(isAvoided(b.condition)));
  return { addresses: fewPerFamily(named).map(({ address }) => address), avoided };
}

function fewPerFamily<T extends { readonly address: TransportAddress }>(sorted: readonly T[]): T[] {
  const left = { 4: INGRESS_PER_FAMILY, 6: INGRESS_PER_FAMILY };
  return sorted.filter(({ address: { family } }) => left[family]-- > 0);
}

function loadKm(load: number): number {
  const excess = Math.max(0, Math.min(1, load) - SPILL_FROM_LOAD) / (1 - SPILL_FROM_LOAD);
  return SPILL_KM * excess ** 2;
}

function rank({ condition }: Candidate): number {
  return CONDITIONS.indexOf(condition);
}

function isNearer(other: Candidate, chosen: Candidate, candidates: readonly Candidate[]): boolean {
  const plainKm = ({ distanceKm: distance, costKm, load }: Candidate): number => distance ?? costKm - loadKm(load);
  const difference = plainKm(other) - plainKm(chosen);
  return difference < 0 || (difference === 0 && candidates.indexOf(other) < candidates.indexOf(chosen));
}
