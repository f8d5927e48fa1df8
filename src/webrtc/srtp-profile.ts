/** SRTP protection profiles that `use_srtp` can negotiate (RFC 5764, section 4.1.2; RFC 7714, section 14.2). */
export type SrtpProfile = 'AEAD_AES_128_GCM' | 'AES128_CM_HMAC_SHA1_80';

export interface SrtpProfileParameters {
  /** The IANA number of the DTLS-SRTP protection profile. */
  readonly id: number;
  /** Master key and master salt, in bytes, as the DTLS exporter yields them. */
  readonly keyLength: number;
  readonly saltLength: number;
  /** Bytes that authentication adds to a packet, the SRTCP index not counted. */
  readonly authTagLength: number;
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

export const SRTP_PROFILES: Readonly<Record<SrtpProfile, SrtpProfileParameters>> = {
  AEAD_AES_128_GCM: { id: 7, keyLength: 16, saltLength: 12, authTagLength: 16 },
  AES128_CM_HMAC_SHA1_80: { id: 1, keyLength: 16, saltLength: 14, authTagLength: 10 },
};

/** The profile with this IANA number, or null when it is none of ours. */
export function srtpProfileById(id: number): SrtpProfile | null {
  for (const [name, parameters] of Object.entries(SRTP_PROFILES)) {
    if (parameters.id === id) return name as SrtpProfile;
  }
  return null;
}
