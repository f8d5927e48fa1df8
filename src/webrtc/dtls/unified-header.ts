/**
 * The header of protected DTLS 1.3 records (RFC 9147, section 4):
 *
 *    0 1 2 3 4 5 6 7
 *   +-+-+-+-+-+-+-+-+--------------------+---------------------+---------- - -
 *   |0|0|1|C|S|L|E E| sequence number    | length (16 bits)    | encrypted record
 *   +-+-+-+-+-+-+-+-+--------------------+---------------------+---------- - -
 *          │ │ │ └┴─ low bits of the epoch, in clear
 *          │ │ └──── a length is there; without it the record fills the datagram
 *          │ └────── 16 bits of sequence number, otherwise 8; encrypted
 *          └──────── a connection ID is there: never, as none is negotiated
 *
 * Written here: S and L set, which costs three bytes and lets records share a datagram.
 */
export interface UnifiedHeader {
  readonly form: 'unified';
  /** The low two bits. */
  readonly epochBits: number;
  /** Offset of the first byte of the record, which is also where the additional data of the AEAD begins. */
  readonly at: number;
  /** 1 or 2 bytes from `at + 1` on. */
  readonly sequenceLength: number;
  /** Offset of the ciphertext in the datagram. */
  readonly start: number;
  /** Offset of the byte behind the record in the datagram. */
  readonly end: number;
}

export const unifiedHeaderLength = 5;

const fixedBits = 0b0010_0000;
const connectionIdBit = 0b0001_0000;
const sequenceBit = 0b0000_1000;
const lengthBit = 0b0000_0100;

/** True for the first byte of a unified header. */
export function isUnifiedHeader(firstByte: number): boolean {
  return (firstByte & 0b1110_0000) === fixedBits;
}

/** The record that begins at `at`, or null when the datagram does not hold it whole. */
export function parseUnifiedHeader(datagram: Uint8Array, at: number): UnifiedHeader | null {
  const flags = datagram[at];
  if (!isUnifiedHeader(flags) || flags & connectionIdBit) return null;
  const sequenceLength = flags & sequenceBit ? 2 : 1;
  const lengthAt = at + 1 + sequenceLength;
  const start = flags & lengthBit ? lengthAt + 2 : lengthAt;
  if (start > datagram.length) return null;
  const end = flags & lengthBit ? start + ((datagram[lengthAt] << 8) | datagram[lengthAt + 1]) : datagram.length;
  if (end > datagram.length) return null;
  return { form: 'unified', epochBits: flags & 3, at, sequenceLength, start, end };
}

/** Writes a header with its sequence number still in clear; the caller has room for its 5 bytes. */
export function writeUnifiedHeader(out: Uint8Array, at: number, epoch: number, sequence: number, length: number): void {
  out[at] = fixedBits | sequenceBit | lengthBit | (epoch & 3);
  out[at + 1] = sequence >>> 8;
  out[at + 2] = sequence & 0xff;
  out[at + 3] = length >>> 8;
  out[at + 4] = length & 0xff;
}

/** The sequence number nearest to `expected` with these low bits (RFC 9147, section 4.2.2); never negative. */
export function expandSequence(bits: number, bitCount: number, expected: number): number {
  const span = 2 ** bitCount;
  const candidate = expected - (expected % span) + bits;
  if (candidate > expected + span / 2 && candidate >= span) return candidate - span;
  return candidate < expected - span / 2 ? candidate + span : candidate;
}
