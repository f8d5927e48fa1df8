import { deriveKey } from './derive-key.ts';

/**
 * The trunk, version 1: datagrams between a relay and a transceiver, and between relays.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |     0xEA      |     0x52      |  version = 1  | flags       |D|
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                           sequence                            |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |                       cookie (8 bytes)                        |
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   entries, to the end of the datagram:
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |        payload length         | family 4 or 6 |flags|H|C|T|A|V|
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   |          client port          |  client address, 4 or 16 bytes …
 *   +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *   [via: IPv4 address (4 bytes), port u16]   [target: alike]   payload …
 *
 * D: 0 = towards the transceiver, 1 = towards clients. V: a via follows, the relay to return through. A: the
 * transceiver has verified (STUN integrity, DTLS or SRTP) that the client is at this address. T: a target follows, the
 * transceiver that the sending relay knows as the owner. C: of no client, but between the two peers; see
 * `path-probe.ts`. H: towards clients, but for none: a transceiver returns what it cannot take, and names as target who
 * can if it knows. All integers big-endian.
 */
export type TrunkError = 'trunk-malformed' | 'trunk-version' | 'trunk-cookie';

/** UDP payload bytes of a trunk datagram at most, unless configured: Ethernet's 1,500 less IPv4 and UDP headers. */
export const TRUNK_MTU = 1472;
export const TRUNK_HEADER_BYTES = 16;
export const TRUNK_VIA_BYTES = 6;
const TRUNK_TARGET_BYTES = 6;

const MAGIC_0 = 0xea;
const MAGIC_1 = 0x52;
const VERSION = 1;
const COOKIE_BYTES = 8;
const FLAG_TOWARDS_CLIENTS = 1;
const ENTRY_FLAG_VIA = 1;
const ENTRY_FLAG_VERIFIED = 2;
const ENTRY_FLAG_TARGET = 4;
const ENTRY_FLAG_CONTROL = 8;
const ENTRY_FLAG_HANDED_BACK = 16;
const KNOWN_ENTRY_FLAGS =
  ENTRY_FLAG_VIA | ENTRY_FLAG_VERIFIED | ENTRY_FLAG_TARGET | ENTRY_FLAG_CONTROL | ENTRY_FLAG_HANDED_BACK;
const ENTRY_FIXED_BYTES = 6;

/** The eight bytes by which trunk peers know each other: sends the current secret's, accepts the previous one's. */
export class TrunkCookies {
  readonly current: Uint8Array;
  readonly previous: Uint8Array | null;

  constructor(secret: string, previous?: string) {
    this.current = deriveKey(secret, 'earshot trunk v1', COOKIE_BYTES);
    this.previous = previous === undefined ? null : deriveKey(previous, 'earshot trunk v1', COOKIE_BYTES);
  }

  /** Whether the cookie at `offset` is one of ours, in constant time per cookie. */
  accepts(data: Uint8Array, offset: number): boolean {
    return equalBytes(this.current, data, offset) || (this.previous !== null && equalBytes(this.previous, data, offset));
  }
}

/** Bytes that an entry adds to a trunk datagram besides its payload. */
function trunkEntryOverhead(family: 4 | 6, hasVia: boolean, hasTarget: boolean): number {
  return ENTRY_FIXED_BYTES + (family === 4 ? 4 : 16) + (hasVia ? TRUNK_VIA_BYTES : 0) + (hasTarget ? TRUNK_TARGET_BYTES : 0);
}

/** Writes the header at `offset`; returns where the first entry goes. */
export function writeTrunkHeader(
  into: Uint8Array,
  offset: number,
  towardsClients: boolean,
  sequence: number,
  cookies: TrunkCookies,
): number {
  into[offset] = MAGIC_0;
  into[offset + 1] = MAGIC_1;
  into[offset + 2] = VERSION;
  into[offset + 3] = towardsClients ? FLAG_TOWARDS_CLIENTS : 0;
  into[offset + 4] = sequence >>> 24;
  into[offset + 5] = sequence >>> 16;
  into[offset + 6] = sequence >>> 8;
  into[offset + 7] = sequence;
  for (let i = 0; i < COOKIE_BYTES; i++) into[offset + 8 + i] = cookies.current[i];
  return offset + TRUNK_HEADER_BYTES;
}

/** One client datagram to be written into the trunk. Made once and refilled: nothing is allocated per packet. */
export class TrunkEntry {
  family: 4 | 6 = 4;
  /** The client's address: 4 or 16 bytes at `ipOffset`. */
  ip: Uint8Array = NO_BYTES;
  ipOffset = 0;
  port = 0;
  verified = false;
  /** IPv4 address and port (6 bytes) at `viaOffset`, or null. */
  via: Uint8Array | null = null;
  viaOffset = 0;
  /** IPv4 address and port (6 bytes) at `targetOffset`, or null. */
  target: Uint8Array | null = null;
  targetOffset = 0;
  /** Of no client: a message between the peers. */
  control = false;
  /** What a transceiver cannot take: the payload came from the client and is to be offered to another one. */
  handedBack = false;
  payload: Uint8Array = NO_BYTES;
  payloadOffset = 0;
  payloadLength = 0;

  /** Bytes that this entry takes. */
  get byteLength(): number {
    return trunkEntryOverhead(this.family, this.via !== null, this.target !== null) + this.payloadLength;
  }

