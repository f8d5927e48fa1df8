/**
 * The client's side of a full DTLS 1.2 handshake with a client certificate (RFC 6347, section 4.2.4, figure 1); the
 * flow is drawn in `server-12.ts`.
 *
 *  1. ServerHello: check the choice against the offer.
 *  2. Certificate: compare with the announced fingerprints; keep its public key.
 *  3. ServerKeyExchange: the server owns the certificate's private key; derive the premaster secret.
 *  4. CertificateRequest: a certificate is wanted. A server may go without.
 *  5. ServerHelloDone: derive all keys; open epoch 1 both ways, send flight 5.
 *  6. Finished: the server saw the same handshake; done. Its repetition needs no answer.
 *
 * Deviations: no session resumption, no renegotiation. A server without extended master secret is accepted, for the
 * reason given in `server-12.ts`. `client-start.ts` looks for the downgrade sentinel.
 */
import type { SrtpProfile } from '../srtp-profile.ts';
import {
  decodeCertificate,
  decodeCertificateRequest,
  encodeCertificate,
  encodeCertificateVerify,
} from './certificate-messages.ts';
import { isEmptyRenegotiationInfo, readChosenSrtpProfile } from './extensions.ts';
import { HandshakeFault } from './fault.ts';
import { admit12, Secrets12, signedKeyExchange } from './handshake-12.ts';
import type { Admission, Handshake, HandshakeHost } from './handshake.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import type { ClientHello, ServerHello } from './hello-messages.ts';
import { decodeServerKeyExchange, encodeClientKeyExchange, encodeEcdhParameters } from './key-exchange-messages.ts';
import type { HelloRandoms } from './key-schedule-12.ts';
import { generateKeyShare } from './key-share.ts';
import type { KeyShare } from './key-share.ts';
import { trustPeerCertificate } from './peer-certificate.ts';
import type { PeerCertificate } from './peer-certificate.ts';
import { cipherSuites, diffieHellmanGroupId, extensionType, handshakeType } from './registry.ts';
import type { CipherSuite, DiffieHellmanGroup } from './registry.ts';
import { ownScheme, signWithOwnScheme, verifySignature } from './signature-scheme.ts';

type Step = 'certificate' | 'server-key-exchange' | 'certificate-request' | 'server-hello-done' | 'finished' | 'done';

export class Client12 implements Handshake {
  readonly #host: HandshakeHost;
  readonly #suite: CipherSuite;
  readonly #srtpProfile: SrtpProfile | null;
  readonly #extendedMasterSecret: boolean;
  readonly #randoms: HelloRandoms;
  #step: Step = 'certificate';
  #certificateRequested = false;
  #peer: PeerCertificate | null = null;
  #keyShare: KeyShare | null = null;
  #premaster: Uint8Array | null = null;
  #secrets: Secrets12 | null = null;

  /** @throws {HandshakeFault} when the server chose what was not offered. */
  constructor(host: HandshakeHost, offer: ClientHello, message: HandshakeMessage, hello: ServerHello) {
    this.#host = host;
    this.#suite = checkHello(offer, hello);
    this.#srtpProfile = readChosenSrtpProfile(host.config.srtpProfiles, hello.extensions.get(extensionType.useSrtp));
    this.#extendedMasterSecret = hello.extensions.has(extensionType.extendedMasterSecret);
    this.#randoms = { client: offer.random, server: hello.random };
    host.transcript.append(message);
  }

