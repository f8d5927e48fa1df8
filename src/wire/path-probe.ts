import { readUint16, readUint32, writeUint16, writeUint32 } from './integers.ts';

/**
 * What relays ask each other, and the transceivers of their cluster, over the trunk; in entries of no client (control,
 * port 0, direction towards transceivers for the question, towards clients for the answers):
 *
 *   0      1 = probe, 2 = echo of a relay, 3 = report of a transceiver worker
 *   1      zero; in a report flags. Bit 0: takes new calls
 *   2–3    cluster id: in an answer that of who answers
 *   4–7    number, returned as it came
 *   in a report besides:
 *   8–9    worker threads of the process: worker i has the trunk port of the first + i
 *   10–13  since when this worker is ready, Unix seconds
 */
export const PATH_PROBE_BYTES = 8;
export const WORKER_REPORT_BYTES = 14;

const PROBE = 1;
const ECHO = 2;
const REPORT = 3;
const FLAG_ACCEPTING = 1;

export type PathProbeKind = 'probe' | 'echo' | 'report' | null;

/** How a transceiver worker answers a probe. */
export interface WorkerReport {
  /** False while it drains or is full. */
  readonly accepting: boolean;
  readonly cluster: number;
  /** Worker threads of its process, 1 to 65535. */
  readonly workers: number;
  /** Unix seconds. */
  readonly readySince: number;
}

export function writePathProbe(into: Uint8Array, isEcho: boolean, cluster: number, number: number): void {
  writeHead(into, isEcho ? ECHO : PROBE, 0, cluster, number);
}

/** Writes the {@link WORKER_REPORT_BYTES} bytes that answer the probe `number`. */
export function writeWorkerReport(into: Uint8Array, report: WorkerReport, number: number): void {
  writeHead(into, REPORT, report.accepting ? FLAG_ACCEPTING : 0, report.cluster, number);
  writeUint16(into, 8, report.workers);
  writeUint32(into, 10, report.readySince);
}

/** Null for anything that this version does not know. */
export function pathProbeKind(data: Uint8Array, offset: number, length: number): PathProbeKind {
  if (length < PATH_PROBE_BYTES) return null;
  if (data[offset] === PROBE) return 'probe';
  if (data[offset] === ECHO) return 'echo';
  return data[offset] === REPORT && length >= WORKER_REPORT_BYTES ? 'report' : null;
}

export function pathProbeCluster(data: Uint8Array, offset: number): number {
  return readUint16(data, offset + 2);
}

export function pathProbeNumber(data: Uint8Array, offset: number): number {
  return readUint32(data, offset + 4);
}

export function reportAccepting(data: Uint8Array, offset: number): boolean {
  return (data[offset + 1] & FLAG_ACCEPTING) !== 0;
}

export function reportWorkers(data: Uint8Array, offset: number): number {
  return readUint16(data, offset + 8);
}

/** Unix seconds. */
export function reportReadySince(data: Uint8Array, offset: number): number {
  return readUint32(data, offset + 10);
}

function writeHead(into: Uint8Array, kind: number, flags: number, cluster: number, number: number): void {
  into[0] = kind;
  into[1] = flags;
  writeUint16(into, 2, cluster);
  writeUint32(into, 4, number);
}
