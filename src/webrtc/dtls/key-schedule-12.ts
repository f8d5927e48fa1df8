/** The key schedule of DTLS 1.2: PRF, master secret, key block, Finished, exporter (RFC 5246, sections 5, 6.3 and 8). */
import { createHmac } from 'node:crypto';
import { SRTP_PROFILES } from '../srtp-profile.ts';
import type { SrtpKeyingMaterial, SrtpProfile } from '../srtp-profile.ts';
import { GcmRecordProtection } from './record-protection.ts';
import type { CipherSuite, HashName } from './registry.ts';

const masterSecretLength = 48;
const verifyDataLength = 12;
const gcmSaltLength = 4;

/** Both randoms of a handshake, 32 bytes each. */
export interface HelloRandoms {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

/** PRF(secret, label, seed), the first `length` bytes of P_hash (RFC 5246, section 5). */
export function prf(hash: HashName, secret: Uint8Array, label: string, seed: Uint8Array, length: number): Uint8Array {
  const labelledSeed = Buffer.concat([Buffer.from(label, 'ascii'), seed]);
  const out = new Uint8Array(length);
  let a: Uint8Array = labelledSeed;
  for (let at = 0; at < length; ) {
    a = createHmac(hash, secret).update(a).digest();
    const block = createHmac(hash, secret).update(a).update(labelledSeed).digest();
    out.set(block.subarray(0, length - at), at);
    at += block.length;
  }
  return out;
}

/** RFC 5246, section 8.1. */
export function masterSecret(hash: HashName, premaster: Uint8Array, randoms: HelloRandoms): Uint8Array {
  return prf(hash, premaster, 'master secret', Buffer.concat([randoms.client, randoms.server]), masterSecretLength);
}

/** RFC 7627, section 4: bound to the hash of the handshake up to and including ClientKeyExchange. */
export function extendedMasterSecret(hash: HashName, premaster: Uint8Array, sessionHash: Uint8Array): Uint8Array {
  return prf(hash, premaster, 'extended master secret', sessionHash, masterSecretLength);
}

/** Record protection of what the client writes and of what the server writes (RFC 5246, section 6.3; RFC 5288). */
export function recordProtections(
  suite: CipherSuite,
  master: Uint8Array,
  randoms: HelloRandoms,
): { client: GcmRecordProtection; server: GcmRecordProtection } {
  const { aead, hash, keyLength } = suite;
  const seed = Buffer.concat([randoms.server, randoms.client]);
  const block = prf(hash, master, 'key expansion', seed, 2 * keyLength + 2 * gcmSaltLength);
  const salts = 2 * keyLength;
  return {
    client: new GcmRecordProtection(aead, block.slice(0, keyLength), block.slice(salts, salts + gcmSaltLength)),
    server: new GcmRecordProtection(aead, block.slice(keyLength, salts), block.slice(salts + gcmSaltLength)),
  };
}

/** verify_data of a Finished (RFC 5246, section 7.4.9). */
export function verifyData(
  hash: HashName,
  master: Uint8Array,
  sender: 'client' | 'server',
  handshakeHash: Uint8Array,
): Uint8Array {
  return prf(hash, master, `${sender} finished`, handshakeHash, verifyDataLength);
}

/** Keying material exporter without a context (RFC 5705, section 4). */
export function exportKeyingMaterial(
  hash: HashName,
  master: Uint8Array,
  label: string,
  randoms: HelloRandoms,
  length: number,
): Uint8Array {
  return prf(hash, master, label, Buffer.concat([randoms.client, randoms.server]), length);
}

/** SRTP keys and salts from an exporter (RFC 5764, section 4.2): client key, server key, client salt, server salt. */
export function splitSrtpKeyingMaterial(
  profile: SrtpProfile,
  role: 'client' | 'server',
  exporter: (label: string, length: number) => Uint8Array,
): SrtpKeyingMaterial {
  const { keyLength, saltLength } = SRTP_PROFILES[profile];
  const material = exporter('EXTRACTOR-dtls_srtp', 2 * keyLength + 2 * saltLength);
  const salts = 2 * keyLength;
  const client = { key: material.slice(0, keyLength), salt: material.slice(salts, salts + saltLength) };
  const server = { key: material.slice(keyLength, salts), salt: material.slice(salts + saltLength) };
  const [local, remote] = role === 'client' ? [client, server] : [server, client];
  return { profile, localKey: local.key, localSalt: local.salt, remoteKey: remote.key, remoteSalt: remote.salt };
}
