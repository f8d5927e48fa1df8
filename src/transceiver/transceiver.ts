import { availableParallelism } from 'node:os';
import type { AgentSettings } from '../agents/index.ts';
import type { LogLevel } from '../observe/log.ts';
import type { MetricReading } from '../observe/metrics.ts';
import {
  CallError,
  type AnswerAhead,
  type CallAnswer,
  type CallObservation,
  type CallObserver,
  type CallRequest,
  type CallService,
  type IceUpdate,
} from '../signaling/call-service.ts';
import type { TicketStore } from '../store/index.ts';
import type { TransportAddress } from '../wire/address.ts';
import { CallIdKeys } from '../wire/call-id.ts';
import { pinNativeModules } from './native-modules.ts';
import { ShardThread } from './shard-thread.ts';
import { TicketOffice } from './ticket-office.ts';
import { TicketRegistry } from './ticket-registry.ts';

export interface TransceiverOptions {
  /** Base address of the trunk; shard i binds port + i. Port 0 lets the system choose one for each shard. */
  readonly trunk: TransportAddress;
  readonly advertiseTrunk?: TransportAddress;
  /** Public addresses of the relays, best first; at least one. */
  readonly ingress: readonly TransportAddress[];
  readonly cluster?: number;
  readonly secret: string;
  readonly previousSecret?: string;
  /** Names of built-in agents or paths of modules; the first answers callers that name none. Default `parrot`. */
  readonly agents?: readonly string[];
  /** What the built-in agents with a server behind them need. */
  readonly agentSettings?: AgentSettings;
  /** The longest that a call may last. Default one hour. */
  readonly maxDurationMs?: number;
  /** Worker threads. Default: one per core but one, which is for signaling, the relay beside it, the kernel. */
  readonly workers?: number;
  /** Calls at once, over all workers; more are answered with 503. Default 1,000 per worker. */
  readonly maxCalls?: number;
  /** Largest UDP payload on the trunk, bytes. Default 1,472. */
  readonly trunkMtu?: number;
  /** Send to a caller whose certificate has not been verified yet, see `AnswererOptions.earlySending`. Default true. */
  readonly earlyMedia?: boolean;
  /** How long an answer ahead is good for. Default ten minutes. */
  readonly ticketLifetimeMs?: number;
  /** Where all transceivers of the cluster see which tickets are used, and what they cannot hold. None unless given; closed with the transceiver. */
  readonly store?: TicketStore;
  readonly logLevel?: LogLevel;
}

/** A running transceiver: owns whole WebRTC sessions, spread over worker threads. */
export interface Transceiver extends CallService {
  /** Bound trunk addresses, one per shard. */
  readonly trunk: readonly TransportAddress[];
  /** Calls in progress. */
  readonly calls: number;
  /** Calls at once, at most. */
  readonly capacity: number;
  /** False while draining or closed: no new calls. */
  readonly ready: boolean;
  /** Every shard's time series, one after the other. */
  metrics(): Promise<MetricReading[]>;
  /** What is known of one call, for debugging; null when there is no such call. */
  dump(callId: string): Promise<unknown>;
  /** Takes no new calls, tells the agents, and waits until the live ones have ended, at most `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
  /** Ends every call with `reason` and stops the threads. Idempotent. */
  close(reason?: string): Promise<void>;
}

const DEFAULT_TRUNK_MTU = 1472;
const DEFAULT_MAX_DURATION_MS = 3_600_000;
const DEFAULT_CALLS_PER_WORKER = 1000;
const DEFAULT_TICKET_LIFETIME_MS = 600_000;
/** A session configuration outlives the tickets that name it by this. */
const SESSION_SLACK_MS = 60_000;
/** What a caller is told to wait when there is no room, seconds. */
const RETRY_AFTER_S = 5;

/**
 * Starts the shards and resolves when all of them can take calls.
 * @throws when a port is in use or the agent does not load; the message says what to do.
 */
export async function startTransceiver(options: TransceiverOptions): Promise<Transceiver> {
  await pinNativeModules();
  const workers = options.workers ?? Math.max(1, availableParallelism() - 1);
  const capacity = options.maxCalls ?? workers * DEFAULT_CALLS_PER_WORKER;
  const cluster = options.cluster ?? 0;
  const previousSecret = options.previousSecret ?? null;
  const tickets = new TicketRegistry(options.store ?? null);
  const shards = Array.from({ length: workers }, (_, index) => new ShardThread({
    index,
    // Of ports that the system chose each is a first one.
    workers: (options.advertiseTrunk ?? options.trunk).port === 0 ? 1 : workers,
    maxCalls: Math.ceil(capacity / workers),
    cluster,
    trunk: nthAddress(options.trunk, index),
    advertiseTrunk: options.advertiseTrunk ? nthAddress(options.advertiseTrunk, index) : null,
    ingress: options.ingress,
    secret: options.secret,
    previousSecret,
    agents: options.agents ?? ['parrot'],
    agentSettings: options.agentSettings ?? {},
    maxDurationMs: options.maxDurationMs ?? DEFAULT_MAX_DURATION_MS,
    trunkMtu: options.trunkMtu ?? DEFAULT_TRUNK_MTU,
    earlyMedia: options.earlyMedia ?? true,
    logLevel: options.logLevel ?? 'info',
  }, tickets));
  // Its certificate takes a moment, while this thread has nothing else to do.
  const office = new TicketOffice({ secret: options.secret, previousSecret, cluster, ingress: options.ingress });
  const started = await Promise.allSettled(shards.map((shard) => shard.ready));
  const failed = started.find((result) => result.status === 'rejected');
  if (failed) {
    await Promise.all(shards.map((shard) => shard.close('startup-failed')));
    await tickets.close();
    throw failed.reason;
  }
  const keys = new CallIdKeys(options.secret, options.previousSecret);
  return new ShardedTransceiver(shards, keys, capacity, office, tickets, options.ticketLifetimeMs ?? DEFAULT_TICKET_LIFETIME_MS);
}

