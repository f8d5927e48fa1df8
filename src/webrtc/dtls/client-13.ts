/**
 * The client's side of a full DTLS 1.3 handshake with a client certificate (RFC 9147, section 5); the flow is drawn in
 * `server-13.ts`.
 *
 *  1. ServerHello: check the choice against the offer; derive the handshake keys, open epoch 2 both ways.
 *  2. EncryptedExtensions: the SRTP profile.
 *  3. CertificateRequest: a certificate is wanted. A server may go without.
 *  4. Certificate: compare with the announced fingerprints; keep its public key.
 *  5. CertificateVerify: the server owns the certificate's private key.
 *  6. Finished: the server saw the same handshake. Send the last flight, open epoch 3 both ways, done: the server is
 *     authenticated and may be sent data. The flight is repeated until it is acknowledged.
 *
 * Deviations: tickets are acknowledged and not used, as no session is ever resumed.
 */
import type { SrtpProfile } from '../srtp-profile.ts';
import { ByteReader } from './byte-reader.ts';
import { decodeCertificateRequest13, encodeCertificate13 } from './certificate-messages-13.ts';
import { decodeExtensions, decodeKeyShare, readChosenSrtpProfile } from './extensions.ts';
import { HandshakeFault } from './fault.ts';
import { epoch13, Secrets13 } from './handshake-13.ts';
import type { Admission, Handshake, HandshakeHost } from './handshake.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import type { ClientHello, ServerHello } from './hello-messages.ts';
import type { KeyShare } from './key-share.ts';
import { KeyUpdates } from './key-update.ts';
import { readPeerCertificate13 } from './peer-certificate.ts';
import type { PeerCertificate } from './peer-certificate.ts';
import { cipherSuites13, extensionType, handshakeType, namedGroupId } from './registry.ts';
import type { CipherSuite13, NamedGroup } from './registry.ts';
import { ownScheme } from './signature-scheme.ts';

type Step = 'encrypted-extensions' | 'certificate-request' | 'certificate' | 'certificate-verify' | 'finished' | 'done';

/** What the server's flight is made of behind its ServerHello. */
const serverFlight: ReadonlySet<number> = new Set([
  handshakeType.encryptedExtensions,
  handshakeType.certificateRequest,
  handshakeType.certificate,
  handshakeType.certificateVerify,
  handshakeType.finished,
]);

export class Client13 implements Handshake {
  readonly #host: HandshakeHost;
  readonly #offer: ClientHello;
  readonly #group: NamedGroup;
  readonly #secrets: Secrets13;
  #step: Step = 'encrypted-extensions';
  #srtpProfile: SrtpProfile | null = null;
  #certificateRequested = false;
  #peer: PeerCertificate | null = null;
  #updates: KeyUpdates | null = null;

