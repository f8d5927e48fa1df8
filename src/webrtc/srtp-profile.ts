/** SRTP protection profiles that Earshot speaks, in the names of RFC 7714 (section 14.2) and RFC 5764 (section 4.1.2). */
export type SrtpProfile = 'AEAD_AES_128_GCM' | 'AES128_CM_HMAC_SHA1_80';

export interface SrtpProfileParameters {
  /** Value in the DTLS `use_srtp` extension. */
  readonly id: number;
  /** Master key and master salt, in bytes, as the DTLS exporter yields them. */
  readonly keyLength: number;
  readonly saltLength: number;
  /** Bytes that authentication adds to a packet, the SRTCP index not counted. */
  readonly authTagLength: number;
}

export const SRTP_PROFILES: Readonly<Record<SrtpProfile, SrtpProfileParameters>> = {
  AEAD_AES_128_GCM: { id: 7, keyLength: 16, saltLength: 12, authTagLength: 16 },
  AES128_CM_HMAC_SHA1_80: { id: 1, keyLength: 16, saltLength: 14, authTagLength: 10 },
};
