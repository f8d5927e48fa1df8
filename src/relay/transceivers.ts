import { formatAddress, sameAddress, type TransportAddress } from '../wire/address.ts';
import { LOCATOR_BYTES } from '../wire/locator.ts';
import { pathProbeCluster, pathProbeNumber, reportAccepting, reportReadySince, reportWorkers } from '../wire/path-probe.ts';
import { endpointKey, endpointOf, hashBytes, rendezvous } from './endpoints.ts';
import { PathHealth, type PathPace } from './path-health.ts';

/** Worst last. `full`: answers, but takes no new calls, or drains. `unknown`: has not answered yet. */
export const WORKER_CONDITIONS = ['accepting', 'full', 'unknown', 'dead'] as const;
export type WorkerCondition = (typeof WORKER_CONDITIONS)[number];

/** What one relay worker knows of one transceiver worker. */
export interface TransceiverReport {
  readonly address: string;
  readonly condition: WorkerCondition;
}

/** What several relay workers say of the same transceiver workers: the worst. */
export function mergeTransceiverReports(reports: readonly TransceiverReport[]): TransceiverReport[] {
  const worst = new Map<string, WorkerCondition>();
  for (const { address, condition } of reports) {
    const before = worst.get(address);
    if (before === undefined || WORKER_CONDITIONS.indexOf(condition) > WORKER_CONDITIONS.indexOf(before)) worst.set(address, condition);
  }
  return Array.from(worst, ([address, condition]) => ({ address, condition }));
}

/** One worker is dead within a second, and alive again with its next answer. */
const PACE: PathPace = { probeMs: 200, downProbeMs: 500, silenceMs: 600, answersToReturn: 1 };
/** Probes leave in groups, so that hundreds of workers do not wake the loop hundreds of times, ms. */
const GROUP_MS = 20;
const GROUPS = PACE.probeMs / GROUP_MS;
/**
 * A worker counts as ready for what was issued so long after it, seconds: by then every relay has learned of it (names
 * are resolved anew and cached on the way), and clocks may differ.
 */
export const SETTLING_S = 30;
/** A worker that is expected no more is forgotten when it has been silent for so long: flows may still lead to it, ms. */
const FORGET_MS = 60_000;
/** Above every hash, so that those that were ready come first. */
const READY = 2 ** 32;

interface Worker {
  readonly address: TransportAddress;
  readonly endpoint: Uint8Array;
  readonly key: number;
  readonly seed: number;
  readonly health: PathHealth;
  /** The first worker of its process, by whose reports it is known; null for a first one. */
  readonly first: Worker | null;
  /** Its place in the process. */
  readonly index: number;
  /** Whether it is among the addresses. */
  listed: boolean;
  /** Of a first worker: how many its process has. */
  count: number;
  accepting: boolean;
  readySince: number;
  /** When it answered last, or was added. */
  heardAt: number;
}

/**
 * The transceiver workers of this relay's cluster, as one relay worker sees them, and which of them an unbound ticket
 * goes to. Pure: no sockets, no clock.
 *
 * For each ticket the workers have an order: those that were ready before it was issued come before all others, and
 * among equals rendezvous hashing decides. So a worker that goes moves its own tickets only, one that comes moves none
 * that is in use already, and all relays agree. The first living one is chosen, even if it takes no calls: the call
 * may be there.
 *
 * Until every worker has answered or been silent for a second, nothing is chosen: what is not known yet would be
 * passed over, and a call be made a second time.
 */
export class TransceiverWorkers {
  /** After `choose` and `next`: the worker to send to; after `poll`: the one to probe. Six bytes at offset 0. */
  endpoint: Uint8Array = new Uint8Array(LOCATOR_BYTES);
  /** After `poll`. */
  probeNumber = 0;
  readonly probeCluster: number;

  #workers: Worker[] = [];
  readonly #byAddress = new Map<number, Worker>();
  #settled = false;
  #nextAt = Number.POSITIVE_INFINITY;
  /** How far the round of probes has come. */
  #probed = 0;

  /** @param firsts trunk addresses of the first worker of each transceiver: IPv4 */
  constructor(cluster: number, firsts: readonly TransportAddress[], now: number) {
    this.probeCluster = cluster;
    this.update(firsts, now);
  }

