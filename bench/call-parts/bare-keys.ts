import type { SrtpKeys } from '../../src/webrtc/srtp/key-derivation.ts';

/** What all bare flows are encrypted with, one for each direction: their SSRCs tell their packets apart (RFC 7714, section 8.1). */
export const CALLERS_KEYS = keys(1);
export const ECHO_KEYS = keys(2);

function keys(byte: number): SrtpKeys {
  return { profile: 'AEAD_AES_128_GCM', masterKey: new Uint8Array(16).fill(byte), masterSalt: new Uint8Array(12).fill(byte) };
}
