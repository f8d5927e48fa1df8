/**
 * The primitives under SRTP, one object per session key. Both implementations work in place in the packet's own
 * memory and pass the same conformance suite:
 *
 *   evp          OpenSSL's functions, which the node binary exports, called directly: no object per packet
 *   node-crypto  the portable one: a cipher object per packet, about seven times the cost
 */
export interface SrtpCiphers {
  readonly name: 'evp' | 'node-crypto';
  /** AES-128-GCM with a 96-bit IV and a 128-bit tag. */
  gcm(key: Uint8Array): GcmKey;
  /** AES-128 in counter mode and HMAC-SHA1, keys of 16 and 20 bytes. */
  counterMode(encryptionKey: Uint8Array, authenticationKey: Uint8Array): CounterModeKey;
}

export const GCM_TAG_LENGTH = 16;
/** Length of the one piece of associated data that may lie behind the cipher text: the ESRTCP word (RFC 7714, 9.1). */
export const AAD_SUFFIX_LENGTH = 4;

export interface GcmKey {
  /** 12 bytes: fill before each call. Shared between keys, so nothing stays in it. */
  readonly iv: Uint8Array;
  /**
   * Encrypts packet[from, end) in place and writes the tag at packet[end, end + 16). Associated data is
   * packet[0, from), followed by four bytes at `suffixAt` unless that is 0. The caller vouches for the bounds.
   */
  seal(packet: Uint8Array, from: number, end: number, suffixAt: number): void;
  /** The reverse. False when the tag does not match; packet[from, end) is then garbage. */
  open(packet: Uint8Array, from: number, end: number, suffixAt: number): boolean;
  /** Frees the key. Idempotent; using the key afterwards throws. */
  close(): void;
}

export interface CounterModeKey {
  /** 16 bytes, the initial counter block: fill before each call. Shared between keys, so nothing stays in it. */
  readonly iv: Uint8Array;
  /** Encrypts or decrypts packet[from, end) in place. The caller vouches for the bounds. */
  crypt(packet: Uint8Array, from: number, end: number): void;
  /** HMAC-SHA1 of packet[0, end): 20 bytes, overwritten by the next call on any key. */
  mac(packet: Uint8Array, end: number): Uint8Array;
  /** Frees the key. Idempotent; using the key afterwards throws. */
  close(): void;
}