  admit(type: number, epoch: number): Admission {
    return admit12(type, epoch, this.#step === 'done');
  }

  handle(message: HandshakeMessage): void {
    const { type } = message;
    const step = this.#step;
    if (step === 'certificate' && type === handshakeType.certificate) this.#handleCertificate(message);
    else if (step === 'server-key-exchange' && type === handshakeType.serverKeyExchange) this.#handleKeyExchange(message);
    else if (step === 'certificate-request' && type === handshakeType.certificateRequest) this.#handleRequest(message);
    else if (step === 'certificate-request' && type === handshakeType.serverHelloDone) this.#handleHelloDone(message);
    else if (step === 'server-hello-done' && type === handshakeType.serverHelloDone) this.#handleHelloDone(message);
    else if (step === 'finished' && type === handshakeType.finished) this.#handleFinished(message);
    else throw new HandshakeFault('unexpected-message');
  }

  #handleCertificate(message: HandshakeMessage): void {
    const chain = decodeCertificate(message.body);
    if (!chain) throw new HandshakeFault('malformed-message');
    const peer = trustPeerCertificate(chain, this.#host.config.remoteFingerprints);
    if ((peer.publicKey.asymmetricKeyType === 'rsa') !== (this.#suite.authentication === 'rsa')) {
      throw new HandshakeFault('illegal-parameter');
    }
    this.#peer = peer;
    this.#host.transcript.append(message);
    this.#step = 'server-key-exchange';
  }

  #handleKeyExchange(message: HandshakeMessage): void {
    const exchange = decodeServerKeyExchange(message.body);
    if (!exchange) throw new HandshakeFault('malformed-message');
    const signed = signedKeyExchange(this.#randoms, encodeEcdhParameters(exchange));
    if (!verifySignature(exchange.scheme, this.#peer!.publicKey, signed, exchange.signature, '1.2')) {
      throw new HandshakeFault('bad-signature');
    }
    this.#keyShare = generateKeyShare(groupById(exchange.groupId));
    this.#premaster = this.#keyShare.agree(exchange.publicKey);
    if (!this.#premaster) throw new HandshakeFault('illegal-parameter');
    this.#host.transcript.append(message);
    this.#step = 'certificate-request';
  }

  #handleRequest(message: HandshakeMessage): void {
    const request = decodeCertificateRequest(message.body);
    if (!request) throw new HandshakeFault('malformed-message');
    if (!request.signatureSchemes.includes(ownScheme)) throw new HandshakeFault('no-common-signature-scheme');
    this.#host.transcript.append(message);
    this.#certificateRequested = true;
    this.#step = 'server-hello-done';
  }

  #handleHelloDone(message: HandshakeMessage): void {
    if (message.body.length > 0) throw new HandshakeFault('malformed-message');
    this.#host.transcript.append(message);
    this.#sendFlight5();
    this.#step = 'finished';
  }

  #sendFlight5(): void {
    const host = this.#host;
    const { certificate } = host.config;
    const flight: HandshakeMessage[] = [];
    if (this.#certificateRequested) {
      flight.push(host.compose(handshakeType.certificate, encodeCertificate([certificate.der])));
    }
    const keyExchange = encodeClientKeyExchange(this.#keyShare!.publicKey);
    flight.push(host.compose(handshakeType.clientKeyExchange, keyExchange));
    const secrets = new Secrets12(this.#suite, this.#randoms, this.#premaster!, this.#extendedMasterSecret, host.transcript);
    if (this.#certificateRequested) {
      const signature = signWithOwnScheme(certificate.privateKey, host.transcript.bytes12());
      flight.push(host.compose(handshakeType.certificateVerify, encodeCertificateVerify({ scheme: ownScheme, signature })));
    }
    const finished = host.compose(handshakeType.finished, secrets.verifyData('client', host.transcript));
    this.#secrets = secrets;
    host.addReadEpoch(1, secrets.protections.server);
    host.addWriteEpoch(1, secrets.protections.client);
    host.sendFlight(
      [
        ...flight.map((message) => ({ type: 'message', epoch: 0, message }) as const),
        { type: 'change-cipher-spec', epoch: 0 },
        { type: 'message', epoch: 1, message: finished },
      ],
      true,
    );
  }

  #handleFinished(message: HandshakeMessage): void {
    const host = this.#host;
    const secrets = this.#secrets!;
    secrets.checkFinished('server', message.body, host.transcript);
    this.#step = 'done';
    host.endFlight();
    host.complete({
      version: '1.2',
      cipherSuite: this.#suite.name,
      group: this.#keyShare!.group,
      srtp: secrets.srtpKeyingMaterial(this.#srtpProfile, 'client'),
      peerCertificate: this.#peer!.der,
    });
  }
}

function checkHello(offer: ClientHello, hello: ServerHello): CipherSuite {
  for (const type of hello.extensions.keys()) {
    if (!offer.extensions.has(type)) throw new HandshakeFault('unsolicited-extension');
  }
  const renegotiation = hello.extensions.get(extensionType.renegotiationInfo);
  if (renegotiation && !isEmptyRenegotiationInfo(renegotiation)) throw new HandshakeFault('insecure-renegotiation');
  const suite = cipherSuites.find(({ id }) => id === hello.cipherSuite);
  if (!suite || hello.compressionMethod !== 0) throw new HandshakeFault('illegal-parameter');
  return suite;
}

function groupById(id: number): DiffieHellmanGroup {
  for (const [name, groupId] of Object.entries(diffieHellmanGroupId)) if (groupId === id) return name as DiffieHellmanGroup;
  throw new HandshakeFault('illegal-parameter');
}
