/**
 * Why a packet was refused. The literal is the metric's label.
 *
 *   malformed         not an RTP or RTCP packet of version 2, or shorter than its header and tag
 *   auth-failed       forged, damaged, or under another key
 *   replayed          this index has been received before
 *   too-old           so far behind that nobody can tell whether it is a replay
 *   key-expired       the key has protected as many packets as it may (RFC 3711, section 9.2): a new handshake is due
 *   no-room           sending: the buffer does not have room for the tag
 *   index-reused      sending: this sequence number or an older one; two texts under one index would reveal both
 *   too-many-streams  sending: more SSRCs than one session has use for
 *   closed            the context has been closed
 */
export type SrtpFault = (typeof FAULTS)[number];

const FAULTS = [
  'malformed',
  'auth-failed',
  'replayed',
  'too-old',
  'key-expired',
  'no-room',
  'index-reused',
  'too-many-streams',
  'closed',
] as const;

export interface SrtpCounters {
  rtp: number;
  rtcp: number;
  readonly faults: Record<SrtpFault, number>;
}

/** The reason behind a negative return value of a sender or receiver. */
export function srtpFault(code: number): SrtpFault {
  const fault = FAULTS[-1 - code];
  if (fault === undefined) throw new RangeError(`${code} is a length, not a fault`);
  return fault;
}

export function createCounters(): SrtpCounters {
  return {
    rtp: 0,
    rtcp: 0,
    faults: {
      malformed: 0,
      'auth-failed': 0,
      replayed: 0,
      'too-old': 0,
      'key-expired': 0,
      'no-room': 0,
      'index-reused': 0,
      'too-many-streams': 0,
      closed: 0,
    },
  };
}

/** Counts the fault. Returns the code that stands for it. */
export function refuse(counters: SrtpCounters, fault: SrtpFault): number {
  counters.faults[fault]++;
  return -1 - FAULTS.indexOf(fault);
}
