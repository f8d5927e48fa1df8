import { type Cipher, type Decipher, createCipheriv, createDecipheriv } from 'node:crypto';
import { deriveKey, secretKeyId } from './derive-key.ts';
import { readUint32 } from './integers.ts';
import { LOCATOR_BYTES, type Locator, readLocator, writeLocator } from './locator.ts';

/**
 * The routing token, version 1: the server's ICE ufrag, which tells a relay who owns the call.
 *
 *    0               1 … 16
 *   +-------+-------+----------------------------------------------+
 *   |ver = 1|key id |  AES-128-ECB, one block, of:                 |
 *   +-------+-------+----------------------------------------------+
 *                     0..3    zero: the check
 *                     4..5    cluster id, big-endian
 *                     6       locator kind
 *                     7..12   locator                          kind 2:  7..10   time of issue, Unix seconds
 *                     13..15  call nonce, big-endian                    11..15  random
 *
 * 17 bytes, written as 23 characters of unpadded standard base64, the alphabet of ICE (RFC 8839, section 5.4).
 *
 * A token of kind 2 leads to no transceiver: it is the beginning of an unbound ticket, and more characters follow it in
 * the ufrag, which only a transceiver reads. The others are a whole ufrag.
 */
export interface RoutingTokenFields {
  /** 0…65535 */
  readonly cluster: number;
  readonly locator: Locator;
  /** 0…2²⁴-1, unique among the live calls of one transceiver worker. */
  readonly nonce: number;
}

/** What the token at the beginning of an unbound ticket says. */
export interface TicketTokenFields {
  /** 0…65535 */
  readonly cluster: number;
  /** Unix seconds. */
  readonly issuedAt: number;
}

/** What `decodeUfrag` writes into: made once, filled per token. */
export class RoutingToken {
  /** The 17 bytes as they came. */
  readonly bytes = new Uint8Array(TOKEN_BYTES);
  cluster = 0;
  /** Those of {@link Locator}, or 2 for an unbound ticket. */
  locatorKind: 0 | 1 | 2 = 0;
  /** Six bytes, see {@link Locator}; of kind 0 and 1. */
  readonly locatorBytes = new Uint8Array(LOCATOR_BYTES);
  /** Of kind 0 and 1. */
  nonce = 0;
  /** When the ticket was issued, Unix seconds; of kind 2. */
  issuedAt = 0;
}

const TOKEN_BYTES = 17;
/** Characters of a routing token: a whole ufrag, or the beginning of a ticket. */
export const UFRAG_LENGTH = 23;
/** Characters of any ufrag at most (RFC 8839, section 5.4), a ticket's too. */
export const MAX_UFRAG_LENGTH = 256;
const KIND_TICKET = 2;

const INFO = 'earshot route v1';
const VERSION = 1;
const BLOCK_BYTES = 16;

/** Makes and reads routing tokens: signs with the current secret, accepts the previous one during a rotation. */
export class RoutingKeys {
  readonly #keys: readonly RouteKey[];
  readonly #token = new Uint8Array(TOKEN_BYTES);
  readonly #sealed = this.#token.subarray(1);

  constructor(secret: string, previous?: string) {
    this.#keys = previous === undefined ? [new RouteKey(secret)] : [new RouteKey(secret), new RouteKey(previous)];
  }

  /** The ufrag that leads to `locator`. @throws {RangeError} for fields out of range: a caller's mistake. */
  encodeUfrag(fields: RoutingTokenFields): string {
    const { cluster, locator, nonce } = fields;
    requireRange('Cluster id', cluster, 0xffff);
    requireRange('Call nonce', nonce, 0xffffff);
    const block = newBlock(cluster, locator.kind);
    writeLocator(block, 7, locator);
    block.writeUIntBE(nonce, 13, 3);
    return this.#seal(block);
  }

  /**
   * The first 23 characters of an unbound ticket; `random` fills its argument, by which tickets of one second differ.
   * @throws {RangeError} for fields out of range.
   */
  encodeTicketToken({ cluster, issuedAt }: TicketTokenFields, random: (bytes: Uint8Array) => void): string {
    requireRange('Cluster id', cluster, 0xffff);
    requireRange('Time of issue', issuedAt, 0xffff_ffff);
    const block = newBlock(cluster, KIND_TICKET);
    block.writeUInt32BE(issuedAt, 7);
    random(block.subarray(11));
    return this.#seal(block);
  }

