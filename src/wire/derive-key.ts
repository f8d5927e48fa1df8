import { createHash, hkdfSync } from 'node:crypto';

/**
 * Key material of a deployment: HKDF-SHA256 (RFC 5869) of its secret with an empty salt. `info` names the use and its
 * version, so that no two uses share a key.
 * @throws {RangeError} for an empty secret.
 */
export function deriveKey(secret: string, info: string, length: number): Uint8Array {
  if (secret === '') throw new RangeError('The secret is empty: set EARSHOT_SECRET to a long random text');
  return new Uint8Array(hkdfSync('sha256', secret, '', info, length));
}

/** Four bits that tell which secret sealed a token: the low 4 bits of the first byte of SHA-256(secret). */
export function secretKeyId(secret: string): number {
  return createHash('sha256').update(secret).digest()[0] & 0x0f;
}
