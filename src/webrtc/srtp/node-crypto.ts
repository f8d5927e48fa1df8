import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import {
  AAD_SUFFIX_LENGTH,
  GCM_TAG_LENGTH,
  type CounterModeKey,
  type GcmKey,
  type SrtpCiphers,
} from './ciphers.ts';

/** The portable implementation. It allocates several objects per packet: `node:crypto` offers no other way. */
export const nodeCryptoCiphers: SrtpCiphers = {
  name: 'node-crypto',
  gcm: (key) => new NodeGcmKey(key),
  counterMode: (encryptionKey, authenticationKey) => new NodeCounterModeKey(encryptionKey, authenticationKey),
};

class NodeGcmKey implements GcmKey {
  readonly iv = new Uint8Array(12);
  #key: KeyObject | null;

  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key);
  }

  seal(packet: Uint8Array, from: number, end: number, suffixAt: number): void {
    const cipher = createCipheriv('aes-128-gcm', inUse(this.#key), this.iv);
    cipher.setAAD(associatedData(packet, from, suffixAt));
    packet.set(cipher.update(packet.subarray(from, end)), from);
    cipher.final();
    packet.set(cipher.getAuthTag(), end);
  }

  open(packet: Uint8Array, from: number, end: number, suffixAt: number): boolean {
    const decipher = createDecipheriv('aes-128-gcm', inUse(this.#key), this.iv, { authTagLength: GCM_TAG_LENGTH });
    decipher.setAAD(associatedData(packet, from, suffixAt));
    decipher.setAuthTag(packet.subarray(end, end + GCM_TAG_LENGTH));
    packet.set(decipher.update(packet.subarray(from, end)), from);
    try {
      decipher.final();
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    this.#key = null;
  }
}

class NodeCounterModeKey implements CounterModeKey {
  readonly iv = new Uint8Array(16);
  #encryptionKey: KeyObject | null;
  #authenticationKey: KeyObject | null;

  constructor(encryptionKey: Uint8Array, authenticationKey: Uint8Array) {
    this.#encryptionKey = createSecretKey(encryptionKey);
    this.#authenticationKey = createSecretKey(authenticationKey);
  }

  crypt(packet: Uint8Array, from: number, end: number): void {
    const cipher = createCipheriv('aes-128-ctr', inUse(this.#encryptionKey), this.iv);
    packet.set(cipher.update(packet.subarray(from, end)), from);
  }

  mac(packet: Uint8Array, end: number): Uint8Array {
    return createHmac('sha1', inUse(this.#authenticationKey)).update(packet.subarray(0, end)).digest();
  }

  close(): void {
    this.#encryptionKey = null;
    this.#authenticationKey = null;
  }
}

function inUse(key: KeyObject | null): KeyObject {
  if (!key) throw new Error('this SRTP key is closed');
  return key;
}

function associatedData(packet: Uint8Array, from: number, suffixAt: number): Uint8Array {
  const head = packet.subarray(0, from);
  return suffixAt === 0 ? head : Buffer.concat([head, packet.subarray(suffixAt, suffixAt + AAD_SUFFIX_LENGTH)]);
}
