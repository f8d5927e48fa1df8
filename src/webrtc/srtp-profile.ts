/** SRTP protection profiles that `use_srtp` can negotiate (RFC 5764, section 4.1.2; RFC 7714, section 14.2). */
export type SrtpProfile = 'AEAD_AES_128_GCM' | 'AES128_CM_HMAC_SHA1_80';

export interface SrtpProfileParameters {
  /** The IANA number of the DTLS-SRTP protection profile. */
  readonly id: number;
  /** Length of the master key in bytes. */
  readonly keyLength: number;
  /** Length of the master salt in bytes. */
  readonly saltLength: number;
}

/** Master keys and salts of both directions, as exported from DTLS (RFC 5764, section 4.2). */
export interface SrtpKeyingMaterial {
  readonly profile: SrtpProfile;
  /** Protects what this side sends. */
  readonly localKey: Uint8Array;
  readonly localSalt: Uint8Array;
  /** Opens what this side receives. */
  readonly remoteKey: Uint8Array;
  readonly remoteSalt: Uint8Array;
}

export const srtpProfileParameters: Readonly<Record<SrtpProfile, SrtpProfileParameters>> = {
  AEAD_AES_128_GCM: { id: 0x0007, keyLength: 16, saltLength: 12 },
  AES128_CM_HMAC_SHA1_80: { id: 0x0001, keyLength: 16, saltLength: 14 },
};

/** The profile with this IANA number, or null when it is none of ours. */
export function srtpProfileById(id: number): SrtpProfile | null {
  for (const [name, parameters] of Object.entries(srtpProfileParameters)) {
    if (parameters.id === id) return name as SrtpProfile;
  }
  return null;
}
