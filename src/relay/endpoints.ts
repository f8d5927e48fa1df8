import type { TransportAddress } from '../wire/address.ts';
import { LOCATOR_BYTES, writeEndpoint4 } from '../wire/locator.ts';

/** A trunk address in six bytes, as the core compares them. */
export function endpointOf({ ip, port }: TransportAddress): Uint8Array {
  const endpoint = new Uint8Array(LOCATOR_BYTES);
  writeEndpoint4(endpoint, 0, ip, 0, port);
  return endpoint;
}

/** Six bytes as one number, which is exact. */
export function endpointKey(endpoint: Uint8Array, offset: number): number {
  const high = (endpoint[offset] << 16) | (endpoint[offset + 1] << 8) | endpoint[offset + 2];
  const low = (endpoint[offset + 3] << 16) | (endpoint[offset + 4] << 8) | endpoint[offset + 5];
  return high * 0x1000000 + low;
}

/**
 * Rendezvous hashing: of several peers the one whose `rendezvous(subject, its seed)` is greatest takes the subject. So
 * all who know the same peers choose the same one, and a peer that goes moves nothing but what it had.
 *
 * Both arguments are hashes of 32 bits; the result is one too, unsigned.
 */
export function rendezvous(subject: number, seed: number): number {
  // MurmurHash3's finaliser.
  let h = subject ^ seed;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** FNV-1a, or continued from `hash`. */
export function hashBytes(bytes: Uint8Array, offset: number, length: number, hash = 0x811c9dc5 | 0): number {
  let h = hash;
  for (let i = 0; i < length; i++) h = Math.imul(h ^ bytes[offset + i], 0x01000193);
  return h;
}
