/** What both roles of a DTLS 1.3 handshake share. */
import { timingSafeEqual } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { SrtpKeyingMaterial, SrtpProfile } from '../srtp-profile.ts';
import { decodeCertificateVerify, encodeCertificateVerify } from './certificate-messages.ts';
import { HandshakeFault } from './fault.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import { splitSrtpKeyingMaterial } from './key-schedule-12.ts';
import {
  deriveSecret,
  exportKeyingMaterial13,
  handshakeSecret,
  masterSecret13,
  trafficKeys,
  verifyData13,
} from './key-schedule-13.ts';
import { RecordProtection13 } from './record-protection-13.ts';
import type { CipherSuite13 } from './registry.ts';
import { ownScheme, signWithOwnScheme, verifySignature } from './signature-scheme.ts';
import type { Transcript } from './transcript.ts';

/** Epochs of DTLS 1.3 (RFC 9147, section 6.1); 1 is that of early data, which is not spoken. */
export const epoch13 = { clear: 0, handshake: 2, application: 3 } as const;

export type Sender = 'client' | 'server';

/** One secret for what the client sends and one for what the server sends. */
export type TrafficSecrets = Readonly<Record<Sender, Uint8Array>>;

/** The keys of one handshake. */
export class Secrets13 {
  readonly suite: CipherSuite13;
  readonly handshake: TrafficSecrets;
  readonly #master: Uint8Array;

  /** `shared` came out of the key exchange; `transcript` reaches to the ServerHello. */
  constructor(suite: CipherSuite13, shared: Uint8Array, transcript: Transcript) {
    const secret = handshakeSecret(suite.hash, shared);
    const hash = transcript.hash13(suite.hash);
    this.suite = suite;
    this.handshake = {
      client: deriveSecret(suite.hash, secret, 'c hs traffic', hash),
      server: deriveSecret(suite.hash, secret, 's hs traffic', hash),
    };
    this.#master = masterSecret13(suite.hash, secret);
  }

  /** `transcript` reaches to the server's Finished. */
  application(transcript: Transcript): TrafficSecrets {
    const hash = transcript.hash13(this.suite.hash);
    return {
      client: deriveSecret(this.suite.hash, this.#master, 'c ap traffic', hash),
      server: deriveSecret(this.suite.hash, this.#master, 's ap traffic', hash),
    };
  }

  /** Keys for SRTP (RFC 5764, section 4.2); `transcript` reaches to the server's Finished. */
  srtpKeyingMaterial(profile: SrtpProfile | null, role: Sender, transcript: Transcript): SrtpKeyingMaterial | null {
    if (profile === null) return null;
    const { hash } = this.suite;
    const exporterMaster = deriveSecret(hash, this.#master, 'exp master', transcript.hash13(hash));
    return splitSrtpKeyingMaterial(profile, role, (label, length) => exportKeyingMaterial13(hash, exporterMaster, label, length));
  }

  protection(secret: Uint8Array): RecordProtection13 {
    return new RecordProtection13(this.suite, trafficKeys(this.suite, secret));
  }

  /** verify_data over the transcript as it stands. */
  verifyData(sender: Sender, transcript: Transcript): Uint8Array {
    return verifyData13(this.suite.hash, this.handshake[sender], transcript.hash13(this.suite.hash));
  }

  /** @throws {HandshakeFault} when a received Finished does not fit the transcript in front of it. */
  checkFinished(sender: Sender, body: Uint8Array, transcript: Transcript): void {
    const expected = this.verifyData(sender, transcript);
    if (body.length !== expected.length) throw new HandshakeFault('malformed-message');
    if (!timingSafeEqual(body, expected)) throw new HandshakeFault('bad-finished');
  }

  /** The body of our CertificateVerify over the transcript as it stands. */
  certificateVerify(sender: Sender, privateKey: KeyObject, transcript: Transcript): Uint8Array {
    const signature = signWithOwnScheme(privateKey, this.#signedContent(sender, transcript));
    return encodeCertificateVerify({ scheme: ownScheme, signature });
  }

  /** @throws {HandshakeFault} when the peer does not own the private key of its certificate. */
  checkCertificateVerify(sender: Sender, message: HandshakeMessage, publicKey: KeyObject, transcript: Transcript): void {
    const verify = decodeCertificateVerify(message.body);
    if (!verify) throw new HandshakeFault('malformed-message');
    if (!verifySignature(verify.scheme, publicKey, this.#signedContent(sender, transcript), verify.signature, '1.3')) {
      throw new HandshakeFault('bad-signature');
    }
  }

  /** RFC 8446, section 4.4.3. DTLS keeps "TLS 1.3" here. */
  #signedContent(sender: Sender, transcript: Transcript): Uint8Array {
    const context = Buffer.from(`${' '.repeat(64)}TLS 1.3, ${sender} CertificateVerify\0`, 'ascii');
    return Buffer.concat([context, transcript.hash13(this.suite.hash)]);
  }
}
