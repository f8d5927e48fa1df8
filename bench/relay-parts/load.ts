/** What a load generator is asked to do, and what it found. */
export interface LoadTask {
  readonly relay: string;
  /** Whose CPU time to tell; null for nobody's. */
  readonly relayPid: number | null;
  /** First byte of the clients' addresses; 127 unless given. */
  readonly network?: number;
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
  /** CPU seconds of the relay's process meanwhile, NaN for nobody's; and of the whole machine. */
  readonly relayCpu: number;
  readonly machineCpu: number;
  /** Round trips, microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** Bytes of a packet: an RTP header, 20 ms of Opus at 32 kbit/s and SRTP's tag come to about this. */
export const PACKET_BYTES = 160;

export function lossPercent({ sent, received }: LoadResult): number {
  return (100 * (sent - received)) / sent;
}

/** CPU µs per packet that the relay forwarded: two for each that came back. */
export function cpuMicros({ relayCpu, received }: LoadResult): number {
  return (relayCpu * 1e6) / (2 * received);
}
