/**
 * The key schedule of DTLS 1.3 (RFC 8446, section 7, with the labels of RFC 9147, section 5.9). Without pre-shared keys:
 *
 *   0 ─► Extract(0) ─► Derive "derived" ─► Extract(ECDHE) ─┬─► "c hs traffic", "s hs traffic"    over CH…SH
 *                                                          └─► Derive "derived" ─► Extract(0) ─┬─► "c ap traffic", "s ap traffic"
 *                                                                                              └─► "exp master"   over CH…server Finished
 */
import { createHash, createHmac } from 'node:crypto';
import { ByteWriter } from './byte-writer.ts';
import type { TrafficKeys } from './record-protection-13.ts';
import type { CipherSuite13, HashName } from './registry.ts';

const labelPrefix = 'dtls13';
const ivLength = 12;

/**
 * HKDF-Expand-Label (RFC 8446, section 7.1):
 *
 *   struct { uint16 length; opaque label<7..255> = prefix + Label; opaque context<0..255>; } HkdfLabel;
 */
export function expandLabel(hash: HashName, secret: Uint8Array, label: string, context: Uint8Array, length: number): Uint8Array {
  const info = new ByteWriter().uint16(length).vector8(Buffer.from(labelPrefix + label, 'ascii')).vector8(context).finish();
  const out = new Uint8Array(length);
  let block: Uint8Array = new Uint8Array(0);
  for (let at = 0, counter = 1; at < length; at += block.length, counter++) {
    block = createHmac(hash, secret).update(block).update(info).update(Uint8Array.of(counter)).digest();
    out.set(block.subarray(0, length - at), at);
  }
  return out;
}

/** Derive-Secret with a hash of messages that was made before. */
export function deriveSecret(hash: HashName, secret: Uint8Array, label: string, transcriptHash: Uint8Array): Uint8Array {
  return expandLabel(hash, secret, label, transcriptHash, hashLength(hash));
}

/** The handshake secret out of what the key exchange gave. */
export function handshakeSecret(hash: HashName, shared: Uint8Array): Uint8Array {
  const zeros = new Uint8Array(hashLength(hash));
  const early = hkdfExtract(hash, zeros, zeros);
  return hkdfExtract(hash, deriveSecret(hash, early, 'derived', emptyHash(hash)), shared);
}

/** The master secret out of the handshake secret. */
export function masterSecret13(hash: HashName, handshake: Uint8Array): Uint8Array {
  return hkdfExtract(hash, deriveSecret(hash, handshake, 'derived', emptyHash(hash)), new Uint8Array(hashLength(hash)));
}

/** What a traffic secret protects records with (RFC 8446, section 7.3; RFC 9147, section 4.2.3). */
export function trafficKeys(suite: CipherSuite13, secret: Uint8Array): TrafficKeys {
  const none = new Uint8Array(0);
  return {
    key: expandLabel(suite.hash, secret, 'key', none, suite.keyLength),
    iv: expandLabel(suite.hash, secret, 'iv', none, ivLength),
    sequenceKey: expandLabel(suite.hash, secret, 'sn', none, suite.keyLength),
  };
}

/** The traffic secret that follows this one after a KeyUpdate (RFC 8446, section 7.2). */
export function nextTrafficSecret(hash: HashName, secret: Uint8Array): Uint8Array {
  return expandLabel(hash, secret, 'traffic upd', new Uint8Array(0), hashLength(hash));
}

/** verify_data of a Finished (RFC 8446, section 4.4.4). */
export function verifyData13(hash: HashName, trafficSecret: Uint8Array, transcriptHash: Uint8Array): Uint8Array {
  const key = expandLabel(hash, trafficSecret, 'finished', new Uint8Array(0), hashLength(hash));
  return createHmac(hash, key).update(transcriptHash).digest();
}

/** Keying material exporter with an empty context, which 1.3 hashes like any other (RFC 8446, section 7.5). */
export function exportKeyingMaterial13(hash: HashName, exporterMaster: Uint8Array, label: string, length: number): Uint8Array {
  const secret = deriveSecret(hash, exporterMaster, label, emptyHash(hash));
  return expandLabel(hash, secret, 'exporter', emptyHash(hash), length);
}

function emptyHash(hash: HashName): Uint8Array {
  return createHash(hash).digest();
}

/** Bytes that a hash gives, which is also the length of every secret. */
function hashLength(hash: HashName): number {
  return hash === 'sha256' ? 32 : 48;
}

function hkdfExtract(hash: HashName, salt: Uint8Array, keyMaterial: Uint8Array): Uint8Array {
  return createHmac(hash, salt).update(keyMaterial).digest();
}
