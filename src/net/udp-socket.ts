import type { TransportAddress } from '../wire/address.ts';

/**
 * One bound UDP socket on the event loop. Implementations batch system calls where the platform allows it; callers
 * see datagrams one by one and say when a batch of sends is complete.
 */
export interface UdpSocket {
  /** The bound address, with the port that the system chose when 0 was asked for. */
  readonly address: TransportAddress;
  readonly counters: UdpSocketCounters;
  /** Queues a copy of `data` for `to`. Nothing leaves before `flush()` or a full batch. */
  send(data: Uint8Array, to: TransportAddress): void;
  /** Sends what is queued. A full socket buffer drops datagrams and counts them; it never waits or throws. */
  flush(): void;
  /** Idempotent. No handler runs after the returned promise has resolved. */
  close(): Promise<void>;
}

export interface UdpSocketHandler {
  /**
   * One received datagram. `data` is a view of receive memory, valid until this returns.
   * `from` is interned: the same sender gives the same object for as long as it is remembered.
   */
  datagram(data: Uint8Array, from: TransportAddress): void;
  /** All datagrams that were waiting have been handed over: the moment to `flush()`. */
  batchEnd(): void;
}

/** The largest datagram that is received or sent. WebRTC keeps within an Ethernet frame. */
export const MAX_DATAGRAM_BYTES = 2048;

export interface UdpSocketCounters {
  received: number;
  receivedBytes: number;
  sent: number;
  sentBytes: number;
  /** Datagrams of more than {@link MAX_DATAGRAM_BYTES}: dropped on receipt. */
  oversize: number;
  /** Datagrams the kernel refused (full buffer, unreachable network …), or of the wrong size or address family. */
  sendErrors: number;
  /** System calls, to know the batch size: received / receiveCalls. */
  receiveCalls: number;
  sendCalls: number;
}

export function createUdpSocketCounters(): UdpSocketCounters {
  return { received: 0, receivedBytes: 0, sent: 0, sentBytes: 0, oversize: 0, sendErrors: 0, receiveCalls: 0, sendCalls: 0 };
}
