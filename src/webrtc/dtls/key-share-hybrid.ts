/**
 * X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem), which holds as long as one of its halves does:
 *
 *   client's share   ML-KEM encapsulation key (1184) | X25519 key (32)
 *   server's share   ML-KEM ciphertext (1088)        | X25519 key (32)
 *   shared secret    of ML-KEM (32)                  | of X25519 (32)
 *
 * node:crypto of Node 20 has no ML-KEM.
 */
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import { generateKeyShare } from './key-share.ts';
import type { KeyShare } from './key-share.ts';
import type { NamedGroup } from './registry.ts';

const encapsulationKeyLength = 1184;
const ciphertextLength = 1088;
const x25519Length = 32;

/** What a server answers to a client's share. */
export interface KeyAgreement {
  readonly publicKey: Uint8Array;
  readonly secret: Uint8Array;
}

/**
 * A server's answer to a client's share, null when that is not a valid one of `group`. `prepared` is our key pair made
 * ahead, which also is the X25519 half of the hybrid; the other half depends on the client's and cannot be made ahead.
 */
export function answerKeyShare(group: NamedGroup, share: Uint8Array, prepared: KeyShare): KeyAgreement | null {
  if (group === 'x25519mlkem768') return answerHybrid(share, prepared);
  const own = prepared.group === group ? prepared : generateKeyShare(group);
  const secret = own.agree(share);
  return secret && { publicKey: own.publicKey, secret };
}

/** A client's key pair for any group. */
export function generateAnyKeyShare(group: NamedGroup): KeyShare<NamedGroup> {
  return group === 'x25519mlkem768' ? generateHybrid() : generateKeyShare(group);
}

function answerHybrid(share: Uint8Array, prepared: KeyShare): KeyAgreement | null {
  if (share.length !== encapsulationKeyLength + x25519Length) return null;
  const own = prepared.group === 'x25519' ? prepared : generateKeyShare('x25519');
  const classic = own.agree(share.subarray(encapsulationKeyLength));
  if (!classic) return null;
  try {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(share.slice(0, encapsulationKeyLength));
    return { publicKey: Buffer.concat([cipherText, own.publicKey]), secret: Buffer.concat([sharedSecret, classic]) };
  } catch {
    // Not a valid encapsulation key (FIPS 203, section 7.2).
    return null;
  }
}

function generateHybrid(): KeyShare<'x25519mlkem768'> {
  const { publicKey, secretKey } = ml_kem768.keygen();
  const x25519 = generateKeyShare('x25519');
  return {
    group: 'x25519mlkem768',
    publicKey: Buffer.concat([publicKey, x25519.publicKey]),
    agree(peer) {
      if (peer.length !== ciphertextLength + x25519Length) return null;
      const classic = x25519.agree(peer.subarray(ciphertextLength));
      return classic && Buffer.concat([ml_kem768.decapsulate(peer.slice(0, ciphertextLength), secretKey), classic]);
    },
  };
}
