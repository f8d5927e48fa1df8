import { createHmac, timingSafeEqual } from 'node:crypto';
import { formatAddress, parseAddress, type TransportAddress } from './address.ts';
import { deriveKey } from './derive-key.ts';

/** The HTTP header in which a gateway tells a transceiver the public relay addresses to write into the answer. */
export const INGRESS_HEADER = 'earshot-ingress';

export type IngressHeaderFault = 'malformed' | 'wrong-proof' | 'expired';

const INFO = 'earshot gateway v1';
/** At most, and ten seconds less at least: enough for a request under way and for clocks that differ, ms. */
const LIFETIME_MS = 60_000;
/** Headers of the same addresses are the same for so long, ms: a proof takes a tenth of the time that a gateway adds. */
const STEP_MS = 10_000;
/** Headers that are kept, for as many lists of addresses. */
const MAX_KEPT = 1024;
/** More candidates only cost the caller checks. */
const MAX_ADDRESSES = 8;
const PATTERN = /^([^;]{1,512}); *expires=(\d{1,12}); *proof=([A-Za-z0-9_-]{43})$/;

/**
 * Makes and reads the header
 *
 *   Earshot-Ingress: 203.0.113.7:3478, [2001:db8::7]:3478; expires=1767225600; proof=<43 characters of base64url>
 *
 *   proof = HMAC-SHA256( HKDF-SHA256(secret, salt empty, info `earshot gateway v1`, 32 bytes), all before `; proof=` )
 *
 * with the best address first and the expiry in Unix seconds. Without a proof anybody who may place a call could have
 * the answer name addresses of his own.
 */
export class IngressHeaders {
  readonly #keys: readonly Uint8Array[];
  /** By what is signed. */
  readonly #made = new Map<string, string>();

  /** `previous` is still accepted, never used for new headers. */
  constructor(secret: string, previous?: string) {
    this.#keys = [secret, previous].filter((text) => text !== undefined).map((text) => deriveKey(text, INFO, 32));
  }

  /** @param unixMs the time now, as of `Date.now()` */
  format(addresses: readonly TransportAddress[], unixMs: number): string {
    const signed = `${addresses.map(formatAddress).join(', ')}; expires=${(Math.floor(unixMs / STEP_MS) * STEP_MS + LIFETIME_MS) / 1000}`;
    let header = this.#made.get(signed);
    if (header === undefined) {
      header = `${signed}; proof=${proofOf(signed, this.#keys[0]).toString('base64url')}`;
      if (this.#made.size === MAX_KEPT) this.#made.clear();
      this.#made.set(signed, header);
    }
    return header;
  }

  /** The addresses, best first and at least one; or why the header cannot be trusted. Never throws. */
  parse(header: string, unixMs: number): readonly TransportAddress[] | IngressHeaderFault {
    const [, list, expires, proof] = PATTERN.exec(header) ?? [];
    if (list === undefined) return 'malformed';
    const signed = header.slice(0, header.lastIndexOf('; '));
    const given = Buffer.from(proof, 'base64url');
    if (!this.#keys.some((key) => timingSafeEqual(given, proofOf(signed, key)))) return 'wrong-proof';
    if (Number(expires) * 1000 < unixMs) return 'expired';
    const addresses = list.split(', ').map(readAddress);
    const isComplete = addresses.length <= MAX_ADDRESSES && addresses.every((address) => address !== null);
    return isComplete ? addresses : 'malformed';
  }
}

function proofOf(signed: string, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(signed).digest();
}

function readAddress(text: string): TransportAddress | null {
  try {
    return parseAddress(text);
  } catch {
    return null;
  }
}
