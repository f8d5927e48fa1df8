import type { AgentSettings } from '../agents/index.ts';
import type { LogLevel } from '../observe/log.ts';
import type { MetricReading } from '../observe/metrics.ts';
import type { CallAnswer, CallRequest, IceUpdate } from '../signaling/call-service.ts';
import type { TransportAddress } from '../wire/address.ts';

/** What the main thread and its shards (worker threads) say to each other. Plain data: it crosses by structured clone. */

export interface ShardOptions {
  /** Index of the shard; its trunk port is the base port plus this. */
  readonly index: number;
  /** Shards at ports in a row, for relays that know the first one. */
  readonly workers: number;
  /** Calls at once, as far as this shard decides: those that begin with a ticket. */
  readonly maxCalls: number;
  readonly cluster: number;
  /** Where the shard receives from relays. Port 0 lets the system choose. */
  readonly trunk: TransportAddress;
  /** The address that relays shall send to, when it is not `trunk` (NAT, containers). Null: as bound. */
  readonly advertiseTrunk: TransportAddress | null;
  /** Public addresses of the relays, written into answers as candidates, best first. */
  readonly ingress: readonly TransportAddress[];
  readonly secret: string;
  readonly previousSecret: string | null;
  /** Names of built-in agents, or paths of modules; the first is the default. */
  readonly agents: readonly string[];
  readonly agentSettings: AgentSettings;
  /** The longest that a call may last. */
  readonly maxDurationMs: number;
  readonly trunkMtu: number;
  /** See `AnswererOptions.earlySending`. */
  readonly earlyMedia: boolean;
  readonly logLevel: LogLevel;
}

/** Requests of the main thread, each answered by one reply with the same id. */
export type ShardRequest =
  | ({ readonly type: 'create-call' } & CallRequest)
  | { readonly type: 'hangup'; readonly callId: string; readonly reason: string }
  | { readonly type: 'restart-ice'; readonly callId: string; readonly fragment: string; readonly ifMatch: '*' | readonly string[] }
  | { readonly type: 'observe'; readonly callId: string; readonly observerId: number }
  | { readonly type: 'stats' }
  | { readonly type: 'dump'; readonly callId: string }
  | { readonly type: 'announce-stop'; readonly withinMs: number }
  | { readonly type: 'session-fetched'; readonly name: string; readonly json: string | null }
  | { readonly type: 'yield-call'; readonly ufrag: string; readonly owner: string }
  | { readonly type: 'close'; readonly reason: string };

/** What each request is answered with. */
export interface ShardResults {
  'create-call': CallAnswer;
  hangup: null;
  'restart-ice': IceUpdate;
  observe: null;
  stats: MetricReading[];
  dump: unknown;
  'announce-stop': null;
  'session-fetched': null;
  'yield-call': null;
  close: null;
}

export interface ShardRequestMessage {
  readonly id: number;
  readonly request: ShardRequest;
}

/** What observers do; it has no reply. An observer that is not there any more is not missed. */
export type ObserverAct =
  | { readonly type: 'observer-sends'; readonly observerId: number; readonly json: string }
  | { readonly type: 'observer-stops'; readonly observerId: number };

/** What a shard says unasked, or in reply. */
export type ShardMessage =
  | { readonly type: 'ready'; readonly trunk: TransportAddress; readonly agents: readonly string[] }
  | { readonly type: 'failed'; readonly message: string; readonly code: string | null }
  | { readonly type: 'ticket-used'; readonly callId: string; readonly ufrag: string; readonly expiresAt: number }
  | { readonly type: 'call-ended'; readonly callId: string }
  | { readonly type: 'fetch-session'; readonly name: string }
  | { readonly type: 'observed'; readonly observerId: number; readonly json: string }
  | { readonly type: 'observed-end'; readonly observerId: number; readonly reason: string }
  | { readonly type: 'reply'; readonly id: number; readonly result: ShardResults[keyof ShardResults] }
  | { readonly type: 'error'; readonly id: number; readonly error: ShardError };

/** A CallError in transit. */
export interface ShardError {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly param: string | null;
  readonly retryAfter: number | null;
}
