/**
 * The handshake header (RFC 6347, section 4.2.2):
 *
 *    0        1                 4           6                 9                12
 *   +--------+-----------------+-----------+-----------------+-----------------+------- - -
 *   |  type  |     length      |message_seq| fragment_offset | fragment_length | body part
 *   +--------+-----------------+-----------+-----------------+-----------------+------- - -
 */
import { ByteReader } from './byte-reader.ts';

export const handshakeHeaderLength = 12;

/** A whole handshake message. */
export interface HandshakeMessage {
  readonly type: number;
  /** message_seq. */
  readonly sequence: number;
  readonly body: Uint8Array;
}

export interface HandshakeFragment {
  readonly type: number;
  readonly sequence: number;
  /** Length of the whole body. */
  readonly length: number;
  readonly offset: number;
  /** The part of the body that begins at `offset`; a view of the record. */
  readonly part: Uint8Array;
}

/** All fragments of one record, or null when they do not fill it exactly or contradict themselves. */
export function decodeHandshakeFragments(record: Uint8Array): HandshakeFragment[] | null {
  const reader = new ByteReader(record);
  const fragments: HandshakeFragment[] = [];
  do {
    const type = reader.uint8();
    const length = reader.uint24();
    const sequence = reader.uint16();
    const offset = reader.uint24();
    const part = reader.vector24();
    if (!reader.intact || offset + part.length > length) return null;
    fragments.push({ type, sequence, length, offset, part });
  } while (reader.remaining > 0);
  return fragments;
}

/** One fragment of `message`: `size` bytes of its body from `offset` on. */
export function encodeHandshakeFragment(message: HandshakeMessage, offset: number, size: number): Uint8Array {
  const bytes = new Uint8Array(handshakeHeaderLength + size);
  const { type, sequence, body } = message;
  bytes[0] = type;
  writeUint24(bytes, 1, body.length);
  bytes[4] = sequence >>> 8;
  bytes[5] = sequence & 0xff;
  writeUint24(bytes, 6, offset);
  writeUint24(bytes, 9, size);
  bytes.set(body.subarray(offset, offset + size), handshakeHeaderLength);
  return bytes;
}

function writeUint24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16;
  bytes[at + 1] = (value >>> 8) & 0xff;
  bytes[at + 2] = value & 0xff;
}