  /** @throws {HandshakeFault} when the server chose what was not offered. */
  constructor(host: HandshakeHost, offer: ClientHello, keyShare: KeyShare<NamedGroup>, message: HandshakeMessage, hello: ServerHello) {
    const suite = checkHello13(offer, hello);
    this.#host = host;
    this.#offer = offer;
    this.#group = keyShare.group;
    const shared = agree(keyShare, hello);
    host.transcript.append(message);
    this.#secrets = new Secrets13(suite, shared, host.transcript);
    const { handshake } = this.#secrets;
    // What came in clear text so far and is not the ServerHello is nobody's (RFC 8446, section 5.1).
    host.forgetAhead();
    // The ServerHello answers the ClientHello; the rest of the flight is waited for and acknowledged in parts.
    host.endFlight();
    host.addUnifiedReadEpoch(epoch13.handshake, this.#secrets.protection(handshake.server));
    host.addWriteEpoch(epoch13.handshake, this.#secrets.protection(handshake.client));
  }

  admit(type: number, epoch: number): Admission {
    if (epoch === epoch13.clear) return type === handshakeType.serverHello ? 'repeat' : 'wrong-epoch';
    if (epoch === epoch13.handshake) {
      if (!serverFlight.has(type)) return 'unexpected-message';
      return this.#step === 'done' ? 'repeat' : 'take';
    }
    return type === handshakeType.keyUpdate || type === handshakeType.newSessionTicket ? 'take' : 'unexpected-message';
  }

  acknowledges(epoch: number): 'at once' | 'later' | 'never' {
    if (this.#step !== 'done') return 'later';
    // A repeated flight of the server says that ours was lost, and our flight is the answer to it.
    return epoch >= epoch13.application ? 'at once' : 'never';
  }

  flightAcknowledged(): void {
    this.#updates?.flightAcknowledged();
  }

  handle(message: HandshakeMessage): void {
    const { type } = message;
    const step = this.#step;
    if (step === 'encrypted-extensions' && type === handshakeType.encryptedExtensions) this.#handleExtensions(message);
    else if (step === 'certificate-request' && type === handshakeType.certificateRequest) this.#handleRequest(message);
    else if (step === 'certificate-request' && type === handshakeType.certificate) this.#handleCertificate(message);
    else if (step === 'certificate' && type === handshakeType.certificate) this.#handleCertificate(message);
    else if (step === 'certificate-verify' && type === handshakeType.certificateVerify) this.#handleVerify(message);
    else if (step === 'finished' && type === handshakeType.finished) this.#handleFinished(message);
    else if (step === 'done' && type === handshakeType.keyUpdate) this.#updates!.handle(message.body);
    else if (step !== 'done' || type !== handshakeType.newSessionTicket) throw new HandshakeFault('unexpected-message');
  }

  #handleExtensions(message: HandshakeMessage): void {
    const reader = new ByteReader(message.body);
    const extensions = reader.remaining > 0 ? decodeExtensions(reader) : null;
    if (!extensions) throw new HandshakeFault('malformed-message');
    for (const type of extensions.keys()) {
      if (!this.#offer.extensions.has(type)) throw new HandshakeFault('unsolicited-extension');
    }
    this.#srtpProfile = readChosenSrtpProfile(this.#host.config.srtpProfiles, extensions.get(extensionType.useSrtp));
    this.#host.transcript.append(message);
    this.#step = 'certificate-request';
  }

  #handleRequest(message: HandshakeMessage): void {
    const request = decodeCertificateRequest13(message.body);
    if (!request) throw new HandshakeFault('malformed-message');
    if (request.context.length > 0) throw new HandshakeFault('illegal-parameter');
    if (!request.signatureSchemes.includes(ownScheme)) throw new HandshakeFault('no-common-signature-scheme');
    this.#host.transcript.append(message);
    this.#certificateRequested = true;
    this.#step = 'certificate';
  }

  #handleCertificate(message: HandshakeMessage): void {
    this.#peer = readPeerCertificate13(message.body, this.#host.config.remoteFingerprints);
    this.#host.transcript.append(message);
    this.#step = 'certificate-verify';
  }

  #handleVerify(message: HandshakeMessage): void {
    const { transcript } = this.#host;
    this.#secrets.checkCertificateVerify('server', message, this.#peer!.publicKey, transcript);
    transcript.append(message);
    this.#step = 'finished';
  }

  #handleFinished(message: HandshakeMessage): void {
    const host = this.#host;
    const { config, transcript } = host;
    const secrets = this.#secrets;
    secrets.checkFinished('server', message.body, transcript);
    transcript.append(message);
    const application = secrets.application(transcript);
    const srtp = secrets.srtpKeyingMaterial(this.#srtpProfile, 'client', transcript);
    const flight: HandshakeMessage[] = [];
    if (this.#certificateRequested) {
      const body = encodeCertificate13({ context: new Uint8Array(0), chain: [config.certificate.der] });
      flight.push(host.compose(handshakeType.certificate, body));
      const verify = secrets.certificateVerify('client', config.certificate.privateKey, transcript);
      flight.push(host.compose(handshakeType.certificateVerify, verify));
    }
    flight.push(host.compose(handshakeType.finished, secrets.verifyData('client', transcript)));
    this.#updates = new KeyUpdates(host, secrets, application, 'client');
    this.#step = 'done';
    host.sendFlight(flight.map((message) => ({ type: 'message', epoch: epoch13.handshake, message })), true);
    host.addUnifiedReadEpoch(epoch13.application, secrets.protection(application.server));
    host.addWriteEpoch(epoch13.application, secrets.protection(application.client));
    host.complete({
      version: '1.3',
      cipherSuite: secrets.suite.name,
      group: this.#group,
      srtp,
      peerCertificate: this.#peer!.der,
    });
  }
}

/** The suite of a ServerHello or HelloRetryRequest. @throws {HandshakeFault} when it answers something else than the offer. */
export function checkHello13(offer: ClientHello, hello: ServerHello): CipherSuite13 {
  for (const type of hello.extensions.keys()) {
    if (!offer.extensions.has(type) && type !== extensionType.cookie) throw new HandshakeFault('unsolicited-extension');
  }
  const suite = cipherSuites13.find(({ id }) => id === hello.cipherSuite);
  if (!suite || !offer.cipherSuites.includes(suite.id)) throw new HandshakeFault('illegal-parameter');
  if (hello.compressionMethod !== 0 || hello.sessionId.length > 0) throw new HandshakeFault('illegal-parameter');
  return suite;
}

function agree(keyShare: KeyShare<NamedGroup>, hello: ServerHello): Uint8Array {
  const data = hello.extensions.get(extensionType.keyShare);
  if (!data) throw new HandshakeFault('missing-extension');
  const share = decodeKeyShare(data);
  if (!share) throw new HandshakeFault('malformed-message');
  const shared = share.groupId === namedGroupId[keyShare.group] ? keyShare.agree(share.publicKey) : null;
  if (!shared) throw new HandshakeFault('illegal-parameter');
  return shared;
}
