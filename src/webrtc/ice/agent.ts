import type { TransportAddress } from '../../wire/address.ts';
import type { Timeout } from '../machine.ts';

/** What `poll()` of an ICE agent gives, the first that applies: datagrams to send, then what they changed, then the time. */
export type IceOutput =
  | { readonly type: 'transmit'; readonly data: Uint8Array; readonly to: TransportAddress }
  /** The remote address that everything else is to be sent to has changed. */
  | { readonly type: 'selected'; readonly address: TransportAddress }
  | { readonly type: 'state'; readonly state: 'checking' | 'connected' }
  /** Fatal: the agent has ended and ignores whatever comes. */
  | { readonly type: 'state'; readonly state: 'failed'; readonly reason: IceFailure }
  | Timeout;

/** `checking` until the peer's current credentials have been proven, at the start and after each restart. */
export type IceState = 'checking' | 'connected' | 'failed';

/** The last two only a client agent gives up over: the other side insists on controlling, or has turned the session down. */
export type IceFailure = 'connect-timeout' | 'consent-expired' | 'role-conflict' | 'refused';

/** Milliseconds of silence after which consent to send has expired (RFC 7675, section 5.1). */
export const CONSENT_TIMEOUT = 30_000;
/** Milliseconds that a peer has for its first valid check. */
export const CONNECT_TIMEOUT = 30_000;
