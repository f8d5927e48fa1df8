import { LOCATOR_BYTES } from '../wire/locator.ts';

/**
 * A flow between a worker and the main thread, one of many in one message:
 *
 *   0–15   client address, IPv4 as an IPv4-mapped IPv6 one
 *   16–17  client port
 *   18–23  transceiver: IPv4 address, port; zero when it is what is asked for
 */
export const FLOW_RECORD_BYTES = 24;
/** The client's part: what a flow is found by. */
export const FLOW_CLIENT_BYTES = 18;
/** Where the transceiver's part begins. */
export const FLOW_TARGET_OFFSET = FLOW_CLIENT_BYTES;

const PORT_OFFSET = 16;

export function flowRecordPort(records: Uint8Array, at: number): number {
  return (records[at + PORT_OFFSET] << 8) | records[at + PORT_OFFSET + 1];
}

/** Writes a record at `at`; without `target` that part is zero. */
export function writeFlowRecord(
  into: Uint8Array,
  at: number,
  ip: Uint8Array,
  ipOffset: number,
  family: 4 | 6,
  port: number,
  target: Uint8Array | null,
  targetOffset: number,
): void {
  if (family === 4) {
    into.fill(0, at, at + 10);
    into[at + 10] = 0xff;
    into[at + 11] = 0xff;
    for (let i = 0; i < 4; i++) into[at + 12 + i] = ip[ipOffset + i];
  } else {
    for (let i = 0; i < 16; i++) into[at + i] = ip[ipOffset + i];
  }
  into[at + PORT_OFFSET] = port >> 8;
  into[at + PORT_OFFSET + 1] = port;
  for (let i = 0; i < LOCATOR_BYTES; i++) into[at + FLOW_TARGET_OFFSET + i] = target === null ? 0 : target[targetOffset + i];
}
