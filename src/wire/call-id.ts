import { createCipheriv, createDecipheriv } from 'node:crypto';
import { deriveKey } from './derive-key.ts';
import { LOCATOR_BYTES, type Locator, readLocator, writeLocator } from './locator.ts';

/**
 * The call id: `rtc_` and 43 characters of unpadded base64url. It is the name of a call in URLs, tells the deployment
 * (and nobody else) which transceiver worker holds the call, and is a capability: who knows it may end the call.
 *
 *   AES-128-CBC, IV zero, two blocks, under HKDF-SHA256(secret, salt empty, info `earshot call v1`, 16 bytes), of:
 *     0..11   random: 96 bits, also what makes the second block's cipher text unlike any other
 *     12..15  zero: check of the first block
 *     16..17  cluster id, big-endian
 *     18      locator kind
 *     19..24  locator
 *     25..27  call nonce, big-endian
 *     28..31  zero: check of the second block
 *
 * The 64 check bits turn down guesses; the worker compares the whole text with that of its live calls besides.
 */
export interface CallIdFields {
  readonly cluster: number;
  /** The trunk address (or node id) of the transceiver worker that owns the call. */
  readonly locator: Locator;
  /** The nonce of the call's routing token. */
  readonly nonce: number;
}

const INFO = 'earshot call v1';
const PREFIX = 'rtc_';
const ID_PATTERN = /^rtc_[A-Za-z0-9_-]{43}$/;
const PLAIN_BYTES = 32;
const RANDOM_BYTES = 12;
const IV = new Uint8Array(16);

/** Makes and reads call ids: seals with the current secret, accepts the previous one during a rotation. */
export class CallIdKeys {
  readonly #keys: readonly Uint8Array[];

  constructor(secret: string, previous?: string) {
    this.#keys = [secret, previous].filter((text) => text !== undefined).map((text) => deriveKey(text, INFO, 16));
  }

  /** A new id; `random` fills its argument with random bytes. @throws {RangeError} for a locator that does not fit. */
  encodeCallId(fields: CallIdFields, random: (bytes: Uint8Array) => void): string {
    const plain = Buffer.alloc(PLAIN_BYTES);
    random(plain.subarray(0, RANDOM_BYTES));
    plain.writeUInt16BE(fields.cluster, 16);
    plain[18] = fields.locator.kind;
    writeLocator(plain, 19, fields.locator);
    plain.writeUIntBE(fields.nonce, 25, 3);
    const cipher = createCipheriv('aes-128-cbc', this.#keys[0], IV).setAutoPadding(false);
    return PREFIX + cipher.update(plain).toString('base64url');
  }

  /** Null when the text is no call id of this deployment. */
  decodeCallId(id: string): CallIdFields | null {
    if (!ID_PATTERN.test(id)) return null;
    const sealed = Buffer.from(id.slice(PREFIX.length), 'base64url');
    // The last character holds two unused bits: refuse the other spellings, ids are compared as text.
    if (sealed.toString('base64url') !== id.slice(PREFIX.length)) return null;
    for (const key of this.#keys) {
      const plain = createDecipheriv('aes-128-cbc', key, IV).setAutoPadding(false).update(sealed);
      if (plain.readUInt32BE(12) !== 0 || plain.readUInt32BE(28) !== 0 || plain[18] > 1) continue;
      const locator = readLocator(plain[18] as 0 | 1, new Uint8Array(plain.subarray(19, 19 + LOCATOR_BYTES)), 0);
      return { cluster: plain.readUInt16BE(16), locator, nonce: plain.readUIntBE(25, 3) };
    }
    return null;
  }
}
