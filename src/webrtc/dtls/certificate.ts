/**
 * The certificate of this side: self-signed, because in WebRTC it is the fingerprint in the SDP that is trusted
 * (RFC 8827, section 6.5). So small a certificate is written down here as it is (RFC 5280, section 4.1):
 *
 *   Certificate { tbsCertificate { [0] version 3, serial, algorithm, issuer, validity, subject, subjectPublicKeyInfo },
 *                 signatureAlgorithm, signatureValue }
 */
import { createPrivateKey, createPublicKey, generateKeyPair, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { p256 } from '@noble/curves/nist.js';
import { fingerprintOf } from './fingerprint.ts';
import type { Fingerprint, FingerprintAlgorithm } from './fingerprint.ts';

/** An ECDSA P-256 certificate with its private key. May serve any number of endpoints. */
export class DtlsCertificate {
  readonly der: Uint8Array;
  readonly privateKey: KeyObject;
  readonly #fingerprints = new Map<FingerprintAlgorithm, Fingerprint>();

  constructor(der: Uint8Array, privateKey: KeyObject) {
    this.der = der;
    this.privateKey = privateKey;
  }

  static async generate(): Promise<DtlsCertificate> {
    const { privateKey, publicKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
    return new DtlsCertificate(selfSign(publicKey, randomBytes(8), (body) => sign('sha256', body, privateKey)), privateKey);
  }

  /**
   * The one certificate that follows from 48 secret bytes (key: FIPS 186-5, appendix A.2.1; signature: RFC 6979), for
   * several machines that have to show the same.
   */
  static derive(seed: Uint8Array): DtlsCertificate {
    const scalar = p256.utils.randomSecretKey(seed);
    const point = p256.getPublicKey(scalar, false);
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
    const jwk = { kty: 'EC', crv: 'P-256', d: text(scalar), x: text(point.subarray(1, 33)), y: text(point.subarray(33)) };
    const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
    const signature = (body: Uint8Array): Uint8Array => p256.sign(body, scalar, { format: 'der' });
    return new DtlsCertificate(selfSign(createPublicKey(privateKey), point.subarray(1, 9), signature), privateKey);
  }

  fingerprint(algorithm: FingerprintAlgorithm): Fingerprint {
    const known = this.#fingerprints.get(algorithm) ?? fingerprintOf(this.der, algorithm);
    this.#fingerprints.set(algorithm, known);
    return known;
  }
}

const tag = {
  integer: 0x02,
  bitString: 0x03,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  explicit0: 0xa0,
} as const;

/** 1.2.840.10045.4.3.2 */
const ecdsaWithSha256 = Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02);
/** 2.5.4.3 */
const commonName = Uint8Array.of(0x55, 0x04, 0x03);

/** `serial`: eight bytes, unlike those of any other certificate with the same name. */
function selfSign(publicKey: KeyObject, serial: Uint8Array, signatureOf: (body: Uint8Array) => Uint8Array): Uint8Array {
  const algorithm = der(tag.sequence, der(tag.objectIdentifier, ecdsaWithSha256));
  const name = der(
    tag.sequence,
    der(tag.set, der(tag.sequence, der(tag.objectIdentifier, commonName), der(tag.utf8String, ascii('WebRTC')))),
  );
  // No expiry (RFC 5280, section 4.1.2.5): no peer checks it, and a call must not depend on two clocks.
  const validity = der(
    tag.sequence,
    der(tag.utcTime, ascii('200101000000Z')),
    der(tag.generalizedTime, ascii('99991231235959Z')),
  );
  const certificate = der(
    tag.sequence,
    der(tag.explicit0, der(tag.integer, Uint8Array.of(2))),
    der(tag.integer, serialNumber(serial)),
    algorithm,
    name,
    validity,
    name,
    publicKey.export({ format: 'der', type: 'spki' }),
  );
  return der(tag.sequence, certificate, algorithm, der(tag.bitString, Uint8Array.of(0), signatureOf(certificate)));
}

/** A positive integer of 64 bits without leading zeros. */
function serialNumber(random: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(random);
  bytes[0] = (bytes[0] & 0x7f) | 0x40;
  return bytes;
}

function der(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const { length } = content;
  const header = length < 0x80 ? [type, length] : length < 0x100 ? [type, 0x81, length] : [type, 0x82, length >>> 8, length & 0xff];
  return Buffer.concat([Uint8Array.from(header), content]);
}

function ascii(text: string): Uint8Array {
  return Buffer.from(text, 'ascii');
}
