import { readUint32 } from './integers.ts';

/**
 * The little of STUN that a relay reads: is this a binding request, and which ufrag does it name?
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |0 0|     STUN Message Type     |         Message Length        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                  Magic Cookie = 0x2112A442                    |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                 Transaction ID (96 bits)                      |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |  attributes: type u16, length u16, value, padding to 4 …      |
 *
 * RFC 8489, sections 5 and 14; the USERNAME of a connectivity check is `<ufrag of the receiver>:<ufrag of the sender>`
 * (RFC 8445, section 7.2.2).
 */
export type StunClass = 'binding-request' | 'other' | 'malformed';

const HEADER_BYTES = 20;
const BINDING_REQUEST = 0x0001;
const MAGIC_COOKIE = 0x2112a442;
const ATTRIBUTE_USERNAME = 0x0006;
const COLON = 0x3a;

/**
 * Reads what a datagram's STUN header says and finds the receiver's ufrag in it. One instance per reader, fields
 * overwritten by each call; allocates nothing and never looks beyond `length`. Work is bounded by the datagram's
 * length: one step per attribute of at least four bytes.
 */
export class StunUsernameReader {
  /** Where the part of USERNAME before `:` starts, in the same coordinates as `offset`; -1 when there is none. */
  ufragOffset = -1;
  ufragLength = 0;

  /** `malformed`: no RFC 8489 message fills these `length` bytes. The ufrag is looked for in binding requests only. */
  read(data: Uint8Array, offset: number, length: number): StunClass {
    this.ufragOffset = -1;
    this.ufragLength = 0;
    if (length < HEADER_BYTES || offset + length > data.length) return 'malformed';
    const type = (data[offset] << 8) | data[offset + 1];
    const bodyLength = (data[offset + 2] << 8) | data[offset + 3];
    if (type > 0x3fff || bodyLength % 4 !== 0 || bodyLength + HEADER_BYTES !== length) return 'malformed';
    if (readUint32(data, offset + 4) !== MAGIC_COOKIE) return 'malformed';
    if (type !== BINDING_REQUEST) return 'other';
    return this.#findUfrag(data, offset + HEADER_BYTES, offset + length) ? 'binding-request' : 'malformed';
  }

  /** False when the attributes do not add up. A missing USERNAME is no fault of form. */
  #findUfrag(data: Uint8Array, start: number, end: number): boolean {
    let at = start;
    while (at < end) {
      const type = (data[at] << 8) | data[at + 1];
      const valueLength = (data[at + 2] << 8) | data[at + 3];
      const value = at + 4;
      at = value + ((valueLength + 3) & ~3);
      if (at > end) return false;
      if (type === ATTRIBUTE_USERNAME) {
        let colon = value;
        while (colon < value + valueLength && data[colon] !== COLON) colon++;
        if (colon === value + valueLength) return true;
        this.ufragOffset = value;
        this.ufragLength = colon - value;
        return true;
      }
    }
    return true;
  }
}
