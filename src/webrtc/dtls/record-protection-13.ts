import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Cipher, CipherGCMTypes } from 'node:crypto';
import type { OpenedFragment, UnifiedReadProtection, WriteProtection } from './record-protection.ts';
import type { CipherSuite13 } from './registry.ts';
import { unifiedHeaderLength, writeUnifiedHeader } from './unified-header.ts';
import type { UnifiedHeader } from './unified-header.ts';

const tagLength = 16;
const nonceLength = 12;
/** Bytes of ciphertext that the sequence number's mask is made of (RFC 9147, section 4.2.3). */
const sampleLength = 16;

/** What one direction of one epoch is protected with. */
export interface TrafficKeys {
  readonly key: Uint8Array;
  /** 12 bytes. */
  readonly iv: Uint8Array;
  readonly sequenceKey: Uint8Array;
}

/**
 * Record protection of DTLS 1.3 (RFC 9147, section 4; RFC 8446, section 5.2):
 *
 *   | unified header (5) | AEAD( content | type (1) | zeros ) | tag (16) |
 *
 * The nonce is the IV xor the sequence number; the epoch is not part of it. The additional data is the header with
 * its sequence number in clear, which is then masked with a block cipher over the first ciphertext bytes. Nothing is
 * padded: lengths of data channel messages are no secret that WebRTC keeps.
 */
export class RecordProtection13 implements WriteProtection, UnifiedReadProtection {
  readonly overhead = unifiedHeaderLength + 1 + tagLength;
  readonly #aead: CipherGCMTypes;
  readonly #keys: TrafficKeys;
  readonly #nonce = new Uint8Array(nonceLength);
  /** AES in ECB mode has no state between blocks: one object serves every record. */
  readonly #blockCipher: Cipher | null;

  constructor(suite: CipherSuite13, keys: TrafficKeys) {
    // node:crypto treats ChaCha20-Poly1305 like GCM when the length of the tag is given; its types have no such case.
    this.#aead = suite.aead as CipherGCMTypes;
    this.#keys = keys;
    this.#blockCipher = suite.mask === 'chacha20' ? null : createCipheriv(suite.mask, keys.sequenceKey, null);
  }

  seal(type: number, epoch: number, sequence: number, fragment: Uint8Array, out: Uint8Array, at: number): number {
    const start = at + unifiedHeaderLength;
    const end = start + fragment.length + 1 + tagLength;
    writeUnifiedHeader(out, at, epoch, sequence, end - start);
    this.#setNonce(sequence);
    const cipher = createCipheriv(this.#aead, this.#keys.key, this.#nonce, { authTagLength: tagLength });
    cipher.setAAD(out.subarray(at, start));
    out.set(cipher.update(fragment), start);
    out.set(cipher.update(Uint8Array.of(type)), start + fragment.length);
    cipher.final();
    out.set(cipher.getAuthTag(), end - tagLength);
    const mask = this.#mask(out.subarray(start, start + sampleLength));
    out[at + 1] ^= mask[0];
    out[at + 2] ^= mask[1];
    return end;
  }

  sequenceBits(header: UnifiedHeader, datagram: Uint8Array): number | null {
    if (header.end - header.start < tagLength + 1) return null;
    const mask = this.#mask(datagram.subarray(header.start, header.start + sampleLength));
    let bits = 0;
    for (let i = 0; i < header.sequenceLength; i++) bits = (bits << 8) | (datagram[header.at + 1 + i] ^ mask[i]);
    return bits;
  }

  open(header: UnifiedHeader, sequence: number, datagram: Uint8Array): OpenedFragment | null {
    const { at, start, end, sequenceLength } = header;
    // A copy, as the input is not ours to change.
    const additionalData = new Uint8Array(datagram.subarray(at, start));
    if (sequenceLength === 2) additionalData[1] = sequence >>> 8;
    additionalData[sequenceLength] = sequence & 0xff;
    this.#setNonce(sequence);
    const decipher = createDecipheriv(this.#aead, this.#keys.key, this.#nonce, { authTagLength: tagLength });
    decipher.setAAD(additionalData);
    decipher.setAuthTag(datagram.subarray(end - tagLength, end));
    const inner = decipher.update(datagram.subarray(start, end - tagLength));
    try {
      decipher.final();
    } catch {
      return null;
    }
    let last = inner.length - 1;
    while (last > 0 && inner[last] === 0) last--;
    // Only zeros: type 0, which is nobody's.
    return { type: inner[last], fragment: inner.subarray(0, last) };
  }

  #setNonce(sequence: number): void {
    const nonce = this.#nonce;
    nonce.set(this.#keys.iv);
    for (let i = nonceLength - 1, rest = sequence; rest > 0; i--, rest = Math.floor(rest / 256)) nonce[i] ^= rest % 256;
  }

  #mask(sample: Uint8Array): Uint8Array {
    if (this.#blockCipher) return this.#blockCipher.update(sample);
    return createCipheriv('chacha20', this.#keys.sequenceKey, sample).update(new Uint8Array(2));
  }
}
