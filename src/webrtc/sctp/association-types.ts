import type { RandomSource, Timeout } from '../machine.ts';
import type { DataFault, DataPathDump } from './data-path.ts';
import type { InitParameters } from './init.ts';
import type { PacketFault } from './packet.ts';

export interface SctpOptions {
  readonly localPort: number;
  readonly remotePort: number;
  /** Largest message the peer takes (its `a=max-message-size`), bytes; 0 = no limit. */
  readonly maxMessageSize: number;
  readonly random: RandomSource;
  readonly now: number;
  /** Set when both sides' INIT chunks have travelled with offer and answer (SNAP): the association is born established. */
  readonly agreed?: SctpAgreement;
  /** What something else has measured of the path, ms; null or left out when nothing has. */
  readonly roundTripTime?: number | null;
  /** Largest SCTP packet, bytes; default 1160, which fits a DTLS record in a 1200-byte datagram. */
  readonly mtu?: number;
  /** Memory for data that cannot be delivered yet, bytes; default 1 MiB. */
  readonly receiveWindow?: number;
  /** Largest message taken from the peer, bytes; default 256 KiB. A larger one ends the association. */
  readonly maxReceiveMessageSize?: number;
  /** `buffered-low` is reported when what is buffered on a stream falls to this many bytes; default 0. */
  readonly bufferedLowThreshold?: number;
}

/** The INIT chunks that two sides have exchanged by other means than SCTP itself. */
export interface SctpAgreement {
  readonly local: InitParameters;
  readonly peer: InitParameters;
}

export interface SctpSendOptions {
  readonly ordered: boolean;
  /** Give the message up after this many retransmissions. */
  readonly maxRetransmits?: number;
  /** Give the message up after this long, ms. Not together with `maxRetransmits`. */
  readonly maxLifetime?: number;
}

export type SctpState =
  | 'closed'
  | 'cookie-wait'
  | 'cookie-echoed'
  | 'established'
  | 'shutdown-pending'
  | 'shutdown-sent'
  | 'shutdown-received'
  | 'shutdown-ack-sent';

/** Why an association ended. */
export type SctpCloseReason =
  | 'local-shutdown'
  | 'peer-shutdown'
  | 'local-abort'
  | 'peer-abort'
  | 'setup-timeout'
  | 'peer-unreachable'
  | 'protocol-violation';

/** Why a packet or chunk was dropped. */
export type SctpDropReason =
  | PacketFault
  | DataFault
  | 'wrong-port'
  | 'wrong-tag'
  | 'unexpected-chunk'
  | 'invalid-cookie'
  | 'stale-cookie'
  | 'out-of-the-blue';

export type SctpOutput =
  | { readonly type: 'transmit'; readonly data: Uint8Array }
  | { readonly type: 'established' }
  /** The peer began anew under a new tag: all streams are as on the first day, and what was queued is lost. */
  | { readonly type: 'restarted' }
  | { readonly type: 'message'; readonly streamId: number; readonly ppid: number; readonly data: Uint8Array }
  /** `outgoing`: the answer to `resetStream`; not performed when the peer refused. `incoming`: the peer's doing. */
  | {
      readonly type: 'stream-reset';
      readonly streamId: number;
      readonly direction: 'outgoing' | 'incoming';
      readonly performed: boolean;
    }
  | { readonly type: 'buffered-low'; readonly streamId: number }
  | { readonly type: 'closed'; readonly reason: SctpCloseReason }
  | Timeout;

export interface SctpCounters {
  packetsSent: number;
  packetsReceived: number;
  messagesSent: number;
  messagesReceived: number;
  dropped: Partial<Record<SctpDropReason, number>>;
}

export interface SctpDump {
  readonly state: SctpState;
  readonly closeReason: SctpCloseReason | null;
  readonly counters: SctpCounters;
  /** User data that waits for its first transmission, bytes. */
  readonly bufferedBytes: number;
  /** Messages that expired before their first transmission. */
  readonly expiredMessages: number;
  readonly rto: number;
  /** Smoothed round-trip time, ms; null before the first measurement. */
  readonly roundTrip: number | null;
  /** Null unless the peer is known. */
  readonly path: DataPathDump | null;
}
