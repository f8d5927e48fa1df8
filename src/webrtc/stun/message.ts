import { timingSafeEqual } from 'node:crypto';
import type { TransportAddress } from '../../wire/address.ts';
import {
  HEADER_LENGTH,
  MAGIC_COOKIE,
  StunAttribute,
  TRANSACTION_ID_LENGTH,
  isUnknownRequired,
  type StunClass,
} from './attributes.ts';
import { messageFingerprint, messageIntegrity } from './checksums.ts';

/** More attributes than any STUN usage sends; a message with more is refused as malformed. */
export const MAX_ATTRIBUTES = 32;

const NO_MESSAGE = new Uint8Array(HEADER_LENGTH);
const CLASSES: readonly StunClass[] = ['request', 'indication', 'success', 'error'];

/**
 * A STUN message as received (RFC 8489, section 5). One instance is pointed at datagram after datagram, so reading
 * one allocates nothing but the views that are asked for.
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *     |0 0|     message type          |      length of attributes     |
 *     |                  magic cookie 0x2112A442                      |
 *     |              transaction id (96 bits, 3 words)                |
 *     | attributes: type (16), length (16), value, padding to 4 bytes |
 *     |   … MESSAGE-INTEGRITY, FINGERPRINT                            |
 *     +---------------------------------------------------------------+
 *
 * Attributes behind MESSAGE-INTEGRITY are not covered by it, so they cannot be reached through this class, FINGERPRINT
 * apart. Everything else is the sender's claim until {@link verifyIntegrity} has returned true.
 */
export class StunMessage {
  #data: Uint8Array = NO_MESSAGE;
  #class: StunClass = 'request';
  #method = 0;
  #count = 0;
  #integrityAt = -1;
  #fingerprintAt = -1;
  readonly #types = new Uint16Array(MAX_ATTRIBUTES);
  readonly #offsets = new Uint16Array(MAX_ATTRIBUTES);
  readonly #lengths = new Uint16Array(MAX_ATTRIBUTES);

