/** RTP for tests (RFC 3550, section 5.1), on purpose written apart from the code under test. */

export interface RtpPacket {
  readonly payloadType: number;
  readonly marker: boolean;
  readonly sequenceNumber: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Uint8Array;
}

export function buildRtp(packet: RtpPacket): Buffer {
  const header = Buffer.alloc(12);
  header[0] = 0x80;
  header[1] = (packet.marker ? 0x80 : 0) | packet.payloadType;
  header.writeUInt16BE(packet.sequenceNumber & 0xffff, 2);
  header.writeUInt32BE(packet.timestamp >>> 0, 4);
  header.writeUInt32BE(packet.ssrc >>> 0, 8);
  return Buffer.concat([header, packet.payload]);
}

/** RTP or SRTP, and nothing else that shares the port: STUN, DTLS (RFC 7983), RTCP (RFC 5761, section 4). */
export function isRtp(data: Uint8Array): boolean {
  if (data.length < 12 || data[0] >> 6 !== 2) return false;
  const payloadType = data[1] & 0x7f;
  return payloadType < 64 || payloadType > 95;
}

/** Null for anything that is not RTP. */
export function readRtp(data: Buffer): RtpPacket | null {
  if (!isRtp(data)) return null;
  let start = 12 + 4 * (data[0] & 0x0f);
  if (data[0] & 0x10) {
    if (data.length < start + 4) return null;
    start += 4 + 4 * data.readUInt16BE(start + 2);
  }
  const end = data.length - (data[0] & 0x20 ? data[data.length - 1] : 0);
  if (start > end) return null;
  return {
    payloadType: data[1] & 0x7f,
    marker: (data[1] & 0x80) !== 0,
    sequenceNumber: data.readUInt16BE(2),
    timestamp: data.readUInt32BE(4),
    ssrc: data.readUInt32BE(8),
    payload: data.subarray(start, end),
  };
}
