/**
 * Serial number arithmetic (RFC 1982; RFC 9260, section 1.6): TSNs and request numbers count modulo 2^32, stream
 * sequence numbers modulo 2^16. Numbers are compared by the shorter way around the circle.
 */

/** How far `to` lies ahead of `from` (negative: behind), modulo 2^32. */
export function tsnDistance(from: number, to: number): number {
  return (to - from) | 0;
}

/** `tsn` moved by `steps`, modulo 2^32. */
export function tsnAdd(tsn: number, steps: number): number {
  return (tsn + steps) >>> 0;
}

/** How far `to` lies ahead of `from` (negative: behind), modulo 2^16. */
export function ssnDistance(from: number, to: number): number {
  return ((to - from) << 16) >> 16;
}

/** The stream sequence number after `ssn`. */
export function ssnNext(ssn: number): number {
  return (ssn + 1) & 0xffff;
}
