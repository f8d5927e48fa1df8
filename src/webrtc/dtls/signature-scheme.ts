/** Signature schemes (RFC 5246, section 7.4.1.4.1, with the numbers and names of RFC 8446, section 4.2.3). */
import { constants, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { DtlsVersion } from './registry.ts';

interface SignatureScheme {
  readonly id: number;
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  readonly kind: 'ecdsa' | 'rsa-pss' | 'rsa-pkcs1';
}

/** The curve that goes with a hash in DTLS 1.3, by OpenSSL's names. */
const curveOf = { sha256: 'prime256v1', sha384: 'secp384r1', sha512: 'secp521r1' } as const;

const schemes: readonly SignatureScheme[] = [
  { id: 0x0403, hash: 'sha256', kind: 'ecdsa' },
  { id: 0x0503, hash: 'sha384', kind: 'ecdsa' },
  { id: 0x0603, hash: 'sha512', kind: 'ecdsa' },
  { id: 0x0804, hash: 'sha256', kind: 'rsa-pss' },
  { id: 0x0805, hash: 'sha384', kind: 'rsa-pss' },
  { id: 0x0806, hash: 'sha512', kind: 'rsa-pss' },
  { id: 0x0401, hash: 'sha256', kind: 'rsa-pkcs1' },
  { id: 0x0501, hash: 'sha384', kind: 'rsa-pkcs1' },
  { id: 0x0601, hash: 'sha512', kind: 'rsa-pkcs1' },
];

/** Every scheme that is verified here, in order of preference: what a peer is told. None with SHA-1. */
export const verifiedSchemes: readonly number[] = schemes.map((scheme) => scheme.id);

/** The same for DTLS 1.3, which has no PKCS #1 1.5 in CertificateVerify (RFC 8446, section 4.2.3). */
export const verifiedSchemes13: readonly number[] = schemes.filter(({ kind }) => kind !== 'rsa-pkcs1').map((scheme) => scheme.id);

/** ecdsa_secp256r1_sha256, which every certificate of ours signs with. */
export const ownScheme = 0x0403;

/** `privateKey` is an ECDSA key on P-256. */
export function signWithOwnScheme(privateKey: KeyObject, content: Uint8Array): Uint8Array {
  return sign('sha256', content, privateKey);
}

/**
 * False also for a scheme that was not offered and for one that does not fit the key. In DTLS 1.3 an ECDSA scheme names
 * the curve of the key too.
 */
export function verifySignature(
  id: number,
  publicKey: KeyObject,
  content: Uint8Array,
  signature: Uint8Array,
  version: DtlsVersion,
): boolean {
  const scheme = schemes.find((candidate) => candidate.id === id);
  if (!scheme || publicKey.asymmetricKeyType !== (scheme.kind === 'ecdsa' ? 'ec' : 'rsa')) return false;
  if (version === '1.3') {
    if (scheme.kind === 'rsa-pkcs1') return false;
    if (scheme.kind === 'ecdsa' && publicKey.asymmetricKeyDetails?.namedCurve !== curveOf[scheme.hash]) return false;
  }
  try {
    if (scheme.kind === 'ecdsa') return verify(scheme.hash, content, publicKey, signature);
    const key =
      scheme.kind === 'rsa-pss'
        ? { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
        : { key: publicKey, padding: constants.RSA_PKCS1_PADDING };
    return verify(scheme.hash, content, key, signature);
  } catch {
    return false;
  }
}
