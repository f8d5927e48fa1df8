import type { MetricReading } from '../observe/metrics.ts';
import type { UdpSocketCounters } from '../net/udp-socket.ts';

/** Why a shard dropped what came over the trunk, before any session saw it; also the metric's label. */
export const SHARD_DROP_REASONS = {
  'trunk-malformed': 'no trunk datagram, or one whose entries do not add up',
  'trunk-version': 'a trunk version other than 1',
  'trunk-cookie': 'the sender does not know the secret of this deployment',
  'wrong-direction': 'meant for a relay',
  'unknown-client': 'no STUN, and from an address that belongs to no call',
  'unknown-call': 'STUN for a call that is not, or no longer, here',
} as const;
export type ShardDropReason = keyof typeof SHARD_DROP_REASONS;

/** What became of checks with a ticket whose call was not there; also the metric's label. */
export type TicketOutcome = 'accepted' | 'invalid' | 'refused' | 'elsewhere' | 'waiting';

/** What one shard counts. */
export class ShardCounters {
  callsStarted = 0;
  offersRefused = 0;
  readonly callsEnded = new Map<string, number>();
  /** By DTLS version, and whether it came in STUN. */
  readonly #handshakes = new Map<string, { readonly labels: { readonly dtls: string; readonly sped: string }; count: number }>();
  readonly drops: Record<ShardDropReason, number> = {
    'trunk-malformed': 0,
    'trunk-version': 0,
    'trunk-cookie': 0,
    'wrong-direction': 0,
    'unknown-client': 0,
    'unknown-call': 0,
  };
  readonly tickets: Record<TicketOutcome, number> = { accepted: 0, invalid: 0, refused: 0, elsewhere: 0, waiting: 0 };

  callEnded(reason: string): void {
    this.callsEnded.set(reason, (this.callsEnded.get(reason) ?? 0) + 1);
  }

  connected(dtls: string, dtlsInStun: boolean): void {
    const sped = dtlsInStun ? 'yes' : 'no';
    const entry = this.#handshakes.get(dtls + sped) ?? { labels: { dtls, sped }, count: 0 };
    entry.count++;
    this.#handshakes.set(dtls + sped, entry);
  }

  readings(shard: number, live: { calls: number; socket: UdpSocketCounters }): MetricReading[] {
    const { socket } = live;
    const one = (name: string, help: string, value: number, labels: Readonly<Record<string, string>> = {}): MetricReading => ({
      name: `earshot_${name}`,
      help,
      labels,
      value,
    });
    const trunk = 'Datagrams between this transceiver and relays.';
    const bytes = 'Bytes of UDP payload between this transceiver and relays.';
    return [
      one('calls', 'Calls in progress, by shard (worker thread).', live.calls, { shard: String(shard) }),
      one('calls_started_total', 'Calls accepted.', this.callsStarted),
      one('offers_refused_total', 'Offers that could not be served.', this.offersRefused),
      ...Array.from(this.callsEnded, ([reason, count]) => one('calls_ended_total', 'Calls ended, by reason.', count, { reason })),
      ...Array.from(this.#handshakes.values(), ({ labels, count }) =>
        one('handshakes_total', 'DTLS handshakes completed, by version, and whether they came inside of STUN (SPED).', count, labels),
      ),
      ...Object.entries(this.drops).map(([reason, count]) =>
        one('transceiver_dropped_total', 'Datagrams from relays that belong to no call, by reason.', count, { reason }),
      ),
      ...Object.entries(this.tickets).map(([outcome, count]) =>
        one('tickets_presented_total', 'Checks with a ticket whose call was not there yet, by what became of them.', count, { outcome }),
      ),
      one('transceiver_trunk_datagrams_total', trunk, socket.received, { direction: 'in' }),
      one('transceiver_trunk_datagrams_total', trunk, socket.sent, { direction: 'out' }),
      one('transceiver_trunk_bytes_total', bytes, socket.receivedBytes, { direction: 'in' }),
      one('transceiver_trunk_bytes_total', bytes, socket.sentBytes, { direction: 'out' }),
      one('transceiver_send_errors_total', 'Datagrams to relays that the kernel refused.', socket.sendErrors),
    ];
  }
}