  /**
   * Reads the ufrag at `offset`. False, with `out` in no defined state, when it is no token of this deployment.
   * Allocates nothing but the 16 bytes that node:crypto returns, and those only when version and key id fit. Of a
   * ticket it reads the first 23 characters; what follows may be anything.
   */
  decodeUfrag(bytes: Uint8Array, offset: number, length: number, out: RoutingToken): boolean {
    if (length < UFRAG_LENGTH || length > MAX_UFRAG_LENGTH || !decodeBase64(bytes, offset, this.#token)) return false;
    const first = this.#token[0];
    if (first >> 4 !== VERSION) return false;
    const id = first & 0x0f;
    // Both secrets may have the same four-bit id: try each that fits.
    for (let i = 0; i < this.#keys.length; i++) {
      const key = this.#keys[i];
      if (key.id !== id || !readBlock(key.open(this.#sealed), out)) continue;
      if ((out.locatorKind === KIND_TICKET) !== length > UFRAG_LENGTH) continue;
      out.bytes.set(this.#token);
      return true;
    }
    return false;
  }

  /** {@link decodeUfrag} for text; null when it is no token of this deployment, and no ticket. */
  decodeUfragText(ufrag: string): RoutingTokenFields | TicketTokenFields | null {
    const out = new RoutingToken();
    const bytes = Buffer.from(ufrag, 'latin1');
    if (!this.decodeUfrag(bytes, 0, bytes.length, out)) return null;
    const { cluster, locatorKind, locatorBytes, nonce, issuedAt } = out;
    return locatorKind === KIND_TICKET ? { cluster, issuedAt } : { cluster, locator: readLocator(locatorKind, locatorBytes, 0), nonce };
  }

  #seal(block: Uint8Array): string {
    const key = this.#keys[0];
    const token = Buffer.alloc(TOKEN_BYTES);
    token[0] = (VERSION << 4) | key.id;
    token.set(key.seal(block), 1);
    return token.toString('base64').slice(0, UFRAG_LENGTH);
  }
}

/** One secret's block cipher. ECB without padding has no state between blocks, so one cipher object serves for ever. */
class RouteKey {
  readonly id: number;
  readonly #cipher: Cipher;
  readonly #decipher: Decipher;

  constructor(secret: string) {
    this.id = secretKeyId(secret);
    const key = deriveKey(secret, INFO, 16);
    this.#cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
    this.#decipher = createDecipheriv('aes-128-ecb', key, null).setAutoPadding(false);
  }

  seal(block: Uint8Array): Uint8Array {
    return this.#cipher.update(block);
  }

  open(block: Uint8Array): Uint8Array {
    return this.#decipher.update(block);
  }
}

function newBlock(cluster: number, kind: 0 | 1 | 2): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.writeUInt16BE(cluster, 4);
  block[6] = kind;
  return block;
}

/** False for a block of another key. */
function readBlock(block: Uint8Array, out: RoutingToken): boolean {
  if ((block[0] | block[1] | block[2] | block[3]) !== 0 || block[6] > KIND_TICKET) return false;
  out.cluster = (block[4] << 8) | block[5];
  out.locatorKind = block[6] as 0 | 1 | 2;
  if (out.locatorKind === KIND_TICKET) {
    out.issuedAt = readUint32(block, 7);
    return true;
  }
  for (let i = 0; i < LOCATOR_BYTES; i++) out.locatorBytes[i] = block[7 + i];
  out.nonce = (block[13] << 16) | (block[14] << 8) | block[15];
  return true;
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BASE64_VALUES = Int8Array.from({ length: 256 }, (_, code) => BASE64.indexOf(String.fromCharCode(code)));

/** 23 characters to 17 bytes. The two bits left over must be zero, so that a token has one spelling. */
function decodeBase64(text: Uint8Array, offset: number, out: Uint8Array): boolean {
  let bits = 0;
  let pending = 0;
  let at = 0;
  for (let i = 0; i < UFRAG_LENGTH; i++) {
    const value = BASE64_VALUES[text[offset + i]];
    if (!(value >= 0)) return false;
    bits = ((bits << 6) | value) & 0x3fff;
    pending += 6;
    if (pending >= 8) {
      pending -= 8;
      out[at++] = bits >> pending;
    }
  }
  return (bits & 0x03) === 0;
}

function requireRange(name: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) throw new RangeError(`${name} must be 0 to ${max}: ${value}`);
}
