import { readUint16 } from '../../wire/integers.ts';
import { RTP_HEADER_LENGTH } from '../rtp/rtp-packet.ts';

/**
 * Length of an RTP header with its CSRC list and extension (RFC 3550, section 5.1): where the encrypted part starts.
 * -1 when packet[0, end) is not version 2 or ends within its header. `end` is not beyond the packet's own length.
 */
export function rtpHeaderLength(packet: Uint8Array, end: number): number {
  if (end < RTP_HEADER_LENGTH || packet[0] >>> 6 !== 2) return -1;
  let length = RTP_HEADER_LENGTH + 4 * (packet[0] & 0x0f);
  if ((packet[0] & 0x10) !== 0) {
    if (length + 4 > end) return -1;
    length += 4 + 4 * readUint16(packet, length + 2);
  }
  return length <= end ? length : -1;
}
