import type { Cluster, Place } from '../../src/clusters/clusters.ts';
import { type ClusterState, steer } from '../../src/gateway/steer.ts';
import { EventQueue } from './events.ts';
import { Random } from './random.ts';

/**
 * Calls that come, are steered to a region by the gateway's own rule, last and end, in virtual time. A state machine: it
 * reads no clock, and the same scenario comes out the same.
 */
export interface Scenario {
  readonly seed: number;
  readonly regions: readonly RegionPlan[];
  /** Of all regions together. */
  readonly arrivalsPerSecond: number;
  readonly meanCallSeconds: number;
  /** Spread of the logarithm of call lengths; null: they are exponential. */
  readonly lengthSigma: number | null;
  /** Until then nothing is counted, so that regions fill up. */
  readonly warmUpSeconds: number;
  /** When it ends, warm-up included. */
  readonly seconds: number;
  /** How old the gateway's knowledge of loads gets. */
  readonly probeSeconds: number;
  /** Callers that were cut off call again, each at some time within this. */
  readonly redialSeconds: number;
  /** What happens, at which second. */
  readonly incidents: readonly Incident[];
}

export interface RegionPlan {
  readonly name: string;
  readonly place: Place;
  /** Of all arrivals. */
  readonly share: number;
  readonly pods: number;
  readonly callsPerPod: number;
}

export type Incident =
  /** The region is gone with all its calls. */
  | { readonly at: number; readonly kind: 'lose'; readonly region: string }
  /** Each pod is replaced: new ones start beside the old, at most `surge` × pods more, and old ones drain. */
  | { readonly at: number; readonly kind: 'roll'; readonly region: string; readonly surge: number; readonly startSeconds: number; readonly drainSeconds: number };

/** Counted after the warm-up. */
export interface Outcome {
  readonly arrivals: number;
  /** Calls that were cut off and came again. */
  readonly redials: number;
  /** Of arrivals and redials. */
  readonly placed: number;
  /** Of those placed: elsewhere than in the nearest region that is there. */
  readonly spilled: number;
  /** No region took them. */
  readonly blocked: number;
  /** Ended by themselves. */
  readonly ended: number;
  /** Cut off: with their region, or at the end of a drain. */
  readonly cut: number;
  /** Mean over time. */
  readonly meanLive: number;
  /** Highest load that a probe has seen, by region. */
  readonly maxLoad: Readonly<Record<string, number>>;
  /** Most pods at a time, draining ones included. */
  readonly maxPods: number;
  /** Most calls placed within one probe interval, per second. */
  readonly maxSetUpsPerSecond: number;
  /** From the start, warm-up included, for tests of conservation. */
  readonly total: { readonly placed: number; readonly ended: number; readonly cut: number; readonly live: number };
}

interface Pod {
  readonly region: Region;
  isReady: boolean;
  live: Set<number>;
}

interface Region {
  readonly plan: RegionPlan;
  readonly cluster: Cluster;
  pods: Pod[];
  isLost: boolean;
}

type Event =
  | { readonly kind: 'arrival' }
  | { readonly kind: 'redial'; readonly region: Region }
  | { readonly kind: 'end'; readonly call: number; readonly pod: Pod }
  | { readonly kind: 'probe' }
  | { readonly kind: 'incident'; readonly incident: Incident }
  | { readonly kind: 'pods-ready'; readonly roll: Roll; readonly count: number }
  | { readonly kind: 'drained'; readonly pod: Pod };

interface Roll {
  readonly region: Region;
  readonly incident: Extract<Incident, { kind: 'roll' }>;
  readonly old: Pod[];
  /** Of `old`, not yet draining. */
  left: number;
  /** New ones started so far. */
  started: number;
}

/** How far from the middle of its region a caller may be, degrees. */
const REGION_RADIUS_DEGREES = 8;

export function simulate(scenario: Scenario): Outcome {
  const simulation = new Simulation(scenario);
  while (simulation.step());
  return simulation.outcome();
}

