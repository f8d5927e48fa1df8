import type { TransportAddress } from '../../wire/address.ts';
import {
  HEADER_LENGTH,
  MAGIC_COOKIE,
  STUN_ERRORS,
  StunAttribute,
  TRANSACTION_ID_LENGTH,
  type StunClass,
  type StunErrorCode,
} from './attributes.ts';
import { messageFingerprint, messageIntegrity } from './checksums.ts';

/** A message stays within what fits any path without fragmentation. */
export const MAX_MESSAGE_LENGTH = 1232;

const CLASS_BITS: Readonly<Record<StunClass, number>> = { request: 0, indication: 0x010, success: 0x100, error: 0x110 };
const INTEGRITY_LENGTH = 24;
const FINGERPRINT_LENGTH = 8;

/**
 * Builds STUN messages into one buffer of its own, reused from message to message:
 *
 *     writer.begin('success', BINDING, request.transactionId);
 *     writer.xorMappedAddress(from);
 *     const bytes = writer.finish(password);
 *
 * {@link finish} seals the message with MESSAGE-INTEGRITY and FINGERPRINT, so whatever was appended is covered.
 * @throws {RangeError} from any appending method when the message would exceed {@link MAX_MESSAGE_LENGTH}, with what
 * was appended before left intact; see {@link room}.
 */
export class StunWriter {
  readonly #bytes = new Uint8Array(MAX_MESSAGE_LENGTH);
  #at = 0;

  begin(messageClass: StunClass, method: number, transactionId: Uint8Array): void {
    const type = CLASS_BITS[messageClass] | (method & 0x0f) | ((method & 0x70) << 1) | ((method & 0xf80) << 2);
    this.#bytes[0] = type >> 8;
    this.#bytes[1] = type & 0xff;
    this.#uint32(4, MAGIC_COOKIE);
    this.#bytes.set(transactionId.subarray(0, TRANSACTION_ID_LENGTH), 8);
    this.#at = HEADER_LENGTH;
  }

  /** Bytes that one more attribute's value may have. */
  get room(): number {
    return Math.max(0, MAX_MESSAGE_LENGTH - INTEGRITY_LENGTH - FINGERPRINT_LENGTH - this.#at - 4) & ~3;
  }

  attribute(type: number, value: Uint8Array): void {
    const at = this.#open(type, value.length);
    this.#bytes.set(value, at);
  }

  /** A flag, such as USE-CANDIDATE. */
  flag(type: number): void {
    this.#open(type, 0);
  }

  uint32(type: number, value: number): void {
    this.#uint32(this.#open(type, 4), value);
  }

  text(type: number, value: string): void {
    const bytes = Buffer.from(value, 'utf8');
    this.attribute(type, bytes);
  }

  xorMappedAddress(address: TransportAddress): void {
    const at = this.#open(StunAttribute.xorMappedAddress, 4 + address.ip.length);
    const port = address.port ^ (MAGIC_COOKIE >>> 16);
    this.#bytes[at] = 0;
    this.#bytes[at + 1] = address.family === 4 ? 1 : 2;
    this.#bytes[at + 2] = port >> 8;
    this.#bytes[at + 3] = port & 0xff;
    for (let i = 0; i < address.ip.length; i++) this.#bytes[at + 4 + i] = address.ip[i] ^ this.#bytes[4 + i];
  }

  errorCode(code: StunErrorCode): void {
    const reason = Buffer.from(STUN_ERRORS[code], 'utf8');
    const at = this.#open(StunAttribute.errorCode, 4 + reason.length);
    this.#bytes[at] = 0;
    this.#bytes[at + 1] = 0;
    this.#bytes[at + 2] = Math.floor(code / 100);
    this.#bytes[at + 3] = code % 100;
    this.#bytes.set(reason, at + 4);
  }

  unknownAttributes(types: readonly number[]): void {
    const at = this.#open(StunAttribute.unknownAttributes, 2 * types.length);
    types.forEach((type, i) => {
      this.#bytes[at + 2 * i] = type >> 8;
      this.#bytes[at + 2 * i + 1] = type & 0xff;
    });
  }

  /**
   * Appends MESSAGE-INTEGRITY under the password, and FINGERPRINT.
   * @returns a copy of the message that belongs to the caller
   */
  finish(password: string): Uint8Array {
    const integrity = messageIntegrity(this.#bytes, this.#at, password);
    this.#header(StunAttribute.messageIntegrity, 20);
    this.#bytes.set(integrity, this.#at);
    this.#at += 20;
    const length = this.#at + FINGERPRINT_LENGTH - HEADER_LENGTH;
    this.#bytes[2] = length >> 8;
    this.#bytes[3] = length & 0xff;
    const fingerprint = messageFingerprint(this.#bytes, this.#at);
    this.#header(StunAttribute.fingerprint, 4);
    this.#uint32(this.#at, fingerprint);
    this.#at += 4;
    return this.#bytes.slice(0, this.#at);
  }

  /** Writes an attribute's header, zeroes its padding and gives the offset of its value. */
  #open(type: number, length: number): number {
    const padded = (length + 3) & ~3;
    if (this.#at + 4 + padded + INTEGRITY_LENGTH + FINGERPRINT_LENGTH > MAX_MESSAGE_LENGTH) {
      throw new RangeError(`a STUN message cannot exceed ${MAX_MESSAGE_LENGTH} bytes`);
    }
    this.#header(type, length);
    const value = this.#at;
    this.#bytes.fill(0, value + length, value + padded);
    this.#at += padded;
    return value;
  }

  #header(type: number, length: number): void {
    this.#bytes[this.#at] = type >> 8;
    this.#bytes[this.#at + 1] = type & 0xff;
    this.#bytes[this.#at + 2] = length >> 8;
    this.#bytes[this.#at + 3] = length & 0xff;
    this.#at += 4;
  }

  #uint32(at: number, value: number): void {
    this.#bytes[at] = value >>> 24;
    this.#bytes[at + 1] = value >>> 16;
    this.#bytes[at + 2] = value >>> 8;
    this.#bytes[at + 3] = value;
  }
}
