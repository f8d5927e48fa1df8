import type { TransportAddress } from '../../wire/address.ts';
import type { DataChannel, OpenChannelOptions } from '../datachannel/data-channels.ts';
import type { DtlsEndpointOptions } from '../dtls/endpoint.ts';
import type { IceFailure } from '../ice/agent.ts';
import type { IceClientAgent } from '../ice/client-agent.ts';
import type { IceLiteAgent } from '../ice/lite-agent.ts';
import type { RandomSource, Timeout } from '../machine.ts';
import type { RtpSessionOptions, RtpSessionStats } from '../rtp/rtp-session.ts';
import type { SctpAgreement } from '../sctp/association-types.ts';
import type { SrtpCiphers } from '../srtp/ciphers.ts';

export interface SessionOptions {
  readonly ice: IceLiteAgent | IceClientAgent;
  readonly dtls: Omit<DtlsEndpointOptions, 'now' | 'mtu'>;
  /** Carry the DTLS handshake in checks and their answers, when the peer does (SPED). */
  readonly dtlsInStun: boolean;
  /** Null when the session has no audio section. */
  readonly audio: SessionAudioOptions | null;
  /** Null when the session has no data section. */
  readonly data: SessionDataOptions | null;
  readonly ciphers: SrtpCiphers;
  readonly random: RandomSource;
  readonly now: number;
}

export interface SessionAudioOptions extends RtpSessionOptions {
  /** Of Opus, in both directions. */
  readonly payloadType: number;
}

export interface SessionDataOptions {
  readonly localPort: number;
  readonly remotePort: number;
  /** Bytes; 0 = no limit. */
  readonly maxMessageSize: number;
  /** Set when offer and answer carried both sides' SCTP INIT (SNAP). */
  readonly agreed?: SctpAgreement;
  /** Channels with an id agreed beforehand: there before any data comes. */
  readonly channels: readonly OpenChannelOptions[];
}

export type SessionOutput =
  | { readonly type: 'transmit'; readonly data: Uint8Array; readonly to: TransportAddress }
  /** ICE has found a pair to send on. Comes once. */
  | { readonly type: 'ice-connected' }
  /** Media and messages may be sent. Comes once, with `dtls.earlySending` before the peer has proven who it is. */
  | { readonly type: 'ready-to-send' }
  /** DTLS is up: the peer is who it was said to be. Comes once. `dtlsInStun`: a part of its handshake came in STUN. */
  | { readonly type: 'connected'; readonly dtlsVersion: string; readonly srtpProfile: string | null; readonly dtlsInStun: boolean }
  /** One decrypted Opus payload. `sequence` and `timestamp` (1/48,000 s) are extended beyond 16 and 32 bits. */
  | { readonly type: 'audio'; readonly payload: Uint8Array; readonly sequence: number; readonly timestamp: number; readonly marker: boolean }
  | { readonly type: 'channel'; readonly channel: DataChannel }
  | { readonly type: 'message'; readonly channelId: number; readonly data: string | Uint8Array }
  | { readonly type: 'channel-closed'; readonly channelId: number }
  /** The session is over; only the transmits that say so to the peer follow. Comes once. */
  | { readonly type: 'closed'; readonly reason: SessionCloseReason }
  | Timeout;

export interface SessionStats extends RtpSessionStats {
  /** Packets with older frames in them, and frames that were missing and came that way (RFC 2198). */
  readonly packetsRedundant: number;
  readonly framesRecovered: number;
}

export type SessionCloseReason =
  | 'closed-locally'
  | 'closed-by-peer'
  | 'ice-connect-timeout'
  | 'ice-consent-expired'
  /** The server knows the call and does not take it: its ticket has expired, or is used. */
  | 'ice-refused'
  | 'dtls-failed'
  /** There is audio, but no SRTP profile that both sides speak. */
  | 'no-srtp-profile';

/** The end of ICE is the end of the session. */
export const ICE_FAILURES: Readonly<Record<IceFailure, SessionCloseReason>> = {
  'connect-timeout': 'ice-connect-timeout',
  'consent-expired': 'ice-consent-expired',
  'role-conflict': 'ice-connect-timeout',
  refused: 'ice-refused',
};

/** Why a datagram was dropped by the session itself; the machines below count their own reasons. */
export const SESSION_DROP_REASONS = ['empty', 'unknown-kind', 'unvalidated-source', 'no-keys', 'early-media-full', 'no-audio', 'payload-type'] as const;
export type SessionDropReason = (typeof SESSION_DROP_REASONS)[number];
