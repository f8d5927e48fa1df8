import type { SessionConfig } from '../conversation/session-schema.ts';
import type { TransportAddress } from '../wire/address.ts';

/** What the HTTP API needs of the machinery behind it; the transceiver and (later) the gateway implement it. */
export interface CallService {
  /** What a caller can ask for as the session's `model`: names of agents, the default first. */
  readonly agents: readonly string[];
  /**
   * Answers an SDP offer and brings the call up.
   * @throws {CallError} with status 400 for an offer that cannot be served, 503 when there is no room.
   */
  createCall(request: CallRequest): Promise<CallAnswer>;
  /**
   * Answers an SDP offer and reserves nothing: the call begins with the client's first packet, at any transceiver.
   * @param notAfter Unix seconds, by which the answer expires at the latest
   * @throws {CallError} 400 for an offer that cannot be served, or not in this way; 503 while draining.
   */
  answerAhead(request: CallRequest, notAfter?: number): Promise<AnswerAhead>;
  /** Ends a call, or finds it ended already. False for an id that this deployment never gave. */
  hangup(callId: string, reason: string): Promise<boolean>;
  /**
   * Takes a trickle-ice SDP fragment (RFC 8840). One with new ICE credentials restarts ICE (RFC 9725, section 4.3.3);
   * one without brings candidates of the client, which an ICE-lite server does not need: it is accepted.
   * `ifMatch` holds the entity tags that the client believes to be current, or `*` for any; comparing them and acting
   * is one step, so that of two concurrent restarts from the same state only one happens.
   * @throws {CallError} 404 for an unknown call, 412 when no tag matches, 400 for a malformed fragment.
   */
  restartIce(callId: string, fragment: string, ifMatch: '*' | readonly string[]): Promise<IceUpdate>;
  /**
   * Follows a call's events from outside, `session.created` first; any number may at a time.
   * @throws {CallError} 404 for an unknown call.
   */
  observe(callId: string, observer: CallObserver): Promise<CallObservation>;
}

/** Somebody besides the client who sees what the client is told. */
export interface CallObserver {
  /** One event, as JSON. */
  event(json: string): void;
  /** The call is over; nothing follows. */
  ended(reason: string): void;
}

export interface CallObservation {
  /** One event for the call, as if the client had sent it. What is wrong with it the observer alone is told. */
  send(json: string): void;
  /** Sees nothing more. The call goes on. Idempotent. */
  stop(): void;
}

export interface CallRequest {
  /** SDP offer as received. */
  readonly offer: string;
  readonly session: SessionConfig;
  /** Public relay addresses for the answer, best first, instead of the deployment's usual ones: a gateway's choice. */
  readonly ingress?: readonly TransportAddress[];
  /** Id of the data channel for events, when the client opens it as `negotiated` under this id (0 to 65,534). */
  readonly eventsChannelId?: number;
}

export interface CallAnswer {
  /** `rtc_…` */
  readonly id: string;
  /** SDP answer. */
  readonly answer: string;
  /** Opaque entity tag of the ICE session (RFC 9725, section 4.3.1), without quotes; changes with each ICE restart. */
  readonly etag: string;
  /** What the thread that holds the call has computed for the answer. */
  readonly busySeconds: number;
}

export interface AnswerAhead {
  /** SDP answer. */
  readonly answer: string;
  /** Unix seconds until which a call can begin with it. */
  readonly expiresAt: number;
}

export interface IceUpdate {
  /** After a restart: the SDP fragment with the new local credentials. Null when nothing was restarted. */
  readonly fragment: string | null;
  /** The entity tag from now on, as in {@link CallAnswer}. */
  readonly etag: string;
}

/** A request that cannot be served. The HTTP layer turns it into `{ error: { type, code, message, param } }`. */
export class CallError extends Error {
  readonly status: number;
  /** Stable, machine readable: `invalid_offer`, `unsupported_media`, `server_full`, `call_not_found` … */
  readonly code: string;
  /** What is at fault: a field's name, or `sdp line 12`. */
  readonly param: string | null;
  /** Seconds, for status 429 and 503. */
  readonly retryAfter: number | null;

  constructor(
    status: number,
    code: string,
    message: string,
    options: { param?: string; retryAfter?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'CallError';
    this.status = status;
    this.code = code;
    this.param = options.param ?? null;
    this.retryAfter = options.retryAfter ?? null;
  }
}
