/** What both roles of a DTLS 1.2 handshake share. */
import { timingSafeEqual } from 'node:crypto';
import type { SrtpKeyingMaterial, SrtpProfile } from '../srtp-profile.ts';
import { HandshakeFault } from './fault.ts';
import type { Admission } from './handshake.ts';
import {
  exportKeyingMaterial,
  extendedMasterSecret,
  masterSecret,
  recordProtections,
  splitSrtpKeyingMaterial,
  verifyData,
} from './key-schedule-12.ts';
import type { HelloRandoms } from './key-schedule-12.ts';
import type { GcmRecordProtection } from './record-protection.ts';
import { handshakeType } from './registry.ts';
import type { CipherSuite } from './registry.ts';
import type { Transcript } from './transcript.ts';

/**
 * Finished is the one message of epoch 1, all others are of epoch 0: a Finished in clear text is nobody's. Once done,
 * clear text means nothing, a repeated Finished says that ours was lost, and a hello under the keys of this
 * association wants to renegotiate.
 */
export function admit12(type: number, epoch: number, done: boolean): Admission {
  if (!done) return (epoch === 1) === (type === handshakeType.finished) ? 'take' : 'wrong-epoch';
  if (epoch === 0) return 'plaintext-after-handshake';
  if (type === handshakeType.finished) return 'repeat';
  return type === handshakeType.clientHello || type === handshakeType.helloRequest ? 'renegotiation' : 'unexpected-message';
}

/** The keys of one association. */
export class Secrets12 {
  readonly protections: { readonly client: GcmRecordProtection; readonly server: GcmRecordProtection };
  readonly #suite: CipherSuite;
  readonly #randoms: HelloRandoms;
  readonly #master: Uint8Array;

  /** `transcript` reaches to ClientKeyExchange, which the extended master secret is bound to (RFC 7627, section 3). */
  constructor(
    suite: CipherSuite,
    randoms: HelloRandoms,
    premaster: Uint8Array,
    extended: boolean,
    transcript: Transcript,
  ) {
    this.#suite = suite;
    this.#randoms = randoms;
    this.#master = extended
      ? extendedMasterSecret(suite.hash, premaster, transcript.hash12(suite.hash))
      : masterSecret(suite.hash, premaster, randoms);
    this.protections = recordProtections(suite, this.#master, randoms);
  }

  /** verify_data over the transcript as it stands. */
  verifyData(sender: 'client' | 'server', transcript: Transcript): Uint8Array {
    return verifyData(this.#suite.hash, this.#master, sender, transcript.hash12(this.#suite.hash));
  }

  /** @throws {HandshakeFault} when a received Finished does not fit the transcript in front of it. */
  checkFinished(sender: 'client' | 'server', body: Uint8Array, transcript: Transcript): void {
    const expected = this.verifyData(sender, transcript);
    if (body.length !== expected.length) throw new HandshakeFault('malformed-message');
    if (!timingSafeEqual(body, expected)) throw new HandshakeFault('bad-finished');
  }

  srtpKeyingMaterial(profile: SrtpProfile | null, role: 'client' | 'server'): SrtpKeyingMaterial | null {
    if (profile === null) return null;
    return splitSrtpKeyingMaterial(profile, role, (label, length) =>
      exportKeyingMaterial(this.#suite.hash, this.#master, label, this.#randoms, length),
    );
  }
}

/** What the server signs: both randoms and its parameters (RFC 8422, section 5.4). */
export function signedKeyExchange(randoms: HelloRandoms, parameters: Uint8Array): Uint8Array {
  return Buffer.concat([randoms.client, randoms.server, parameters]);
}
