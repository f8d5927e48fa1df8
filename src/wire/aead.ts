import { createCipheriv, createDecipheriv } from 'node:crypto';

/**
 * AES-GCM (RFC 5116, sections 5.1 and 5.2), with the nonce in front: nonce 12 | cipher text | tag 16. The key's length, 16
 * or 32 bytes, says which. `bound` is authenticated, and not in what is sealed.
 */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** What sealing adds. */
export const SEALED_OVERHEAD = NONCE_BYTES + TAG_BYTES;

/** @param random fills its argument with random bytes */
export function sealAead(key: Uint8Array, bound: Uint8Array, plain: Uint8Array, random: (bytes: Uint8Array) => void): Buffer {
  const nonce = new Uint8Array(NONCE_BYTES);
  random(nonce);
  const cipher = createCipheriv(algorithm(key), key, nonce).setAAD(bound);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** Null for what was not sealed under this key and with this bound. Never throws. */
export function openAead(key: Uint8Array, bound: Uint8Array, sealed: Uint8Array): Buffer | null {
  if (sealed.length < SEALED_OVERHEAD) return null;
  const decipher = createDecipheriv(algorithm(key), key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(bound).setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return null; // final() throws on a wrong tag: made under another secret, or tampered with.
  }
}

function algorithm(key: Uint8Array): 'aes-128-gcm' | 'aes-256-gcm' {
  return key.length === 16 ? 'aes-128-gcm' : 'aes-256-gcm';
}