  /** Takes new addresses. A worker that is on the list no more stays for as long as it answers: it may still hold calls. */
  update(firsts: readonly TransportAddress[], now: number): void {
    for (const worker of this.#workers) worker.listed = false;
    for (const address of firsts) {
      const known = this.#workers.find((worker) => sameAddress(worker.address, address));
      if (known === undefined) this.#add(address, null, 0, now);
      else known.listed = true;
    }
    this.#nextAt = now;
  }

  /** Chooses for the ticket whose token of 17 bytes this is; false when there is none. @param issuedAt Unix seconds */
  choose(token: Uint8Array, issuedAt: number): boolean {
    return this.#settled && this.#first(token, issuedAt, null);
  }

  /** Chooses the next after `from` (six bytes), which handed the ticket back; it takes new calls. False for none. */
  next(from: Uint8Array, token: Uint8Array, issuedAt: number): boolean {
    const worker = this.#byAddress.get(endpointKey(from, 0));
    return worker !== undefined && this.#first(token, issuedAt, worker);
  }

  /** False for a target (six bytes) that is known to be dead. */
  lives(target: Uint8Array, offset: number): boolean {
    const worker = this.#byAddress.get(endpointKey(target, offset));
    return worker === undefined || conditionOf(worker) !== 'dead';
  }

  /** When `poll` has something to do again. */
  get nextAt(): number {
    return this.#nextAt;
  }

  /** Takes the next probe that is due into `endpoint` and `probeNumber`; false when none is. */
  poll(now: number): boolean {
    if (now < this.#nextAt) return false;
    while (this.#probed < this.#workers.length) {
      const worker = this.#workers[this.#probed++];
      if (now < worker.health.nextProbeAt) continue;
      if (!isExpected(worker) && now - worker.heardAt > FORGET_MS) {
        this.#forget(--this.#probed);
        continue;
      }
      this.probeNumber = worker.health.probe(now);
      this.endpoint = worker.endpoint;
      // All are asked at once first, and then in groups.
      if (this.probeNumber === 0) worker.health.nextProbeAt += (this.#probed % GROUPS) * GROUP_MS;
      return true;
    }
    this.#probed = 0;
    this.#settle();
    this.#nextAt = this.#workers.reduce((next, { health }) => Math.min(next, health.nextProbeAt), Number.POSITIVE_INFINITY);
    this.#nextAt = Math.max(this.#nextAt, now + GROUP_MS);
    return false;
  }

  /** The worker at `from` (six bytes) has sent the report at `offset`. */
  answer(from: Uint8Array, report: Uint8Array, offset: number, now: number): void {
    const worker = this.#byAddress.get(endpointKey(from, 0));
    if (worker === undefined) return;
    if (!worker.health.answer(pathProbeNumber(report, offset), pathProbeCluster(report, offset), now)) return;
    worker.heardAt = now;
    worker.accepting = reportAccepting(report, offset);
    worker.readySince = reportReadySince(report, offset);
    if (worker.first === null) this.#learnOthers(worker, reportWorkers(report, offset), now);
    this.#settle();
  }

  reports(): TransceiverReport[] {
    const shown = this.#workers.filter((worker) => isExpected(worker) || isAlive(worker));
    return shown.map((worker) => ({ address: formatAddress(worker.address), condition: conditionOf(worker) }));
  }

  #first(token: Uint8Array, issuedAt: number, after: Worker | null): boolean {
    const ticket = hashBytes(token, 0, token.length);
    const limit = after === null ? Number.POSITIVE_INFINITY : rank(after, ticket, issuedAt);
    let best: Worker | null = null;
    let most = -1;
    for (const worker of this.#workers) {
      if (!isAlive(worker) || (after !== null && !worker.accepting)) continue;
      const value = rank(worker, ticket, issuedAt);
      // Of two with the same hash the lower address comes first.
      if (after !== null && (value > limit || (value === limit && worker.key <= after.key))) continue;
      if (best !== null && (value < most || (value === most && worker.key > best.key))) continue;
      best = worker;
      most = value;
    }
    if (best === null) return false;
    this.endpoint = best.endpoint;
    return true;
  }

  #learnOthers(first: Worker, count: number, now: number): void {
    first.count = count;
    const { ip, port } = first.address;
    for (let i = 1; i < count && port + i <= 0xffff; i++) {
      const address = { family: 4 as const, ip, port: port + i };
      if (this.#byAddress.has(endpointKey(endpointOf(address), 0))) continue;
      this.#add(address, first, i, now);
      this.#nextAt = now;
    }
  }

  #add(address: TransportAddress, first: Worker | null, index: number, now: number): void {
    const endpoint = endpointOf(address);
    const worker: Worker = {
      address,
      endpoint,
      key: endpointKey(endpoint, 0),
      seed: hashBytes(endpoint, 0, LOCATOR_BYTES),
      health: new PathHealth(this.probeCluster, now, PACE),
      first,
      index,
      listed: first === null,
      count: 1,
      accepting: false,
      readySince: 0,
      heardAt: now,
    };
    this.#workers.push(worker);
    this.#byAddress.set(worker.key, worker);
  }

  #forget(at: number): void {
    this.#byAddress.delete(this.#workers[at].key);
    this.#workers.splice(at, 1);
  }

  /** Once settled it stays so: what comes later was not ready for the tickets that are out. */
  #settle(): void {
    this.#settled ||= this.#workers.length > 0 && this.#workers.every(({ health }) => health.condition !== 'unknown');
  }
}

function isAlive({ health: { condition } }: Worker): boolean {
  return condition === 'up' || condition === 'lossy';
}

function conditionOf(worker: Worker): WorkerCondition {
  if (isAlive(worker)) return worker.accepting ? 'accepting' : 'full';
  return worker.health.condition === 'unknown' ? 'unknown' : 'dead';
}

/** Whether it is among the addresses, or belongs to a process that is. */
function isExpected({ listed, first, index }: Worker): boolean {
  return listed || (first !== null && first.listed && index < first.count);
}

/** Greater is earlier. */
function rank({ seed, readySince }: Worker, ticket: number, issuedAt: number): number {
  return (readySince + SETTLING_S <= issuedAt ? READY : 0) + rendezvous(ticket, seed);
}
