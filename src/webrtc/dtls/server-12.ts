/**
 * The server's side of a full DTLS 1.2 handshake with a client certificate (RFC 6347, section 4.2.4, figure 1):
 *
 *   Client                                        Server
 *   ClientHello                 ────────►                                flight 1
 *                                                 ServerHello
 *                                                 Certificate
 *                                                 ServerKeyExchange
 *                                                 CertificateRequest
 *                               ◄────────         ServerHelloDone        flight 4
 *   Certificate
 *   ClientKeyExchange
 *   CertificateVerify
 *   [ChangeCipherSpec]
 *   Finished                    ────────►                                flight 5
 *                                                 [ChangeCipherSpec]
 *                               ◄────────         Finished               flight 6
 *
 *  1. ClientHello: choose cipher suite, group and SRTP profile; send flight 4.
 *  2. Certificate: compare with the announced fingerprints; keep its public key.
 *  3. ClientKeyExchange: derive all keys; open epoch 1 for reading.
 *  4. CertificateVerify: the client owns the certificate's private key.
 *  5. Finished: the client saw the same handshake; open epoch 1 for writing, send flight 6, done.
 *  6. A repeated Finished: flight 6 was lost, send it again (the endpoint does).
 *
 * Deviations: no session resumption (session_id is empty), no renegotiation. A client without extended master secret is
 * served (RFC 7627, section 5.3, says SHOULD abort): both certificates are checked by fingerprint and both sides sign
 * or prove the exchange, so that nobody can stand in the middle as that extension fears.
 * The random ends in the downgrade sentinel of RFC 8446, section 4.1.3, unless 1.2 is the highest version that this
 * endpoint may speak: then clients that offer 1.3 would take the sentinel for an attack.
 */
import type { SrtpProfile } from '../srtp-profile.ts';
import {
  decodeCertificate,
  decodeCertificateVerify,
  encodeCertificate,
  encodeCertificateRequest,
} from './certificate-messages.ts';
import {
  emptyRenegotiationInfo,
  encodeUseSrtp,
  isEmptyRenegotiationInfo,
  readUint16List,
  readUseSrtp,
  uncompressedPointFormat,
} from './extensions.ts';
import { HandshakeFault } from './fault.ts';
import { admit12, Secrets12, signedKeyExchange } from './handshake-12.ts';
import type { Admission, Handshake, HandshakeHost } from './handshake.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import { downgradeSentinel, encodeServerHello, randomLength } from './hello-messages.ts';
import type { ClientHello } from './hello-messages.ts';
import { decodeClientKeyExchange, encodeEcdhParameters, encodeServerKeyExchange } from './key-exchange-messages.ts';
import type { HelloRandoms } from './key-schedule-12.ts';
import { generateKeyShare } from './key-share.ts';
import type { KeyShare } from './key-share.ts';
import { trustPeerCertificate } from './peer-certificate.ts';
import type { PeerCertificate } from './peer-certificate.ts';
import {
  cipherSuites,
  clientCertificateType,
  diffieHellmanGroupId,
  emptyRenegotiationInfoScsv,
  extensionType,
  handshakeType,
  protocolVersion,
} from './registry.ts';
import type { CipherSuite } from './registry.ts';
import { ownScheme, signWithOwnScheme, verifiedSchemes, verifySignature } from './signature-scheme.ts';

type Step = 'certificate' | 'client-key-exchange' | 'certificate-verify' | 'finished' | 'done';

export class Server12 implements Handshake {
  readonly #host: HandshakeHost;
  readonly #suite: CipherSuite;
  readonly #keyShare: KeyShare;
  readonly #srtpProfile: SrtpProfile | null;
  readonly #extendedMasterSecret: boolean;
  readonly #randoms: HelloRandoms;
  #step: Step = 'certificate';
  #peer: PeerCertificate | null = null;
  #secrets: Secrets12 | null = null;

  /** `keyShare` is used when the client knows its group. @throws {HandshakeFault} when nothing is common. */
  constructor(host: HandshakeHost, message: HandshakeMessage, hello: ClientHello, keyShare: KeyShare) {
    checkHello(hello);
    const useSrtp = readUseSrtp(hello.extensions.get(extensionType.useSrtp));
    this.#host = host;
    this.#suite = chooseSuite(hello);
    this.#keyShare = chooseKeyShare(hello, keyShare);
    this.#srtpProfile = host.config.srtpProfiles.find((profile) => useSrtp?.profiles.includes(profile)) ?? null;
    this.#extendedMasterSecret = hello.extensions.has(extensionType.extendedMasterSecret);
    const random = new Uint8Array(randomLength);
    host.config.random(random);
    if (host.config.versions.includes('1.3')) random.set(downgradeSentinel, randomLength - downgradeSentinel.length);
    this.#randoms = { client: hello.random, server: random };
    host.transcript.append(message);
    this.#sendFlight4(hello);
  }

