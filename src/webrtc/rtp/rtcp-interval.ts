import { readUint32 } from '../../wire/integers.ts';
import type { RandomSource } from '../machine.ts';

/**
 * Mean time between reports. RFC 3550 (section 6.2) asks for 5 s unless the profile allows less, and AVPF (RFC 4585,
 * section 3.4) does: all RTCP within 5% of the session's bandwidth. A report of 100 bytes with its headers every 1.5 s
 * is 0.5 kbit/s, 1.5% of Opus at 32 kbit/s, and keeps round trip and loss fresh enough to explain a bad second.
 */
export const RTCP_INTERVAL_MS = 1500;

/**
 * Time to the next report: the mean times 0.5 to 1.5, so that sessions never fall into step. Half of that for the
 * first (RFC 3550, section 6.2). With two parties the timer needs no reconsideration, nor its compensation.
 */
export function rtcpInterval(random: RandomSource, first: boolean): number {
  const bytes = new Uint8Array(4);
  random(bytes);
  const factor = 0.5 + readUint32(bytes, 0) / 0x1_0000_0000;
  return RTCP_INTERVAL_MS * factor * (first ? 0.5 : 1);
}
