/**
 * What relays ask each other over the trunk, in entries of no client (control, port 0, direction towards transceivers
 * for the question, towards clients for the echo):
 *
 *   0     1 = probe, 2 = echo
 *   1     zero
 *   2–3   cluster id: in an echo that of the relay that answers
 *   4–7   number, returned as it came
 */
export const PATH_PROBE_BYTES = 8;

export type PathProbeKind = 'probe' | 'echo' | null;

export function writePathProbe(into: Uint8Array, isEcho: boolean, cluster: number, number: number): void {
  into[0] = isEcho ? 2 : 1;
  into[1] = 0;
  into[2] = cluster >> 8;
  into[3] = cluster;
  into[4] = number >>> 24;
  into[5] = number >>> 16;
  into[6] = number >>> 8;
  into[7] = number;
}

/** Null for anything that this version does not know. */
export function pathProbeKind(data: Uint8Array, offset: number, length: number): PathProbeKind {
  if (length < PATH_PROBE_BYTES) return null;
  return data[offset] === 1 ? 'probe' : data[offset] === 2 ? 'echo' : null;
}

export function pathProbeCluster(data: Uint8Array, offset: number): number {
  return (data[offset + 2] << 8) | data[offset + 3];
}

export function pathProbeNumber(data: Uint8Array, offset: number): number {
  return ((data[offset + 4] << 24) | (data[offset + 5] << 16) | (data[offset + 6] << 8) | data[offset + 7]) >>> 0;
}
