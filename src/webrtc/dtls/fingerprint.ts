import { createHash, timingSafeEqual } from 'node:crypto';

/** Hash functions of certificate fingerprints, strongest first. SHA-1 and MD5 are not accepted. */
export const fingerprintAlgorithms = ['sha-512', 'sha-384', 'sha-256'] as const;

export type FingerprintAlgorithm = (typeof fingerprintAlgorithms)[number];

/** A certificate fingerprint (RFC 8122, section 5). */
export interface Fingerprint {
  readonly algorithm: FingerprintAlgorithm;
  readonly value: Uint8Array;
}

/** The fingerprint of a certificate in DER. */
export function fingerprintOf(der: Uint8Array, algorithm: FingerprintAlgorithm): Fingerprint {
  return { algorithm, value: createHash(algorithm.replace('-', '')).update(der).digest() };
}

/** The value of `a=fingerprint`: `sha-256 4A:AD:…`. */
export function formatFingerprint(fingerprint: Fingerprint): string {
  const octets = Array.from(fingerprint.value, (octet) => octet.toString(16).padStart(2, '0').toUpperCase());
  return `${fingerprint.algorithm} ${octets.join(':')}`;
}

/** Reads the value of `a=fingerprint`; null when malformed, of the wrong length, or of an algorithm not accepted. */
export function parseFingerprint(text: string): Fingerprint | null {
  const match = /^(\S+) +([0-9a-f]{2}(?::[0-9a-f]{2})*)$/i.exec(text.trim());
  const algorithm = match && fingerprintAlgorithms.find((name) => name === match[1].toLowerCase());
  if (!match || !algorithm) return null;
  const value = Buffer.from(match[2].replaceAll(':', ''), 'hex');
  return value.length * 8 === Number(algorithm.slice(4)) ? { algorithm, value } : null;
}

/**
 * True when the certificate is one of those announced. Of several algorithms the strongest counts alone, so that
 * nobody can fall back on a weaker one (RFC 8122, section 5).
 */
export function matchesFingerprint(der: Uint8Array, announced: readonly Fingerprint[]): boolean {
  const algorithm = fingerprintAlgorithms.find((name) => announced.some((candidate) => candidate.algorithm === name));
  if (!algorithm) return false;
  const { value } = fingerprintOf(der, algorithm);
  return announced.some(
    (candidate) =>
      candidate.algorithm === algorithm &&
      candidate.value.length === value.length &&
      timingSafeEqual(candidate.value, value),
  );
}
