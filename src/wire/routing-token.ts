import { type Cipher, type Decipher, createCipheriv, createDecipheriv } from 'node:crypto';
import { deriveKey, secretKeyId } from './derive-key.ts';
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
 *                     7..12   locator
 *                     13..15  call nonce, big-endian
 *
 * 17 bytes, written as 23 characters of unpadded standard base64, the alphabet of ICE (RFC 8839, section 5.4).
 */
export interface RoutingTokenFields {
  /** 0…65535 */
  readonly cluster: number;
  readonly locator: Locator;
  /** 0…2²⁴-1, unique among the live calls of one transceiver worker. */
  readonly nonce: number;
}

/** What `decodeUfrag` writes into: made once, filled per token. */
export class RoutingToken {
  cluster = 0;
  locatorKind: 0 | 1 = 0;
  /** Six bytes, see {@link Locator}. */
  readonly locatorBytes = new Uint8Array(LOCATOR_BYTES);
  nonce = 0;

  /** The locator as an object, copied. */
  get locator(): Locator {
    return readLocator(this.locatorKind, this.locatorBytes, 0);
  }
}

/** Characters of a ufrag that is a routing token. */
export const UFRAG_LENGTH = 23;

const INFO = 'earshot route v1';
const VERSION = 1;
const TOKEN_BYTES = 17;
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
    const block = new Uint8Array(BLOCK_BYTES);
    block[4] = cluster >> 8;
    block[5] = cluster;
    block[6] = locator.kind;
    writeLocator(block, 7, locator);
    block[13] = nonce >> 16;
    block[14] = nonce >> 8;
    block[15] = nonce;
    const key = this.#keys[0];
    const token = Buffer.alloc(TOKEN_BYTES);
    token[0] = (VERSION << 4) | key.id;
    token.set(key.seal(block), 1);
    return token.toString('base64').slice(0, UFRAG_LENGTH);
  }

  /**
   * Reads the ufrag at `offset`. False, with `out` in no defined state, when it is no token of this deployment.
   * Allocates nothing but the 16 bytes that node:crypto returns, and those only when version and key id fit.
   */
  decodeUfrag(bytes: Uint8Array, offset: number, length: number, out: RoutingToken): boolean {
    const token = this.#token;
    if (length !== UFRAG_LENGTH || !decodeBase64(bytes, offset, token)) return false;
    if (token[0] >> 4 !== VERSION) return false;
    const id = token[0] & 0x0f;
    // Both secrets may have the same four-bit id: try each that fits.
    for (let i = 0; i < this.#keys.length; i++) {
      const key = this.#keys[i];
      if (key.id === id && readBlock(key.open(this.#sealed), out)) return true;
    }
    return false;
  }

  /** {@link decodeUfrag} for text; null when it is no token of this deployment. */
  decodeUfragText(ufrag: string): RoutingTokenFields | null {
    const out = new RoutingToken();
    const bytes = Buffer.from(ufrag, 'latin1');
    if (!this.decodeUfrag(bytes, 0, bytes.length, out)) return null;
    return { cluster: out.cluster, locator: out.locator, nonce: out.nonce };
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

function readBlock(block: Uint8Array, out: RoutingToken): boolean {
  if ((block[0] | block[1] | block[2] | block[3]) !== 0 || block[6] > 1) return false;
  out.cluster = (block[4] << 8) | block[5];
  out.locatorKind = block[6] as 0 | 1;
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
