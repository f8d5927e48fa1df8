/**
 * The certificate of this side: self-signed, because in WebRTC it is the fingerprint in the SDP that is trusted
 * (RFC 8827, section 6.5). So small a certificate is written down here as it is (RFC 5280, section 4.1):
 *
 *   Certificate { tbsCertificate { [0] version 3, serial, algorithm, issuer, validity, subject, subjectPublicKeyInfo },
 *                 signatureAlgorithm, signatureValue }
 */
import { generateKeyPair, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
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
    return new DtlsCertificate(selfSign(privateKey, publicKey), privateKey);
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

function selfSign(privateKey: KeyObject, publicKey: KeyObject): Uint8Array {
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
    der(tag.integer, serialNumber()),
    algorithm,
    name,
    validity,
    name,
    publicKey.export({ format: 'der', type: 'spki' }),
  );
  const signature = sign('sha256', certificate, privateKey);
  return der(tag.sequence, certificate, algorithm, der(tag.bitString, Uint8Array.of(0), signature));
}

/** A positive integer of 64 bits without leading zeros. */
function serialNumber(): Uint8Array {
  const bytes = randomBytes(8);
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
