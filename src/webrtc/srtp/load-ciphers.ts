import type { SrtpCiphers } from './ciphers.ts';
import { openEvp } from './evp.ts';
import { nodeCryptoCiphers } from './node-crypto.ts';

export interface LoadedSrtpCiphers {
  readonly ciphers: SrtpCiphers;
  /** Why the fast implementation is not in use, in words for the log; null when it is. */
  readonly fallbackReason: string | null;
}

/**
 * The fastest implementation that works on this machine: OpenSSL called directly where it passes the self-test, else
 * `node:crypto`. To be called once per thread, at start.
 * @throws {Error} when `node:crypto` itself fails the self-test.
 */
export function loadSrtpCiphers(openFast: () => SrtpCiphers = openEvp): LoadedSrtpCiphers {
  try {
    const ciphers = openFast();
    selfTest(ciphers);
    return { ciphers, fallbackReason: null };
  } catch (error) {
    selfTest(nodeCryptoCiphers);
    const reason = error instanceof Error ? error.message : String(error);
    return { ciphers: nodeCryptoCiphers, fallbackReason: `OpenSSL cannot be called directly: ${reason}` };
  }
}

/**
 * RFC 7714, section 16.1 (a packet); RFC 3711, appendix B.2 (key stream); RFC 2202, section 3, case 1 (HMAC).
 * @throws {Error} that names the primitive that is wrong.
 */
export function selfTest(ciphers: SrtpCiphers): void {
  testGcm(ciphers);
  testCounterMode(ciphers);
}

function testGcm(ciphers: SrtpCiphers): void {
  const key = bytes('000102030405060708090a0b0c0d0e0f');
  const iv = bytes('51753c6580c2726f20718414');
  const header = '8040f17b8041f8d35501a0b2';
  const plain = '47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573';
  const sealed =
    'f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce';
  const packet = bytes(header + plain + '00'.repeat(16));
  const end = packet.length - 16;
  const seal = ciphers.gcm(key);
  const open = ciphers.gcm(key);
  try {
    seal.iv.set(iv);
    seal.seal(packet, 12, end, 0);
    if (hex(packet) !== header + sealed) throw new Error('AES-128-GCM encrypts wrongly');
    open.iv.set(iv);
    if (!open.open(packet, 12, end, 0) || hex(packet.subarray(0, end)) !== header + plain) {
      throw new Error('AES-128-GCM decrypts wrongly');
    }
    packet.set(bytes(header + sealed));
    packet[end] ^= 1;
    open.iv.set(iv);
    if (open.open(packet, 12, end, 0)) throw new Error('AES-128-GCM accepts a wrong tag');
  } finally {
    seal.close();
    open.close();
  }
}

function testCounterMode(ciphers: SrtpCiphers): void {
  const key = ciphers.counterMode(bytes('2b7e151628aed2a6abf7158809cf4f3c'), new Uint8Array(20).fill(0x0b));
  try {
    const stream = new Uint8Array(32);
    key.iv.set(bytes('f0f1f2f3f4f5f6f7f8f9fafbfcfd0000'));
    key.crypt(stream, 0, 32);
    if (hex(stream) !== 'e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab') {
      throw new Error('AES-128 in counter mode encrypts wrongly');
    }
    const text = new TextEncoder().encode('Hi There');
    if (hex(key.mac(text, text.length)) !== 'b617318655057264e28bc0b6fb378c8ef146be00') {
      throw new Error('HMAC-SHA1 computes wrongly');
    }
  } finally {
    key.close();
  }
}

function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}

function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}
