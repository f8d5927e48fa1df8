import type { SessionConfig } from '../conversation/session-config.ts';

/** What the HTTP API needs of the machinery behind it; the transceiver and (later) the gateway implement it. */
export interface CallService {
  /**
   * Answers an SDP offer and brings the call up.
   * @throws {CallError} with status 400 for an offer that cannot be served, 503 when there is no room.
   */
  createCall(request: CallRequest): Promise<CallAnswer>;
  /** Ends a call. False when there is no such call. */
  hangup(callId: string, reason: string): Promise<boolean>;
  /**
   * ICE restart: takes a trickle-ice SDP fragment (RFC 8840) and returns the fragment with the new local credentials.
   * A fragment without new credentials (plain trickled candidates) is accepted and gives null.
   * @throws {CallError} 404 for an unknown call, 400 for a malformed fragment.
   */
  restartIce(callId: string, fragment: string): Promise<string | null>;
}

export interface CallRequest {
  /** SDP offer as received. */
  readonly offer: string;
  readonly session: SessionConfig;
}

export interface CallAnswer {
  /** `rtc_…` */
  readonly id: string;
  /** SDP answer. */
  readonly answer: string;
  /** Entity tag of the ICE session (RFC 9725, section 4.3.1), changes with each ICE restart. */
  readonly etag: string;
}

/** A request that cannot be served. The HTTP layer turns it into `{ error: { type, code, message, param } }`. */
export class CallError extends Error {
  readonly status: number;
  /** Stable, machine readable: `invalid_offer`, `unsupported_media`, `server_full`, `call_not_found` … */
  readonly code: string;
  /** What is at fault: a field's name, or `sdp line 12`. */
  readonly param: string | null;
  /** Seconds, for status 503. */
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
