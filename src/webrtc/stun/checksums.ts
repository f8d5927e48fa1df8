import { createHmac } from 'node:crypto';

const FINGERPRINT_XOR = 0x5354554e;
const CRC_TABLE = crcTable();
/** Message type and the length field that the HMAC is to see, which differs from the one on the wire. */
const prefix = new Uint8Array(4);

/**
 * MESSAGE-INTEGRITY of the message in `message[0, end)` (RFC 8489, section 14.5): HMAC-SHA1 over everything before
 * the attribute, with a length field that already counts the attribute itself.
 * @param end offset of the MESSAGE-INTEGRITY attribute's header
 * @returns 20 bytes
 */
export function messageIntegrity(message: Uint8Array, end: number, password: string): Uint8Array {
  const length = end + 4;
  prefix[0] = message[0];
  prefix[1] = message[1];
  prefix[2] = length >> 8;
  prefix[3] = length & 0xff;
  return createHmac('sha1', password).update(prefix).update(message.subarray(4, end)).digest();
}

/** FINGERPRINT of the message in `message[0, end)`, whose length field already counts the attribute (section 14.7). */
export function messageFingerprint(message: Uint8Array, end: number): number {
  return (crc32(message, 0, end) ^ FINGERPRINT_XOR) >>> 0;
}

/** CRC-32 of ISO 3309 / V.42 over `bytes[start, end)`, unsigned. */
export function crc32(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let crc = 0xffffffff;
  for (let i = start; i < end; i++) crc = CRC_TABLE[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function crcTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    table[n] = c >>> 0;
  }
  return table;
}