  admit(type: number, epoch: number): Admission {
    return admit12(type, epoch, this.#step === 'done');
  }

  handle(message: HandshakeMessage): void {
    const { type } = message;
    if (this.#step === 'certificate' && type === handshakeType.certificate) this.#handleCertificate(message);
    else if (this.#step === 'client-key-exchange' && type === handshakeType.clientKeyExchange) this.#handleKeyExchange(message);
    else if (this.#step === 'certificate-verify' && type === handshakeType.certificateVerify) this.#handleVerify(message);
    else if (this.#step === 'finished' && type === handshakeType.finished) this.#handleFinished(message);
    else throw new HandshakeFault('unexpected-message');
  }

  #sendFlight4(hello: ClientHello): void {
    const host = this.#host;
    const parameters = { groupId: diffieHellmanGroupId[this.#keyShare.group], publicKey: this.#keyShare.publicKey };
    const signature = signWithOwnScheme(
      host.config.certificate.privateKey,
      signedKeyExchange(this.#randoms, encodeEcdhParameters(parameters)),
    );
    const flight = [
      host.compose(
        handshakeType.serverHello,
        encodeServerHello({
          version: protocolVersion.dtls12,
          random: this.#randoms.server,
          sessionId: new Uint8Array(0),
          cipherSuite: this.#suite.id,
          compressionMethod: 0,
          extensions: this.#extensions(hello),
        }),
      ),
      host.compose(handshakeType.certificate, encodeCertificate([host.config.certificate.der])),
      host.compose(
        handshakeType.serverKeyExchange,
        encodeServerKeyExchange({ ...parameters, scheme: ownScheme, signature }),
      ),
      host.compose(
        handshakeType.certificateRequest,
        encodeCertificateRequest({
          certificateTypes: Uint8Array.of(clientCertificateType.ecdsaSign, clientCertificateType.rsaSign),
          signatureSchemes: verifiedSchemes,
        }),
      ),
      host.compose(handshakeType.serverHelloDone, new Uint8Array(0)),
    ];
    host.sendFlight(flight.map((message) => ({ type: 'message', epoch: 0, message })), true);
  }

  /** Answers only what the client brought (RFC 5246, section 7.4.1.4). */
  #extensions(hello: ClientHello): Map<number, Uint8Array> {
    const answer = new Map<number, Uint8Array>();
    const { extensions, cipherSuites: offered } = hello;
    if (extensions.has(extensionType.renegotiationInfo) || offered.includes(emptyRenegotiationInfoScsv)) {
      answer.set(extensionType.renegotiationInfo, emptyRenegotiationInfo);
    }
    if (this.#extendedMasterSecret) answer.set(extensionType.extendedMasterSecret, new Uint8Array(0));
    if (extensions.has(extensionType.ecPointFormats)) answer.set(extensionType.ecPointFormats, uncompressedPointFormat);
    if (this.#srtpProfile) answer.set(extensionType.useSrtp, encodeUseSrtp([this.#srtpProfile]));
    return answer;
  }

  #handleCertificate(message: HandshakeMessage): void {
    const chain = decodeCertificate(message.body);
    if (!chain) throw new HandshakeFault('malformed-message');
    this.#peer = trustPeerCertificate(chain, this.#host.config.remoteFingerprints);
    this.#host.transcript.append(message);
    this.#step = 'client-key-exchange';
  }

  #handleKeyExchange(message: HandshakeMessage): void {
    const publicKey = decodeClientKeyExchange(message.body);
    if (!publicKey) throw new HandshakeFault('malformed-message');
    const premaster = this.#keyShare.agree(publicKey);
    if (!premaster) throw new HandshakeFault('illegal-parameter');
    const { transcript } = this.#host;
    transcript.append(message);
    this.#secrets = new Secrets12(this.#suite, this.#randoms, premaster, this.#extendedMasterSecret, transcript);
    this.#host.addReadEpoch(1, this.#secrets.protections.client);
    this.#step = 'certificate-verify';
  }

  #handleVerify(message: HandshakeMessage): void {
    const verify = decodeCertificateVerify(message.body);
    if (!verify) throw new HandshakeFault('malformed-message');
    const { transcript } = this.#host;
    if (!verifySignature(verify.scheme, this.#peer!.publicKey, transcript.bytes12(), verify.signature, '1.2')) {
      throw new HandshakeFault('bad-signature');
    }
    transcript.append(message);
    this.#step = 'finished';
  }

  #handleFinished(message: HandshakeMessage): void {
    const host = this.#host;
    const secrets = this.#secrets!;
    secrets.checkFinished('client', message.body, host.transcript);
    host.transcript.append(message);
    const finished = host.compose(handshakeType.finished, secrets.verifyData('server', host.transcript));
    host.addWriteEpoch(1, secrets.protections.server);
    host.sendFlight([{ type: 'change-cipher-spec', epoch: 0 }, { type: 'message', epoch: 1, message: finished }], false);
    this.#step = 'done';
    host.complete({
      version: '1.2',
      cipherSuite: this.#suite.name,
      group: this.#keyShare.group,
      srtp: secrets.srtpKeyingMaterial(this.#srtpProfile, 'server'),
      peerCertificate: this.#peer!.der,
    });
  }
}

function checkHello(hello: ClientHello): void {
  if (!hello.compressionMethods.includes(0)) throw new HandshakeFault('illegal-parameter');
  const renegotiation = hello.extensions.get(extensionType.renegotiationInfo);
  if (renegotiation && !isEmptyRenegotiationInfo(renegotiation)) throw new HandshakeFault('insecure-renegotiation');
  const schemes = readUint16List(hello.extensions, extensionType.signatureAlgorithms);
  if (!schemes?.includes(ownScheme)) throw new HandshakeFault('no-common-signature-scheme');
}

function chooseSuite(hello: ClientHello): CipherSuite {
  const suite = cipherSuites.find(({ id, authentication }) => authentication === 'ecdsa' && hello.cipherSuites.includes(id));
  if (!suite) throw new HandshakeFault('no-common-cipher-suite');
  return suite;
}

/** A client that names no groups knows P-256 (RFC 8422, section 4). */
function chooseKeyShare(hello: ClientHello, prepared: KeyShare): KeyShare {
  const groups = readUint16List(hello.extensions, extensionType.supportedGroups) ?? [diffieHellmanGroupId.secp256r1];
  if (groups.includes(diffieHellmanGroupId[prepared.group])) return prepared;
  if (groups.includes(diffieHellmanGroupId.secp256r1)) return generateKeyShare('secp256r1');
  throw new HandshakeFault('no-common-group');
}
