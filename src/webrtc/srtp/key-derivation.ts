import { createCipheriv } from 'node:crypto';
import { SRTP_PROFILES, type SrtpProfile } from '../srtp-profile.ts';

/** What the DTLS handshake exports for one direction (RFC 5764, section 4.2). */
export interface SrtpKeys {
  readonly profile: SrtpProfile;
  /** 16 bytes. */
  readonly masterKey: Uint8Array;
  /** 12 bytes for AEAD_AES_128_GCM, 14 for AES128_CM_HMAC_SHA1_80. */
  readonly masterSalt: Uint8Array;
}

export interface SessionKeys {
  readonly rtp: PacketKeys;
  readonly rtcp: PacketKeys;
}

export interface PacketKeys {
  readonly encryptionKey: Uint8Array;
  /** 20 bytes, or none for an AEAD profile. */
  readonly authenticationKey: Uint8Array;
  readonly salt: Uint8Array;
}

const AUTHENTICATION_KEY_LENGTH = 20;
const LABELS = {
  rtp: { encryption: 0, authentication: 1, salt: 2 },
  rtcp: { encryption: 3, authentication: 4, salt: 5 },
} as const;

/**
 * Session keys (RFC 3711, section 4.3, with a key derivation rate of 0; RFC 7714, section 11).
 * @throws {RangeError} when key or salt do not have the profile's length.
 */
export function deriveSessionKeys(keys: SrtpKeys): SessionKeys {
  const { keyLength, saltLength } = SRTP_PROFILES[keys.profile];
  if (keys.masterKey.length !== keyLength || keys.masterSalt.length !== saltLength) {
    throw new RangeError(`${keys.profile} wants a master key of ${keyLength} bytes and a salt of ${saltLength}`);
  }
  const authenticationKeyLength = keys.profile === 'AEAD_AES_128_GCM' ? 0 : AUTHENTICATION_KEY_LENGTH;
  const derive = (labels: (typeof LABELS)['rtp' | 'rtcp']): PacketKeys => ({
    encryptionKey: deriveKey(keys, labels.encryption, keyLength),
    authenticationKey: deriveKey(keys, labels.authentication, authenticationKeyLength),
    salt: deriveKey(keys, labels.salt, saltLength),
  });
  return { rtp: derive(LABELS.rtp), rtcp: derive(LABELS.rtcp) };
}

/** `length` bytes of AES-CM key stream under the master key; the counter starts at (label · 2^48 ⊕ salt) · 2^16. */
export function deriveKey(keys: Pick<SrtpKeys, 'masterKey' | 'masterSalt'>, label: number, length: number): Uint8Array {
  const counter = new Uint8Array(16);
  // A salt of 96 bits counts as one of 112 that ends in 16 zero bits (RFC 7714, section 11).
  counter.set(keys.masterSalt);
  counter[7] ^= label;
  return new Uint8Array(createCipheriv('aes-128-ctr', keys.masterKey, counter).update(new Uint8Array(length)));
}
