/**
 * The record header of DTLS 1.2, and of what DTLS 1.3 sends in clear text (RFC 6347, section 4.1):
 *
 *    0        1        3        5                 11       13
 *   +--------+--------+--------+-----------------+--------+----------- - -
 *   |  type  | version|  epoch | sequence number | length | fragment
 *   +--------+--------+--------+-----------------+--------+----------- - -
 */
export interface RecordHeader {
  readonly form: 'classic';
  readonly type: number;
  readonly version: number;
  readonly epoch: number;
  /** 48 bits. */
  readonly sequence: number;
  /** Offset of the fragment in the datagram. */
  readonly start: number;
  /** Offset of the byte behind the record in the datagram. */
  readonly end: number;
}

export const recordHeaderLength = 13;

/** RFC 6347, section 4.1: a plaintext fragment is at most 2^14 bytes. */
export const maxPlaintextLength = 1 << 14;

/** The record that begins at `at`, or null when the datagram does not hold it whole. */
export function parseRecordHeader(datagram: Uint8Array, at: number): RecordHeader | null {
  const start = at + recordHeaderLength;
  if (start > datagram.length) return null;
  const end = start + ((datagram[at + 11] << 8) | datagram[at + 12]);
  if (end > datagram.length) return null;
  return {
    form: 'classic',
    type: datagram[at],
    version: (datagram[at + 1] << 8) | datagram[at + 2],
    epoch: (datagram[at + 3] << 8) | datagram[at + 4],
    sequence: readUint48(datagram, at + 5),
    start,
    end,
  };
}

/** Writes a header at `at`; the caller has room for its 13 bytes. */
export function writeRecordHeader(
  out: Uint8Array,
  at: number,
  header: { type: number; version: number; epoch: number; sequence: number; length: number },
): void {
  out[at] = header.type;
  out[at + 1] = header.version >>> 8;
  out[at + 2] = header.version & 0xff;
  out[at + 3] = header.epoch >>> 8;
  out[at + 4] = header.epoch & 0xff;
  writeUint48(out, at + 5, header.sequence);
  out[at + 11] = header.length >>> 8;
  out[at + 12] = header.length & 0xff;
}

function readUint48(bytes: Uint8Array, at: number): number {
  const high = (bytes[at] << 8) | bytes[at + 1];
  const low = ((bytes[at + 2] << 24) | (bytes[at + 3] << 16) | (bytes[at + 4] << 8) | bytes[at + 5]) >>> 0;
  return high * 0x1_0000_0000 + low;
}

function writeUint48(out: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  const low = value >>> 0;
  out[at] = high >>> 8;
  out[at + 1] = high & 0xff;
  out[at + 2] = low >>> 24;
  out[at + 3] = (low >>> 16) & 0xff;
  out[at + 4] = (low >>> 8) & 0xff;
  out[at + 5] = low & 0xff;
}