class Simulation {
  readonly #scenario: Scenario;
  readonly #random: Random;
  readonly #queue = new EventQueue<Event>();
  readonly #regions: readonly Region[];
  /** What the gateway believes. */
  #states: ClusterState[] = [];
  #now = 0;
  #nextCall = 0;
  #live = 0;
  #liveSeconds = 0;
  #isCounting = false;
  #setUpsSinceProbe = 0;
  readonly #maxLoad = new Map<string, number>();
  readonly #total = { placed: 0, ended: 0, cut: 0 };
  readonly #counts = { arrivals: 0, redials: 0, placed: 0, spilled: 0, blocked: 0, ended: 0, cut: 0, maxPods: 0, maxSetUps: 0 };

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#random = new Random(scenario.seed);
    this.#regions = scenario.regions.map((plan, id): Region => {
      const region: Region = { plan, cluster: clusterOf(plan, id), pods: [], isLost: false };
      for (let i = 0; i < plan.pods; i++) region.pods.push({ region, isReady: true, live: new Set() });
      return region;
    });
    this.#queue.add(0, { kind: 'probe' });
    this.#queue.add(0, { kind: 'arrival' });
    for (const incident of scenario.incidents) this.#queue.add(incident.at, { kind: 'incident', incident });
  }

  /** Handles the next event; false when the time is over. */
  step(): boolean {
    const next = this.#queue.next();
    if (next === null || next.at >= this.#scenario.seconds) {
      this.#advance(this.#scenario.seconds);
      return false;
    }
    this.#advance(next.at);
    this.#handle(next.event);
    return true;
  }

  outcome(): Outcome {
    const { maxSetUps, ...counts } = this.#counts;
    const { seconds, warmUpSeconds, probeSeconds } = this.#scenario;
    return {
      ...counts,
      meanLive: this.#liveSeconds / (seconds - warmUpSeconds),
      maxLoad: Object.fromEntries(this.#maxLoad),
      maxSetUpsPerSecond: maxSetUps / probeSeconds,
      total: { ...this.#total, live: this.#live },
    };
  }

  #advance(to: number): void {
    const from = Math.max(this.#now, this.#scenario.warmUpSeconds);
    this.#liveSeconds += this.#live * Math.max(0, to - from);
    this.#now = to;
    this.#isCounting = to >= this.#scenario.warmUpSeconds;
  }

  #handle(event: Event): void {
    switch (event.kind) {
      case 'arrival':
        this.#queue.add(this.#now + this.#random.exponential(1 / this.#scenario.arrivalsPerSecond), event);
        this.#count('arrivals');
        this.#place(this.#pickRegion());
        break;
      case 'redial':
        this.#count('redials');
        this.#place(event.region);
        break;
      case 'end':
        // One that was cut off meanwhile has left its pod.
        if (!event.pod.live.delete(event.call)) break;
        this.#live--;
        this.#count('ended');
        this.#total.ended++;
        break;
      case 'probe':
        this.#probe();
        this.#queue.add(this.#now + this.#scenario.probeSeconds, event);
        break;
      case 'incident':
        this.#begin(event.incident);
        break;
      case 'pods-ready':
        this.#replace(event.roll, event.count);
        break;
      case 'drained':
        this.#end(event.pod);
        break;
    }
  }

  #count(what: 'arrivals' | 'redials' | 'placed' | 'spilled' | 'blocked' | 'ended' | 'cut'): void {
    if (this.#isCounting) this.#counts[what]++;
  }

  #pickRegion(): Region {
    let left = this.#random.uniform();
    for (const region of this.#regions) {
      left -= region.plan.share;
      if (left < 0) return region;
    }
    return this.#regions[this.#regions.length - 1];
  }

  /** As the gateway does it: the best region first, the next one when that refuses. */
  #place(home: Region): void {
    const { latitude, longitude } = home.plan.place;
    const spread = (): number => (2 * this.#random.uniform() - 1) * REGION_RADIUS_DEGREES;
    const caller = { latitude: Math.max(-90, Math.min(90, latitude + spread())), longitude: longitude + spread() };
    const candidates = steer(caller, this.#states);
    const nearest = candidates.reduce((best, each) =>
      each.condition !== 'unreachable' && (each.distanceKm ?? 0) < (best?.distanceKm ?? Number.POSITIVE_INFINITY) ? each : best, candidates[0]);
    for (const { cluster } of candidates) {
      const pod = this.#anyPod(this.#regions[cluster.id]);
      if (pod === null || pod.live.size >= pod.region.plan.callsPerPod) continue;
      this.#start(pod);
      if (cluster !== nearest.cluster) this.#count('spilled');
      return;
    }
    this.#count('blocked');
  }

  /** Behind a service any ready pod may get the offer, whatever its load. */
  #anyPod(region: Region): Pod | null {
    const ready = region.pods.filter(({ isReady }) => isReady);
    return ready.length === 0 ? null : ready[Math.floor(this.#random.uniform() * ready.length)];
  }

  #start(pod: Pod): void {
    const { meanCallSeconds, lengthSigma } = this.#scenario;
    const length = lengthSigma === null ? this.#random.exponential(meanCallSeconds) : this.#random.logNormal(meanCallSeconds, lengthSigma);
    const call = this.#nextCall++;
    pod.live.add(call);
    this.#live++;
    this.#setUpsSinceProbe++;
    this.#count('placed');
    this.#total.placed++;
    this.#queue.add(this.#now + length, { kind: 'end', call, pod });
  }

  #probe(): void {
    let pods = 0;
    this.#states = this.#regions.map(({ cluster, plan, pods: all, isLost }): ClusterState => {
      const ready = all.filter(({ isReady }) => isReady);
      const calls = ready.reduce((sum, { live }) => sum + live.size, 0);
      const load = ready.length === 0 ? 1 : calls / (ready.length * plan.callsPerPod);
      pods += all.length;
      if (this.#isCounting && !isLost) this.#maxLoad.set(plan.name, Math.max(load, this.#maxLoad.get(plan.name) ?? 0));
      return { cluster, condition: isLost ? 'unreachable' : 'ready', load };
    });
    if (this.#isCounting) {
      this.#counts.maxPods = Math.max(this.#counts.maxPods, pods);
      this.#counts.maxSetUps = Math.max(this.#counts.maxSetUps, this.#setUpsSinceProbe);
    }
    this.#setUpsSinceProbe = 0;
  }

  #begin(incident: Incident): void {
    const region = this.#regions.find(({ plan }) => plan.name === incident.region);
    if (region === undefined) throw new RangeError(`there is no region ${incident.region}`);
    if (incident.kind === 'lose') {
      region.isLost = true;
      for (const pod of region.pods) this.#end(pod);
      return;
    }
    const old = region.pods.filter(({ isReady }) => isReady);
    const roll: Roll = { region, incident, old, left: old.length, started: 0 };
    this.#startPods(roll, Math.ceil(old.length * incident.surge));
  }

  #startPods(roll: Roll, count: number): void {
    const needed = Math.min(count, roll.old.length - roll.started);
    roll.started += needed;
    if (needed > 0) this.#queue.add(this.#now + roll.incident.startSeconds, { kind: 'pods-ready', roll, count: needed });
  }

  /** New pods have become ready: as many old ones drain, and as many more are started. */
  #replace(roll: Roll, count: number): void {
    const { region, incident, old } = roll;
    for (let i = 0; i < count; i++) {
      region.pods.push({ region, isReady: true, live: new Set() });
      const pod = old[--roll.left];
      pod.isReady = false;
      this.#queue.add(this.#now + incident.drainSeconds, { kind: 'drained', pod });
    }
    this.#startPods(roll, count);
  }

  /** The pod is gone. Whoever was on it calls again. */
  #end(pod: Pod): void {
    const { region } = pod;
    for (const _call of pod.live) {
      this.#live--;
      this.#count('cut');
      this.#total.cut++;
      this.#queue.add(this.#now + this.#random.uniform() * this.#scenario.redialSeconds, { kind: 'redial', region });
    }
    pod.live.clear();
    pod.isReady = false;
    region.pods = region.pods.filter((each) => each !== pod);
  }
}

function clusterOf({ name, place }: RegionPlan, id: number): Cluster {
  return { id, name, place, signaling: new URL(`http://${name}.invalid`), transceiver: null, trunk: [], direct: false, capacity: null, ingress: [] };
}
