import type { TransportAddress } from '../../wire/address.ts';
import { DataChannels, type ChannelOptions, type DataChannelInfo } from '../datachannel/data-channels.ts';
import { DtlsEndpoint, type DtlsEndpointOptions } from '../dtls/endpoint.ts';
import type { IceClientAgent } from '../ice/client-agent.ts';
import type { IceCredentials } from '../ice/credentials.ts';
import type { IceLiteAgent } from '../ice/lite-agent.ts';
import type { RandomSource, Timeout } from '../machine.ts';
import { RtpSession, type RtpSessionOptions, type RtpStats } from '../rtp/rtp-session.ts';
import type { SrtpKeyingMaterial } from '../srtp-profile.ts';
import { SrtpContext } from '../srtp/srtp-context.ts';

/**
 * One WebRTC session: ICE, DTLS, SRTP, RTP and data channels over one 5-tuple (RFC 8843 BUNDLE), sans-IO.
 *
 *            handleDatagram                                     poll
 *   bytes ──► first byte (RFC 7983) ┬─ STUN ──► ice  ─────────► transmit, state
 *                                   ├─ DTLS ──► dtls ─► sctp ──► transmit, channel, message
 *                                   └─ SRTP ──► srtp ─► rtp  ──► audio
 *
 * Datagrams other than STUN are read only from addresses that ICE has validated.
 */
export interface SessionOptions {
  readonly ice: IceLiteAgent | IceClientAgent;
  readonly dtls: Omit<DtlsEndpointOptions, 'now'>;
  /** Null when the session has no audio section. */
  readonly audio: RtpSessionOptions | null;
  /** Null when the session has no data section. */
  readonly data: SessionDataOptions | null;
  readonly random: RandomSource;
  readonly now: number;
}

export interface SessionDataOptions {
  readonly localPort: number;
  readonly remotePort: number;
  /** Bytes; 0 = no limit. */
  readonly maxMessageSize: number;
}

export type SessionOutput =
  | { readonly type: 'transmit'; readonly data: Uint8Array; readonly to: TransportAddress }
  /** ICE has found a pair to send on. Comes once. */
  | { readonly type: 'ice-connected' }
  /** DTLS is up: keys are in place, media may be sent. Comes once. */
  | { readonly type: 'connected'; readonly dtlsVersion: string; readonly srtpProfile: string | null }
  /** One decrypted RTP payload. `sequence` is extended beyond 16 bits and rises by one per packet sent. */
  | { readonly type: 'audio'; readonly payload: Uint8Array; readonly sequence: number; readonly timestamp: number; readonly marker: boolean }
  | { readonly type: 'channel'; readonly channel: DataChannelInfo }
  | { readonly type: 'message'; readonly channelId: number; readonly data: string | Uint8Array }
  | { readonly type: 'channel-closed'; readonly channelId: number }
  /** The session is over; only the transmits that say so to the peer follow. Comes once. */
  | { readonly type: 'closed'; readonly reason: SessionCloseReason }
  | Timeout;

export type SessionCloseReason =
  | 'closed-locally'
  | 'closed-by-peer'
  | 'ice-connect-timeout'
  | 'ice-consent-expired'
  | 'dtls-failed';

/** Why a datagram was dropped by the session itself; the machines below count their own reasons. */
export const SESSION_DROP_REASONS = ['empty', 'unknown-kind', 'unvalidated-source', 'no-keys', 'no-audio', 'payload-type'] as const;
export type SessionDropReason = (typeof SESSION_DROP_REASONS)[number];