  /** Writes the entry at `offset`, where `byteLength` bytes are free; returns its end. */
  write(into: Uint8Array, offset: number): number {
    const ipBytes = this.family === 4 ? 4 : 16;
    into[offset] = this.payloadLength >> 8;
    into[offset + 1] = this.payloadLength;
    into[offset + 2] = this.family;
    into[offset + 3] =
      (this.via === null ? 0 : ENTRY_FLAG_VIA) |
      (this.verified ? ENTRY_FLAG_VERIFIED : 0) |
      (this.target === null ? 0 : ENTRY_FLAG_TARGET) |
      (this.control ? ENTRY_FLAG_CONTROL : 0) |
      (this.handedBack ? ENTRY_FLAG_HANDED_BACK : 0);
    into[offset + 4] = this.port >> 8;
    into[offset + 5] = this.port;
    let at = offset + ENTRY_FIXED_BYTES;
    for (let i = 0; i < ipBytes; i++) into[at++] = this.ip[this.ipOffset + i];
    if (this.via !== null) for (let i = 0; i < TRUNK_VIA_BYTES; i++) into[at++] = this.via[this.viaOffset + i];
    if (this.target !== null) for (let i = 0; i < TRUNK_TARGET_BYTES; i++) into[at++] = this.target[this.targetOffset + i];
    copyBytes(this.payload, this.payloadOffset, this.payloadLength, into, at);
    return at + this.payloadLength;
  }
}

const NO_BYTES = new Uint8Array(0);

/**
 * A cursor over one received trunk datagram. Made once; `open` a datagram, then `next` until it is false. The fields
 * are offsets into the datagram's own buffer: nothing is copied or allocated.
 */
export class TrunkReader {
  towardsClients = false;
  sequence = 0;
  /** Set when `next` has returned false because the rest of the datagram is no entry, not because it has ended. */
  malformed = false;

  family: 4 | 6 = 4;
  ipOffset = 0;
  port = 0;
  verified = false;
  hasVia = false;
  /** Six bytes, IPv4 address and port; only when `hasVia`. */
  viaOffset = 0;
  hasTarget = false;
  /** Six bytes, alike; only when `hasTarget`. */
  targetOffset = 0;
  /** Of no client: a message between the peers. */
  control = false;
  /** What a transceiver cannot take: the payload came from the client and is to be offered to another one. */
  handedBack = false;
  payloadOffset = 0;
  payloadLength = 0;

  readonly #cookies: TrunkCookies;
  #data: Uint8Array = NO_BYTES;
  #at = 0;
  #end = 0;

  constructor(cookies: TrunkCookies) {
    this.#cookies = cookies;
  }

  /** Checks the header; null when it is a trunk datagram from a peer that knows our secret. */
  open(data: Uint8Array, offset = 0, length: number = data.length - offset): TrunkError | null {
    this.#end = 0;
    this.#at = 0;
    this.malformed = false;
    if (length < TRUNK_HEADER_BYTES || offset + length > data.length) return 'trunk-malformed';
    if (data[offset] !== MAGIC_0 || data[offset + 1] !== MAGIC_1) return 'trunk-malformed';
    if (data[offset + 2] !== VERSION) return 'trunk-version';
    if (!this.#cookies.accepts(data, offset + 8)) return 'trunk-cookie';
    this.towardsClients = (data[offset + 3] & FLAG_TOWARDS_CLIENTS) !== 0;
    this.sequence =
      ((data[offset + 4] << 24) | (data[offset + 5] << 16) | (data[offset + 6] << 8) | data[offset + 7]) >>> 0;
    this.#data = data;
    this.#at = offset + TRUNK_HEADER_BYTES;
    this.#end = offset + length;
    return null;
  }

  /** Goes to the next entry. False at the end, and at the first bytes that are no entry: then `malformed` is set. */
  next(): boolean {
    const data = this.#data;
    const at = this.#at;
    if (at >= this.#end) return false;
    if (at + ENTRY_FIXED_BYTES > this.#end) return this.#fail();
    const family = data[at + 2];
    if (family !== 4 && family !== 6) return this.#fail();
    const flags = data[at + 3];
    // What another flag brings along, and where the payload is then, is not known.
    if ((flags & ~KNOWN_ENTRY_FLAGS) !== 0) return this.#fail();
    this.payloadLength = (data[at] << 8) | data[at + 1];
    this.family = family;
    this.verified = (flags & ENTRY_FLAG_VERIFIED) !== 0;
    this.hasVia = (flags & ENTRY_FLAG_VIA) !== 0;
    this.port = (data[at + 4] << 8) | data[at + 5];
    this.ipOffset = at + ENTRY_FIXED_BYTES;
    this.viaOffset = this.ipOffset + (family === 4 ? 4 : 16);
    this.hasTarget = (flags & ENTRY_FLAG_TARGET) !== 0;
    this.control = (flags & ENTRY_FLAG_CONTROL) !== 0;
    this.handedBack = (flags & ENTRY_FLAG_HANDED_BACK) !== 0;
    this.targetOffset = this.viaOffset + (this.hasVia ? TRUNK_VIA_BYTES : 0);
    this.payloadOffset = this.targetOffset + (this.hasTarget ? TRUNK_TARGET_BYTES : 0);
    const end = this.payloadOffset + this.payloadLength;
    if (end > this.#end) return this.#fail();
    this.#at = end;
    return true;
  }

  #fail(): false {
    this.malformed = true;
    this.#at = this.#end;
    return false;
  }
}

/** Within one buffer nothing is allocated; `set` needs a view, which still costs a quarter of a loop at 160 bytes. */
function copyBytes(from: Uint8Array, fromOffset: number, length: number, into: Uint8Array, intoOffset: number): void {
  if (from === into) into.copyWithin(intoOffset, fromOffset, fromOffset + length);
  else if (length === from.length) into.set(from, intoOffset);
  else into.set(from.subarray(fromOffset, fromOffset + length), intoOffset);
}

function equalBytes(expected: Uint8Array, data: Uint8Array, offset: number): boolean {
  let difference = 0;
  for (let i = 0; i < expected.length; i++) difference |= expected[i] ^ data[offset + i];
  return difference === 0;
}
