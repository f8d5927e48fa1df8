import { readUint16, writeUint16, writeUint32 } from '../../wire/integers.ts';
import { padded } from './packet.ts';

/**
 * Type-length-value fields: the parameters of INIT, INIT ACK, HEARTBEAT and RE-CONFIG (RFC 9260, section 3.2.1) and
 * the causes of ABORT and ERROR (section 3.3.10) share one shape.
 *
 *   +-------------------------------+-------------------------------+
 *   |             type              |   length, header included     |
 *   +-------------------------------+-------------------------------+
 *   |    value, zero-padded to a multiple of four                   |
 *   +---------------------------------------------------------------+
 */

export const ParameterType = {
  heartbeatInfo: 1,
  stateCookie: 7,
  unrecognizedParameter: 8,
  outgoingResetRequest: 13,
  incomingResetRequest: 14,
  tsnResetRequest: 15,
  reconfigResponse: 16,
  addOutgoingStreams: 17,
  addIncomingStreams: 18,
  supportedExtensions: 0x8008,
  forwardTsnSupported: 0xc000,
} as const;

export const CauseCode = {
  invalidStream: 1,
  staleCookie: 3,
  unrecognizedChunk: 6,
  unrecognizedParameters: 8,
  noUserData: 9,
  cookieWhileShuttingDown: 10,
  userInitiatedAbort: 12,
  protocolViolation: 13,
} as const;

const HEADER_BYTES = 4;

/** A cursor over type-length-value fields between two offsets. */
export class ParameterReader {
  readonly bytes: Uint8Array;
  type = 0;
  /** Where the present field begins, header included, and where its value begins and ends. */
  header = 0;
  start = 0;
  end = 0;
  /** A length was wrong: the rest cannot be read. */
  malformed = false;
  #next: number;
  readonly #limit: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes;
    this.#next = start;
    this.#limit = end;
  }

  /** Moves to the next field; false at the end. */
  next(): boolean {
    const at = this.#next;
    const left = this.#limit - at;
    if (left <= 0) return false;
    const length = left < HEADER_BYTES ? 0 : readUint16(this.bytes, at + 2);
    if (length < HEADER_BYTES || length > left) {
      this.malformed = true;
      return false;
    }
    this.type = readUint16(this.bytes, at);
    this.header = at;
    this.start = at + HEADER_BYTES;
    this.end = at + length;
    this.#next = at + padded(length);
    return true;
  }

  /** The value, in place. */
  get value(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }
}

/** One field with its header, unpadded. */
export function encodeParameter(type: number, value: Uint8Array): Uint8Array {
  const field = new Uint8Array(HEADER_BYTES + value.length);
  writeUint16(field, 0, type);
  writeUint16(field, 2, field.length);
  field.set(value, HEADER_BYTES);
  return field;
}

/** Fields one after another, each but the last padded: a chunk's length excludes the padding of its last parameter. */
export function joinParameters(fields: readonly Uint8Array[]): Uint8Array {
  let bytes = 0;
  for (const field of fields) bytes = padded(bytes) + field.length;
  const joined = new Uint8Array(bytes);
  let at = 0;
  for (const field of fields) {
    joined.set(field, at);
    at += padded(field.length);
  }
  return joined;
}

/** A cause whose value is one 32-bit number (a 16-bit one with reserved bytes behind it: shift it). */
export function encodeCauseU32(code: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeUint32(bytes, 0, value);
  return encodeParameter(code, bytes);
}

/** What the two highest bits of an unknown chunk or parameter type ask for (RFC 9260, sections 3.2 and 3.2.1). */
export function unknownTypeAction(highBits: number): { readonly skip: boolean; readonly report: boolean } {
  return { skip: (highBits & 2) !== 0, report: (highBits & 1) !== 0 };
}