  /**
   * Points this view at one datagram, which must stay unchanged while it is used.
   * @returns false when the datagram is not one well-formed STUN message; the view is then empty.
   */
  read(data: Uint8Array): boolean {
    this.#count = 0;
    this.#integrityAt = -1;
    this.#fingerprintAt = -1;
    this.#data = data;
    if (this.#parse(data)) return true;
    this.#count = 0;
    this.#data = NO_MESSAGE;
    return false;
  }

  get class(): StunClass {
    return this.#class;
  }

  get method(): number {
    return this.#method;
  }

  /** Bytes of the whole message. */
  get length(): number {
    return this.#data.length;
  }

  /** 12 bytes, a view of the datagram. */
  get transactionId(): Uint8Array {
    return this.#data.subarray(HEADER_LENGTH - TRANSACTION_ID_LENGTH, HEADER_LENGTH);
  }

  /** True when a MESSAGE-INTEGRITY attribute is there, right or wrong. */
  get hasIntegrity(): boolean {
    return this.#integrityAt >= 0;
  }

  /** True when the message carries a MESSAGE-INTEGRITY that this password made. */
  verifyIntegrity(password: string): boolean {
    if (this.#integrityAt < 0) return false;
    const expected = messageIntegrity(this.#data, this.#integrityAt, password);
    return timingSafeEqual(expected, this.#data.subarray(this.#integrityAt + 4, this.#integrityAt + 24));
  }

  /** `absent` is no fault in itself: MESSAGE-INTEGRITY is what proves a message. */
  verifyFingerprint(): 'absent' | 'valid' | 'invalid' {
    if (this.#fingerprintAt < 0) return 'absent';
    const expected = messageFingerprint(this.#data, this.#fingerprintAt);
    return uint32(this.#data, this.#fingerprintAt + 4) === expected ? 'valid' : 'invalid';
  }

  /** The value of the first attribute of this type, a view of the datagram without padding; null when there is none. */
  attribute(type: number): Uint8Array | null {
    for (let i = 0; i < this.#count; i++) {
      if (this.#types[i] === type) return this.#data.subarray(this.#offsets[i], this.#offsets[i] + this.#lengths[i]);
    }
    return null;
  }

  has(type: number): boolean {
    for (let i = 0; i < this.#count; i++) if (this.#types[i] === type) return true;
    return false;
  }

  /** An attribute of exactly four bytes, unsigned, such as PRIORITY. */
  uint32(type: number): number | null {
    const value = this.attribute(type);
    return value?.length === 4 ? uint32(value, 0) : null;
  }

  /** An attribute of text, such as USERNAME. */
  text(type: number): string | null {
    const value = this.attribute(type);
    return value && Buffer.from(value.buffer, value.byteOffset, value.length).toString('utf8');
  }

  /** XOR-MAPPED-ADDRESS (section 14.2), null when absent or malformed. */
  get xorMappedAddress(): TransportAddress | null {
    const value = this.attribute(StunAttribute.xorMappedAddress);
    if (!value || value.length < 8) return null;
    const family = value[1] === 1 ? 4 : value[1] === 2 ? 6 : null;
    if (!family || value.length !== (family === 4 ? 8 : 20)) return null;
    const ip = new Uint8Array(value.length - 4);
    // The address is masked with the magic cookie and, for IPv6, the transaction id, which follows it in the header.
    for (let i = 0; i < ip.length; i++) ip[i] = value[4 + i] ^ this.#data[4 + i];
    return { family, ip, port: ((value[2] << 8) | value[3]) ^ (MAGIC_COOKIE >>> 16) };
  }

  /** Code of ERROR-CODE (section 14.8), 300 to 699; null when absent or malformed. */
  get errorCode(): number | null {
    const value = this.attribute(StunAttribute.errorCode);
    if (!value || value.length < 4) return null;
    const hundreds = value[2] & 0x07;
    return hundreds >= 3 && hundreds <= 6 && value[3] <= 99 ? hundreds * 100 + value[3] : null;
  }

  /** Comprehension-required attributes that are not known here: what a 420 answer has to list. */
  get unknownRequired(): readonly number[] {
    let unknown: number[] | undefined;
    for (let i = 0; i < this.#count; i++) {
      if (isUnknownRequired(this.#types[i])) (unknown ??= []).push(this.#types[i]);
    }
    return unknown ?? NONE;
  }

  #parse(data: Uint8Array): boolean {
    const end = data.length;
    if (end < HEADER_LENGTH || end > 0xffff || data[0] > 0x3f || uint32(data, 4) !== MAGIC_COOKIE) return false;
    if (((data[2] << 8) | data[3]) !== end - HEADER_LENGTH) return false;
    const type = (data[0] << 8) | data[1];
    // The two class bits sit at 0x100 and 0x010, between the bits of the method.
    this.#class = CLASSES[((type >> 7) & 2) | ((type >> 4) & 1)];
    this.#method = ((type >> 2) & 0xf80) | ((type >> 1) & 0x70) | (type & 0x0f);
    for (let at = HEADER_LENGTH; at < end; ) {
      const length = (data[at + 2] << 8) | data[at + 3];
      const next = at + 4 + ((length + 3) & ~3);
      // FINGERPRINT is the last attribute (section 14.7): whatever follows it is no part of a valid message.
      if (next > end || this.#fingerprintAt >= 0) return false;
      if (!this.#note((data[at] << 8) | data[at + 1], at, length)) return false;
      at = next;
    }
    return true;
  }

  #note(type: number, at: number, length: number): boolean {
    if (type === StunAttribute.fingerprint) {
      this.#fingerprintAt = at;
      return length === 4;
    }
    if (this.#integrityAt >= 0) return true;
    if (type === StunAttribute.messageIntegrity) {
      this.#integrityAt = at;
      return length === 20;
    }
    if (this.#count === MAX_ATTRIBUTES) return false;
    this.#types[this.#count] = type;
    this.#offsets[this.#count] = at + 4;
    this.#lengths[this.#count++] = length;
    return true;
  }
}

const NONE: readonly number[] = [];

function uint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}
