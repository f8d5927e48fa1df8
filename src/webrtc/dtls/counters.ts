/** Why something received was dropped; each is counted. The order is that of the way through the endpoint. */
export const dtlsDropReasons = [
  'after-close',
  'malformed-record',
  'unsupported-record-version',
  'unknown-epoch',
  'early-buffer-full',
  'replayed',
  'too-old',
  'unauthentic',
  'oversized-record',
  'unknown-content-type',
  'unprotected-application-data',
  'unprotected-ack',
  'malformed-ack',
  'malformed-alert',
  'unauthenticated-alert',
  'plaintext-after-handshake',
  'client-hello-after-handshake',
  'renegotiation',
  'malformed-handshake',
  'wrong-epoch',
  'beyond-reassembly',
  'malformed-message',
  'unexpected-message',
] as const;

export type DtlsDropReason = (typeof dtlsDropReasons)[number];

export interface DtlsCounters {
  datagramsReceived: number;
  datagramsSent: number;
  recordsReceived: number;
  /** Times that what was unacknowledged of a flight was sent again, by the timer or because the peer lacked it. */
  flightsRetransmitted: number;
  /** Application data that could not be sent because the endpoint was not connected. */
  sendsRefused: number;
  readonly dropped: Record<DtlsDropReason, number>;
}

export function createDtlsCounters(): DtlsCounters {
  return {
    datagramsReceived: 0,
    datagramsSent: 0,
    recordsReceived: 0,
    flightsRetransmitted: 0,
    sendsRefused: 0,
    dropped: Object.fromEntries(dtlsDropReasons.map((reason) => [reason, 0])) as Record<DtlsDropReason, number>,
  };
}
