import { Worker } from 'node:worker_threads';
import { CallError, type CallAnswer, type CallObservation, type CallObserver } from '../signaling/call-service.ts';
import { formatAddress, sameAddress, type TransportAddress } from '../wire/address.ts';
import type { CallIdFields } from '../wire/call-id.ts';
import { RemoteObservers } from './observers.ts';
import type { ShardError, ShardMessage, ShardOptions, ShardRequest, ShardRequestMessage, ShardResults } from './protocol.ts';
import type { TicketRegistry } from './ticket-registry.ts';

type Reply = ShardResults[keyof ShardResults];
interface Pending {
  resolve(result: Reply): void;
  reject(error: Error): void;
}

/**
 * A small young generation is collected in a millisecond or two, some ten times a second: at Node's own 16 MB all calls of
 * the shard would stand still for 10 to 30 ms now and then.
 */
const LIMITS = { maxYoungGenerationSizeMb: 3 };

/** The main thread's handle on one shard: typed requests over the worker's message port, and its load. */
export class ShardThread {
  /** Resolves when the shard can take calls; rejects with a clear sentence when it cannot start. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #options: ShardOptions;
  readonly #tickets: TicketRegistry;
  readonly #pending = new Map<number, Pending>();
  readonly #callIds = new Set<string>();
  readonly #exited: Promise<void>;
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  readonly #observers = new RemoteObservers((act) => this.#worker.postMessage(act));
  #idleWaiters: (() => void)[] = [];
  #creating = 0;
  #nextId = 1;
  #trunk: TransportAddress;
  #agents: readonly string[] = [];
  #alive = false;

  constructor(options: ShardOptions, tickets: TicketRegistry) {
    this.#options = options;
    this.#tickets = tickets;
    this.#trunk = options.trunk;
    this.#worker = new Worker(new URL('./shard-worker.js', import.meta.url), { workerData: options, resourceLimits: LIMITS });
    this.ready = new Promise((resolve, reject) => {
      this.#worker.on('message', (message: ShardMessage) => {
        if (message.type === 'ready') {
          this.#trunk = message.trunk;
          this.#agents = message.agents;
          this.#alive = true;
          resolve();
        } else if (message.type === 'failed') {
          reject(Object.assign(new Error(message.message), { code: message.code }));
        } else {
          this.#handle(message);
        }
      });
      this.#worker.once('error', reject);
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#fail();
        resolve();
      });
    });
    // A thread that dies later rejects its requests through 'exit'; without a listener it would end the process.
    this.#worker.on('error', () => undefined);
  }

  get trunk(): TransportAddress {
    return this.#trunk;
  }

  /** Names of the agents, the default first; known when {@link ready}. */
  get agents(): readonly string[] {
    return this.#agents;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Calls in progress, those being set up included, so that a burst of offers spreads evenly. */
  get calls(): number {
    return this.#callIds.size + this.#creating;
  }

  owns({ cluster, locator }: CallIdFields): boolean {
    return cluster === this.#options.cluster && locator.kind === 0 && sameAddress(locator.address, this.#advertised());
  }

  async createCall(request: Extract<ShardRequest, { type: 'create-call' }>): Promise<CallAnswer> {
    this.#creating++;
    try {
      return await this.request(request);
    } finally {
      this.#creating--;
      this.#wakeIdleWaiters();
    }
  }

  /** @throws {CallError} as the shard says, or 503 when the thread has died. */
  request<T extends ShardRequest>(request: T): Promise<ShardResults[T['type']]> {
    if (!this.#alive) return Promise.reject(shardGone());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      this.#worker.postMessage({ id, request } satisfies ShardRequestMessage);
    });
  }

  /** See `CallService.observe`. @throws {CallError} */
  observe(callId: string, observer: CallObserver): Promise<CallObservation> {
    return this.#observers.add(observer, (observerId) => this.request({ type: 'observe', callId, observerId }));
  }

  /** Resolves when no call is left. */
  whenIdle(): Promise<void> {
    if (this.calls === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  async close(reason: string): Promise<void> {
    if (this.#alive) await this.request({ type: 'close', reason }).catch(() => undefined);
    this.#alive = false;
    await this.#worker.terminate();
    await this.#exited;
  }

  #handle(message: Exclude<ShardMessage, { type: 'ready' | 'failed' }>): void {
    switch (message.type) {
      case 'ticket-used':
        this.#callIds.add(message.callId);
        void this.#claim(message.ufrag, message.expiresAt);
        break;
      case 'call-ended':
        this.#callIds.delete(message.callId);
        this.#wakeIdleWaiters();
        break;
      case 'fetch-session':
        void this.#fetchSession(message.name);
        break;
      case 'observed':
      case 'observed-end':
        this.#observers.handle(message);
        break;
      case 'reply':
      case 'error':
        this.#settle(message);
    }
  }

  #settle(message: Extract<ShardMessage, { type: 'reply' | 'error' }>): void {
    const pending = this.#pending.get(message.id);
    if (!pending) return;
    this.#pending.delete(message.id);
    if (message.type === 'error') {
      pending.reject(toCallError(message.error));
      return;
    }
    // Recorded here and not by the awaiting caller, so that a `call-ended` right behind it finds the call.
    if (isCallAnswer(message.result)) this.#callIds.add(message.result.id);
    pending.resolve(message.result);
  }

  /** So that no other transceiver makes the same call, or that this one ends its own. */
  async #claim(ufrag: string, expiresAt: number): Promise<void> {
    const ttlMs = Math.max(0, expiresAt * 1000 - Date.now()) + this.#options.maxDurationMs;
    const owner = await this.#tickets.claim(ufrag, formatAddress(this.#advertised()), ttlMs);
    if (owner !== null && this.#alive) await this.request({ type: 'yield-call', ufrag, owner }).catch(() => undefined);
  }

  async #fetchSession(name: string): Promise<void> {
    const json = await this.#tickets.find(name);
    if (this.#alive) await this.request({ type: 'session-fetched', name, json }).catch(() => undefined);
  }

  #fail(): void {
    this.#alive = false;
    for (const pending of this.#pending.values()) pending.reject(shardGone());
    this.#pending.clear();
    this.#callIds.clear();
    this.#observers.end('worker-stopped');
    this.#wakeIdleWaiters();
  }

  #wakeIdleWaiters(): void {
    if (this.calls > 0) return;
    for (const wake of this.#idleWaiters.splice(0)) wake();
  }

  #advertised(): TransportAddress {
    const advertised = this.#options.advertiseTrunk;
    return advertised === null ? this.#trunk : { ...advertised, port: advertised.port || this.#trunk.port };
  }
}

function toCallError(error: ShardError): CallError {
  return new CallError(error.status, error.code, error.message, {
    ...(error.param === null ? {} : { param: error.param }),
    ...(error.retryAfter === null ? {} : { retryAfter: error.retryAfter }),
  });
}

function isCallAnswer(result: Reply): result is CallAnswer {
  return typeof result === 'object' && result !== null && 'answer' in result;
}

function shardGone(): CallError {
  return new CallError(503, 'shard_gone', 'The worker thread of this call has stopped; place the call again.', { retryAfter: 1 });
}
