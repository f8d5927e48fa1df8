/** Ephemeral Diffie-Hellman over X25519 (RFC 7748) and P-256 (RFC 8422, section 5.10). */
import { createECDH, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { DiffieHellmanGroup, NamedGroup } from './registry.ts';

/** One ephemeral key pair; used for one handshake. */
export interface KeyShare<Group extends NamedGroup = DiffieHellmanGroup> {
  readonly group: Group;
  /** 32 bytes (X25519), an uncompressed point of 65 bytes (P-256), or 1216 bytes (X25519MLKEM768). */
  readonly publicKey: Uint8Array;
  /** The shared secret, or null when the peer's key is not a valid one of this group. */
  agree(peerPublicKey: Uint8Array): Uint8Array | null;
}

/** A new key pair; costs about 0.1 ms. */
export function generateKeyShare(group: 'x25519'): KeyShare<'x25519'>;
export function generateKeyShare(group: DiffieHellmanGroup): KeyShare;
export function generateKeyShare(group: DiffieHellmanGroup): KeyShare {
  return group === 'x25519' ? generateX25519() : generateP256();
}

/** The u-coordinate 9 (RFC 7748, section 4.1). */
const x25519BasePoint = importX25519(Uint8Array.of(9, ...new Uint8Array(31)));

function generateX25519(): KeyShare<'x25519'> {
  const { privateKey } = generateKeyPairSync('x25519');
  return {
    group: 'x25519',
    // Computed (RFC 7748, section 6.1), because node can hang for ever in exporting a key that it has generated: the export
    // holds the key's mutex while it allocates, and a garbage collection that this starts frees the generating job, which
    // locks the same mutex.
    publicKey: diffieHellman({ privateKey, publicKey: x25519BasePoint }),
    agree(peer) {
      if (peer.length !== 32) return null;
      // Throws for a key of low order, whose secret would be all zero (RFC 8422, section 5.11).
      return secretOrNull(() => diffieHellman({ privateKey, publicKey: importX25519(peer) }));
    },
  };
}

/** Through JWK, because going through DER costs a hundred times as much. */
function importX25519(bytes: Uint8Array): KeyObject {
  const x = Buffer.from(bytes).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
}

function generateP256(): KeyShare<'secp256r1'> {
  const pair = createECDH('prime256v1');
  return {
    group: 'secp256r1',
    publicKey: pair.generateKeys(),
    agree(peer) {
      if (peer.length !== 65 || peer[0] !== 4) return null;
      // Throws for a point that is not on the curve.
      return secretOrNull(() => pair.computeSecret(peer));
    },
  };
}

function secretOrNull(compute: () => Uint8Array): Uint8Array | null {
  try {
    return compute();
  } catch {
    return null;
  }
}