class ShardedTransceiver implements Transceiver {
  readonly capacity: number;
  readonly #shards: readonly ShardThread[];
  readonly #keys: CallIdKeys;
  readonly #office: TicketOffice;
  readonly #tickets: TicketRegistry;
  readonly #ticketLifetimeMs: number;
  #draining = false;
  #closed: Promise<void> | null = null;

  constructor(
    shards: readonly ShardThread[],
    keys: CallIdKeys,
    capacity: number,
    office: TicketOffice,
    tickets: TicketRegistry,
    ticketLifetimeMs: number,
  ) {
    this.#shards = shards;
    this.#keys = keys;
    this.capacity = capacity;
    this.#office = office;
    this.#tickets = tickets;
    this.#ticketLifetimeMs = ticketLifetimeMs;
  }

  get trunk(): readonly TransportAddress[] {
    return this.#shards.map((shard) => shard.trunk);
  }

  get agents(): readonly string[] {
    return this.#shards[0].agents;
  }

  get calls(): number {
    return this.#shards.reduce((sum, shard) => sum + shard.calls, 0);
  }

  get ready(): boolean {
    return !this.#draining && !this.#closed && this.#shards.some((shard) => shard.alive);
  }

  async createCall(request: CallRequest): Promise<CallAnswer> {
    if (!this.ready) throw noRoom('draining', 'This server is shutting down and takes no new calls.');
    if (this.calls >= this.capacity) {
      throw noRoom('server_full', `This server has its ${this.capacity} calls in progress; try again shortly.`);
    }
    const shard = leastLoaded(this.#shards.filter((candidate) => candidate.alive));
    return shard.createCall({ type: 'create-call', ...request });
  }

  async answerAhead(request: CallRequest, notAfter = Infinity): Promise<AnswerAhead> {
    if (!this.ready) throw noRoom('draining', 'This server is shutting down and takes no new calls.');
    const now = Date.now();
    const expiresAt = Math.floor(Math.min(now + this.#ticketLifetimeMs, notAfter * 1000) / 1000);
    const { answer, named } = this.#office.issue(request, Math.floor(now / 1000), expiresAt);
    // The first packet may come in the last moment, and the answer to it ask once more.
    if (named !== null) await this.#tickets.keep(named, expiresAt * 1000 - now + SESSION_SLACK_MS);
    return { answer, expiresAt };
  }

  async hangup(callId: string, reason: string): Promise<boolean> {
    const shard = this.#shardOf(callId);
    if (!shard) return false;
    await shard.request({ type: 'hangup', callId, reason });
    return true;
  }

  async restartIce(callId: string, fragment: string, ifMatch: '*' | readonly string[]): Promise<IceUpdate> {
    const shard = this.#shardOf(callId);
    if (!shard) throw new CallError(404, 'call_not_found', `There is no call ${callId}.`);
    return shard.request({ type: 'restart-ice', callId, fragment, ifMatch });
  }

  async observe(callId: string, observer: CallObserver): Promise<CallObservation> {
    const shard = this.#shardOf(callId);
    if (!shard) throw new CallError(404, 'call_not_found', `There is no call ${callId}.`);
    return shard.observe(callId, observer);
  }

  async dump(callId: string): Promise<unknown> {
    return this.#shardOf(callId)?.request({ type: 'dump', callId }) ?? null;
  }

  async metrics(): Promise<MetricReading[]> {
    const alive = this.#shards.filter((shard) => shard.alive);
    return (await Promise.all(alive.map((shard) => shard.request({ type: 'stats' })))).flat();
  }

  async drain(timeoutMs: number): Promise<void> {
    this.#draining = true;
    // What a shard was asked before, it has done by then: no call is left out. One that has died has none.
    for (const shard of this.#shards) shard.request({ type: 'announce-stop', withinMs: timeoutMs }).catch(() => undefined);
    const idle = Promise.all(this.#shards.map((shard) => shard.whenIdle()));
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise((resolve) => (timer = setTimeout(resolve, timeoutMs)));
    await Promise.race([idle, timeout]);
    clearTimeout(timer);
  }

  close(reason = 'server-shutdown'): Promise<void> {
    this.#closed ??= Promise.all(this.#shards.map((shard) => shard.close(reason))).then(() => this.#tickets.close());
    return this.#closed;
  }

  /** The call id names the shard's trunk address, so no table of calls is needed here. */
  #shardOf(callId: string): ShardThread | undefined {
    const fields = this.#keys.decodeCallId(callId);
    return fields ? this.#shards.find((shard) => shard.alive && shard.owns(fields)) : undefined;
  }
}

function noRoom(code: string, message: string): CallError {
  return new CallError(503, code, message, { retryAfter: RETRY_AFTER_S });
}

function leastLoaded(shards: readonly ShardThread[]): ShardThread {
  return shards.reduce((best, shard) => (shard.calls < best.calls ? shard : best));
}

function nthAddress(base: TransportAddress, n: number): TransportAddress {
  return base.port === 0 ? base : { ...base, port: base.port + n };
}
