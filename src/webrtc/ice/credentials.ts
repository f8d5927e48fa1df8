import type { RandomSource } from '../machine.ts';

/** Username fragment and password of one side for one ICE generation (RFC 8445, section 5.3). */
export interface IceCredentials {
  readonly ufrag: string;
  readonly password: string;
}

/** The alphabet of `ice-char` (RFC 8839, section 5.4) happens to be that of base64. */
const ICE_CHARS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const UFRAG = /^[A-Za-z0-9+/]{4,256}$/;
const PASSWORD = /^[A-Za-z0-9+/]{22,256}$/;

/** New credentials: 48 bits of ufrag, 144 bits of password (at least 24 and 128 are asked for). */
export function generateIceCredentials(random: RandomSource): IceCredentials {
  return { ufrag: generateIceChars(random, 8), password: generateIcePassword(random) };
}

/** A password alone, for a ufrag that is made elsewhere (a routing token). */
export function generateIcePassword(random: RandomSource): string {
  return generateIceChars(random, 24);
}

/** 4 to 256 characters of `ice-char`. */
export function isIceUfrag(text: string): boolean {
  return UFRAG.test(text);
}

/** 22 to 256 characters of `ice-char`. */
export function isIcePassword(text: string): boolean {
  return PASSWORD.test(text);
}

function generateIceChars(random: RandomSource, length: number): string {
  const bytes = new Uint8Array(length);
  random(bytes);
  let text = '';
  for (const byte of bytes) text += ICE_CHARS[byte & 63];
  return text;
}
