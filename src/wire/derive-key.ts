import { createHash, hkdfSync } from 'node:crypto';

/** HKDF-SHA256 (RFC 5869). An empty salt means as many zero bytes as the hash has. */
export function hkdfSha256(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', ikm, salt, info, length));
}

/**
 * Key material of a deployment: HKDF-SHA256 of its secret with an empty salt. `info` names the use and its version,
 * so that no two uses share a key.
 * @throws {RangeError} for an empty secret.
 */
export function deriveKey(secret: string, info: string, length: number): Uint8Array {
  if (secret === '') throw new RangeError('The secret is empty: set EARSHOT_SECRET to a long random text');
  return hkdfSha256(Buffer.from(secret), Buffer.alloc(0), Buffer.from(info), length);
}

/** Four bits that tell which secret sealed a token: the low 4 bits of the first byte of SHA-256(secret). */
export function secretKeyId(secret: string): number {
  return createHash('sha256').update(secret).digest()[0] & 0x0f;
}
