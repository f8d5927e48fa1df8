import type { AgentSettings } from '../agents/load.ts';
import type { MetricReader } from '../observe/metrics.ts';
import type { LogLevel, Logger } from '../observe/log.ts';
import type { CallService } from '../signaling/call-service.ts';
import type { TransportAddress } from '../wire/address.ts';

/** What the commands start. They get it handed in, so that they can be tested without a packet being sent. */
export interface Roles {
  /** @throws with a sentence that says what to do, when a port is taken or an option is wrong. */
  startRelay(options: RelayOptions, logger: Logger): Promise<RelayRole>;
  /** @throws with a sentence that says what to do, when a port is taken or the agent does not load. */
  startTransceiver(options: TransceiverOptions, logger: Logger): Promise<TransceiverRole>;
  routingKeys(secrets: Secrets): Promise<RoutingKeys>;
}

/** The deployment's secret, and the one before it while it is being rotated. */
export interface Secrets {
  readonly secret: string;
  readonly previousSecret?: string;
}

export interface RelayOptions extends Secrets {
  /** Where clients send to. */
  readonly udp: TransportAddress;
  /** Worker i takes port + i; port 0 lets the system choose. */
  readonly trunk: TransportAddress;
  /** None for a relay that stands by itself, before the clusters of a file. */
  readonly cluster?: number;
  /** Trunks of its cluster's transceivers, `host:port`, whose names are followed; none: unbound tickets are dropped. */
  readonly transceivers?: readonly string[];
  /** Path of the clusters file, for a relay that forwards to all clusters. */
  readonly clusters?: string;
  /** Default: one for every two cores, or one with the dgram engine. */
  readonly workers?: number;
  readonly engine: Engine;
  /** IPv4 networks that trunk peers may be in; default: loopback and private ones. */
  readonly allowTargets?: readonly string[];
  /** Flows that one worker remembers. */
  readonly maxFlows: number;
  readonly idleTimeoutMs: number;
  /** Largest UDP payload on the trunk, bytes. */
  readonly trunkMtu: number;
  /** Longest that packets may gather for under load, microseconds; 0 for never. 200 unless given. */
  readonly gatherUs?: number;
  /** URL of the Redis that remembers flows. */
  readonly redis?: string;
  /** Unix socket at which relays make way for each other. */
  readonly handover?: string;
}

export const ENGINES = ['auto', 'mmsg', 'dgram'] as const;
export type Engine = (typeof ENGINES)[number];

/** A running relay. */
export interface RelayRole {
  /** As bound, with the port that the system chose when 0 was asked for. */
  readonly udp: TransportAddress;
  readonly metrics: MetricReader;
  /** Resolves when the relay has been closed; rejects when a worker has died. */
  readonly finished: Promise<void>;
  /** How it took over from a relay before it; null when there was none. */
  readonly takenOver: object | null;
  /** Resolves when a successor forwards in its place: close the relay then, last of all. */
  readonly handedOver: Promise<object>;
  /** Resolves when the relay before it has freed its ports. */
  predecessorLeft(): Promise<void>;
  /** Takes other addresses of transceivers; only for a relay that was started with a list, if an empty one. */
  updateTransceivers(addresses: readonly TransportAddress[]): void;
  /** Forwards on while clients still send to it, at most `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}

export interface TransceiverOptions extends Secrets {
  /** Worker i takes port + i; port 0 lets the system choose. */
  readonly trunk: TransportAddress;
  readonly advertiseTrunk?: TransportAddress;
  /** Public addresses of the relays, best first; at least one. */
  readonly ingress: readonly TransportAddress[];
  readonly cluster: number;
  /** Names of built-in agents or paths of modules; the first is the default. */
  readonly agents: readonly string[];
  readonly agentSettings: AgentSettings;
  /** The longest that a call may last. */
  readonly maxDurationMs: number;
  /** Default: one per core. */
  readonly workers?: number;
  /** Calls at once over all workers. Default: 1,000 per worker. */
  readonly maxCalls?: number;
  readonly trunkMtu: number;
  /** Send to a caller whose certificate has not been verified yet. */
  readonly earlyMedia: boolean;
  /** How long an answer ahead is good for. */
  readonly ticketLifetimeMs: number;
  /** URL of the Redis that transceivers share, or `memory` for one that stands alone. */
  readonly store?: string;
  readonly logLevel: LogLevel;
}

/** A running transceiver. */
export interface TransceiverRole extends CallService {
  /** Bound trunk addresses, one per worker. */
  readonly trunk: readonly TransportAddress[];
  /** False while draining. */
  readonly ready: boolean;
  /** Calls in progress. */
  readonly calls: number;
  /** Calls at once, at most. */
  readonly capacity: number;
  metrics(): ReturnType<MetricReader>;
  /** Takes no new calls and waits until the live ones have ended, at most `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Makes and reads routing tokens. */
export interface RoutingKeys {
  /** @throws {RangeError} for fields out of range. */
  encodeUfrag(fields: RoutingTokenFields): string;
  /** Null when it is no token of this deployment, and no ticket. */
  decodeUfragText(ufrag: string): RoutingTokenFields | TicketTokenFields | null;
}

/** The token of an unbound ticket: any transceiver of the cluster makes the call. */
export interface TicketTokenFields {
  readonly cluster: number;
  /** Unix seconds. */
  readonly issuedAt: number;
}

export interface RoutingTokenFields {
  readonly cluster: number;
  readonly locator: { readonly kind: 0; readonly address: TransportAddress } | { readonly kind: 1; readonly nodeId: Uint8Array };
  readonly nonce: number;
}
