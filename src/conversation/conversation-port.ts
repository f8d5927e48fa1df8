/** What a {@link Conversation} needs of its call, and what it shows of itself. */
import type { Agent } from '../agents/agent.ts';
import type { NewDialect } from './dialect.ts';
import type { SessionConfig } from './session-schema.ts';
import type { UplinkCounters } from './uplink.ts';

/** What a conversation does to its call. Functions may be called at any time until the conversation is closed. */
export interface ConversationPort {
  /** The present in ms, in the clock of every `now`: agents act of their own accord, and then nobody says what time it is. */
  readonly now: number;
  /**
   * One Opus frame leaves now. Times are samples at 48 kHz: the RTP timestamp is a constant of the call plus
   * `mediaTime`, pauses included. `marker`: first frame after a pause. The bytes are valid until this returns.
   */
  sendAudio(opus: Uint8Array, mediaTime: number, duration: number, marker: boolean): void;
  /**
   * What share of the packets sent the caller last said was lost, 0 to 1, for Opus' forward error correction to mend:
   * null while nothing is known, where redundancy mends more for less, and where the caller wants none.
   */
  readonly unmendedLoss: number | null;
  /** One message for the data channel, which is open. False when it is larger than the client takes. */
  sendEvent(json: string): boolean;
  /** `tick` is wanted from now on, see `Conversation.wantsTick`. May be said again while it still is. */
  wake(): void;
  /** The call should end. `close` may be called from within, or later. */
  hangup(reason: string): void;
}

export interface ConversationOptions {
  readonly callId: string;
  readonly agent: Agent;
  readonly session: SessionConfig;
  /** What the client speaks. */
  readonly dialect: NewDialect;
  readonly port: ConversationPort;
  readonly now: number;
  /** The operator's: silent unless given. */
  readonly log?: ConversationLog;
}

export interface ConversationLog {
  /** Something that an agent has to say of its call. */
  info(message: string, fields?: object): void;
  /** An agent has failed. */
  error(message: string, error: unknown): void;
}

export interface ConversationDump {
  readonly agent: string;
  readonly state: ConversationState;
  readonly sessionId: string;
  readonly speaking: boolean;
  readonly responseId: string | null;
  readonly positionMs: number;
  readonly sentMs: number;
  readonly items: number;
  readonly counters: ConversationCounters;
}

export interface ConversationCounters {
  packetsReceived: number;
  framesSent: number;
  eventsReceived: number;
  eventsRejected: number;
  eventsSent: number;
  /** Events that could not be kept until the data channel opened, or are larger than the client takes. */
  eventsDropped: number;
  turns: number;
  responses: number;
  interruptions: number;
  agentFaults: number;
  /** How often an answer ran dry because the agent was slower than real time. */
  underruns: number;
  uplink: UplinkCounters | null;
}

export type ConversationState = 'new' | 'open' | 'failed' | 'closed';
