import { hkdfSync, randomFillSync } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { sessionConfigSchema, type SessionConfig } from '../conversation/session-schema.ts';
import { openAead, sealAead } from '../wire/aead.ts';
import { CallError } from './call-service.ts';

/** What a client secret stands for. */
export interface ClientSecretClaims {
  readonly session: SessionConfig;
  /** Unix time in seconds. */
  readonly expiresAt: number;
}

/** Longer values would meet the header limits of common proxies (8 KiB for all headers of a request). */
const MAX_VALUE_LENGTH = 6 * 1024;
/** Of the JSON inside. A request body that becomes a secret is smaller; this stops a tampered length, nothing else. */
const MAX_INFLATED_LENGTH = 256 * 1024;
const PREFIX = 'ek_';
const VERSION = Uint8Array.of(1);

/**
 * Makes and reads client secrets: the short-lived `ek_…` keys that a server gives its browsers.
 *
 *   value  = "ek_" base64url( version u8 = 1 | iv 12 | ciphertext | tag 16 )
 *   plain  = deflate( JSON { s: session, e: expiry, Unix seconds } )
 *   cipher = AES-256-GCM, AAD = version, key = HKDF-SHA256(deployment secret, info `earshot client secret v1`)
 *
 * The key carries its own session and expiry, so nothing is stored: any instance of the deployment honours a key that
 * another one issued, restarts lose none, and there is no table to fill up or to replicate. It is sealed rather than
 * signed because instructions to an agent are not the caller's to read. The price: a single key cannot be revoked, so
 * lifetimes are short, and rotating the deployment secret revokes all of them.
 */
export class ClientSecrets {
  readonly #sealing: Uint8Array;
  readonly #opening: readonly Uint8Array[];

  /** `previous` is still accepted, never used for new keys: that is how a secret rotates. */
  constructor(secret: string, previous?: string) {
    this.#sealing = deriveKey(secret);
    this.#opening = previous === undefined ? [this.#sealing] : [this.#sealing, deriveKey(previous)];
  }

  /** @throws {CallError} 400 when the session does not fit. */
  seal({ session, expiresAt }: ClientSecretClaims): string {
    const plain = deflateRawSync(JSON.stringify({ s: session, e: expiresAt }));
    const sealed = sealAead(this.#sealing, VERSION, plain, randomFillSync);
    const value = PREFIX + Buffer.concat([VERSION, sealed]).toString('base64url');
    if (value.length > MAX_VALUE_LENGTH) {
      throw new CallError(
        400,
        'session_too_large',
        `The session configuration is too large for a client secret: it makes ${value.length} characters and ` +
          `${MAX_VALUE_LENGTH} are allowed. Shorten the instructions, or let the agent add them.`,
        { param: 'session' },
      );
    }
    return value;
  }

  /** The claims of an authentic value, expired or not, and null for anything else. Never throws. */
  open(value: string): ClientSecretClaims | null {
    if (!value.startsWith(PREFIX) || value.length > MAX_VALUE_LENGTH) return null;
    const text = value.slice(PREFIX.length);
    const sealed = Buffer.from(text, 'base64url');
    // Node's decoder skips what is no base64url; a secret has one spelling only.
    if (sealed.toString('base64url') !== text) return null;
    if (sealed[0] !== VERSION[0]) return null;
    for (const key of this.#opening) {
      const plain = openAead(key, VERSION, sealed.subarray(VERSION.length));
      if (plain) return readClaims(plain);
    }
    return null;
  }
}

function deriveKey(secret: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, '', 'earshot client secret v1', 32));
}

function readClaims(plain: Buffer): ClientSecretClaims {
  const json = inflateRawSync(plain, { maxOutputLength: MAX_INFLATED_LENGTH }).toString();
  const { s, e } = JSON.parse(json) as { s: unknown; e: number };
  return { session: sessionConfigSchema.parse(s), expiresAt: e };
}
