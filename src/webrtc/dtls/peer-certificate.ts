import { X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { decodeCertificate13 } from './certificate-messages-13.ts';
import { HandshakeFault } from './fault.ts';
import { matchesFingerprint } from './fingerprint.ts';
import type { Fingerprint } from './fingerprint.ts';

/** RSA moduli in bits: below is weak, above costs more time than a peer may take of ours. */
const rsaModulus = { min: 2048, max: 8192 } as const;

/** The curves on which an ECDSA key may lie, by OpenSSL's names. */
const curves = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/** A certificate that the peer has announced. That the peer owns its private key is yet to be shown. */
export interface PeerCertificate {
  readonly der: Uint8Array;
  readonly publicKey: KeyObject;
}

/**
 * The peer's certificate, once it has been found to be an announced one. Chain, names and expiry mean nothing for a
 * self-signed certificate and are not looked at.
 * @throws {HandshakeFault} when there is none, when it is another one, and when its key cannot be used.
 */
export function trustPeerCertificate(chain: readonly Uint8Array[], announced: readonly Fingerprint[]): PeerCertificate {
  if (chain.length === 0) throw new HandshakeFault('peer-certificate-missing');
  if (!matchesFingerprint(chain[0], announced)) throw new HandshakeFault('fingerprint-mismatch');
  const publicKey = publicKeyOf(chain[0]);
  if (!publicKey || !isUsable(publicKey)) throw new HandshakeFault('peer-certificate-unusable');
  return { der: chain[0], publicKey };
}

/** The same of the body of a Certificate message of DTLS 1.3, client's or server's. @throws {HandshakeFault} */
export function readPeerCertificate13(body: Uint8Array, announced: readonly Fingerprint[]): PeerCertificate {
  const certificate = decodeCertificate13(body);
  if (!certificate) throw new HandshakeFault('malformed-message');
  // A context belongs to requests after the handshake, of which there are none.
  if (certificate.context.length > 0) throw new HandshakeFault('illegal-parameter');
  return trustPeerCertificate(certificate.chain, announced);
}

function publicKeyOf(der: Uint8Array): KeyObject | null {
  try {
    return new X509Certificate(der).publicKey;
  } catch {
    return null;
  }
}

function isUsable(key: KeyObject): boolean {
  const details = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'ec') return curves.has(details.namedCurve ?? '');
  const bits = details.modulusLength ?? 0;
  return key.asymmetricKeyType === 'rsa' && bits >= rsaModulus.min && bits <= rsaModulus.max;
}
