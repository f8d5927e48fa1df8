/**
 * CRC32c, the checksum of SCTP packets (RFC 9260, section 6.8 and appendix A): polynomial 0x1EDC6F41, bits reflected.
 * Sliced by eight: eight tables of 256 entries take eight bytes per round.
 */

const REFLECTED_POLYNOMIAL = 0x82f63b78;
const TABLES = makeTables();
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array,
];

/** CRC32c of `bytes` as an unsigned number. */
export function crc32c(bytes: Uint8Array): number {
  return ~update(-1, bytes, 0, bytes.length) >>> 0;
}

/** CRC32c of an SCTP packet of at least 12 bytes, its checksum field (bytes 8 to 11) taken as zero. */
export function packetChecksum(packet: Uint8Array): number {
  let crc = update(-1, packet, 0, 8);
  for (let i = 0; i < 4; i++) crc = T0[crc & 0xff] ^ (crc >>> 8);
  return ~update(crc, packet, 12, packet.length) >>> 0;
}

/** Writes the checksum into its field. It travels least significant byte first, unlike every other number of SCTP. */
export function writePacketChecksum(packet: Uint8Array): void {
  const crc = packetChecksum(packet);
  packet[8] = crc;
  packet[9] = crc >>> 8;
  packet[10] = crc >>> 16;
  packet[11] = crc >>> 24;
}

/** True when the checksum field of a packet of at least 12 bytes is right. */
export function verifyPacketChecksum(packet: Uint8Array): boolean {
  const field = packet[8] | (packet[9] << 8) | (packet[10] << 16) | (packet[11] << 24);
  return field >>> 0 === packetChecksum(packet);
}

function update(start: number, bytes: Uint8Array, from: number, to: number): number {
  let crc = start;
  let at = from;
  for (; at + 8 <= to; at += 8) {
    const low = crc ^ (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24));
    crc =
      T7[low & 0xff] ^
      T6[(low >>> 8) & 0xff] ^
      T5[(low >>> 16) & 0xff] ^
      T4[low >>> 24] ^
      T3[bytes[at + 4]] ^
      T2[bytes[at + 5]] ^
      T1[bytes[at + 6]] ^
      T0[bytes[at + 7]];
  }
  for (; at < to; at++) crc = T0[(crc ^ bytes[at]) & 0xff] ^ (crc >>> 8);
  return crc;
}

function makeTables(): Int32Array[] {
  const tables = Array.from({ length: 8 }, () => new Int32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ REFLECTED_POLYNOMIAL : crc >>> 1;
    tables[0][byte] = crc;
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let slice = 1; slice < 8; slice++) {
      const before = tables[slice - 1][byte];
      tables[slice][byte] = tables[0][before & 0xff] ^ (before >>> 8);
    }
  }
  return tables;
}
