import { createCipheriv, createDecipheriv } from 'node:crypto';
import { protocolVersion } from './registry.ts';
import type { CipherSuite } from './registry.ts';
import { recordHeaderLength, writeRecordHeader } from './record.ts';
import type { RecordHeader } from './record.ts';
import type { UnifiedHeader } from './unified-header.ts';

/** Turns a fragment into a record of one epoch. */
export interface WriteProtection {
  /** Bytes that a record is longer than its fragment, header included. */
  readonly overhead: number;
  /** Writes one record at `at` of `out`, which has room for it; returns the offset behind it. */
  seal(type: number, epoch: number, sequence: number, fragment: Uint8Array, out: Uint8Array, at: number): number;
}

/** Turns a record of one epoch back into its fragment. */
export interface ReadProtection {
  /** The fragment, or null when it does not authenticate. The result may be a view of `datagram`. */
  open(header: RecordHeader, datagram: Uint8Array): Uint8Array | null;
}

export interface OpenedFragment {
  readonly type: number;
  readonly fragment: Uint8Array;
}

/** The same for records with a unified header, which hide their type and their sequence number. */
export interface UnifiedReadProtection {
  /** The low bits of the sequence number, as many as the header has; null when the record is too short. */
  sequenceBits(header: UnifiedHeader, datagram: Uint8Array): number | null;
  /** `sequence` in full. Null when the record does not authenticate. */
  open(header: UnifiedHeader, sequence: number, datagram: Uint8Array): OpenedFragment | null;
}

/** Epoch 0: no protection. */
export const plaintextProtection: WriteProtection & ReadProtection = {
  overhead: recordHeaderLength,
  seal(type, epoch, sequence, fragment, out, at) {
    writeRecordHeader(out, at, { type, version: protocolVersion.dtls12, epoch, sequence, length: fragment.length });
    out.set(fragment, at + recordHeaderLength);
    return at + recordHeaderLength + fragment.length;
  },
  open(header, datagram) {
    return datagram.subarray(header.start, header.end);
  },
};

const explicitNonceLength = 8;
const saltLength = 4;
const tagLength = 16;

/**
 * AES-GCM of DTLS 1.2 (RFC 5288, section 3; RFC 5246, section 6.2.3.3):
 *
 *   | header (13) | explicit nonce (8) | ciphertext | tag (16) |
 *
 * The nonce is salt (4) and explicit nonce; ours is epoch and sequence number, which never repeat under one key.
 * The additional data is epoch, sequence, type, version and plaintext length.
 */
export class GcmRecordProtection implements WriteProtection, ReadProtection {
  readonly overhead = recordHeaderLength + explicitNonceLength + tagLength;
  readonly #aead: CipherSuite['aead'];
  readonly #key: Uint8Array;
  readonly #nonce = new Uint8Array(saltLength + explicitNonceLength);
  readonly #additionalData = new Uint8Array(13);

  /** `salt` is the 4 bytes of client_write_IV or server_write_IV. */
  constructor(aead: CipherSuite['aead'], key: Uint8Array, salt: Uint8Array) {
    this.#aead = aead;
    this.#key = key;
    this.#nonce.set(salt);
  }

  seal(type: number, epoch: number, sequence: number, fragment: Uint8Array, out: Uint8Array, at: number): number {
    const length = explicitNonceLength + fragment.length + tagLength;
    writeRecordHeader(out, at, { type, version: protocolVersion.dtls12, epoch, sequence, length });
    const start = at + recordHeaderLength;
    out.copyWithin(start, at + 3, at + 11);
    this.#nonce.set(out.subarray(start, start + explicitNonceLength), saltLength);
    this.#setAdditionalData(out, at, fragment.length);
    const cipher = createCipheriv(this.#aead, this.#key, this.#nonce, { authTagLength: tagLength });
    cipher.setAAD(this.#additionalData);
    out.set(cipher.update(fragment), start + explicitNonceLength);
    cipher.final();
    out.set(cipher.getAuthTag(), start + explicitNonceLength + fragment.length);
    return start + length;
  }

  open(header: RecordHeader, datagram: Uint8Array): Uint8Array | null {
    const textStart = header.start + explicitNonceLength;
    const textEnd = header.end - tagLength;
    if (textEnd < textStart) return null;
    this.#nonce.set(datagram.subarray(header.start, textStart), saltLength);
    this.#setAdditionalData(datagram, header.start - recordHeaderLength, textEnd - textStart);
    const decipher = createDecipheriv(this.#aead, this.#key, this.#nonce, { authTagLength: tagLength });
    decipher.setAAD(this.#additionalData);
    decipher.setAuthTag(datagram.subarray(textEnd, header.end));
    const fragment = decipher.update(datagram.subarray(textStart, textEnd));
    try {
      decipher.final();
    } catch {
      return null;
    }
    return fragment;
  }

  /** The header's bytes in another order: epoch and sequence (8), type (1), version (2), plaintext length (2). */
  #setAdditionalData(record: Uint8Array, at: number, length: number): void {
    const data = this.#additionalData;
    data.set(record.subarray(at + 3, at + 11));
    data.set(record.subarray(at, at + 3), 8);
    data[11] = length >>> 8;
    data[12] = length & 0xff;
  }
}
