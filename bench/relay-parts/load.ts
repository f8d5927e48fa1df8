/** What a load generator is asked to do, and what it found. */
export interface LoadTask {
  readonly relay: string;
  readonly relayPid: number;
  /** What clients show to be let through; null where there is nobody to show it to. */
  readonly ufrag: string | null;
  readonly clients: number;
  /** Packets a second, over all clients; each comes back once. */
  readonly rate: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly sent: number;
  readonly received: number;
  /** Packets a second that were really sent. */
  readonly rate: number;
  /** CPU seconds of the relay's process tree meanwhile. */
  readonly relayCpu: number;
  /** Round trips, microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** Bytes of a packet: an RTP header, 20 ms of Opus at 32 kbit/s and SRTP's tag come to about this. */
export const PACKET_BYTES = 160;
