/**
 * The server's side of a full DTLS 1.3 handshake with a client certificate (RFC 9147, section 5; RFC 8446, section 2):
 *
 *   Client                                        Server
 *   ClientHello                 ────────►                                epoch 0
 *                               ◄────────         HelloRetryRequest      only for want of a common key share
 *   ClientHello                 ────────►
 *                                                 ServerHello
 *                                                 {EncryptedExtensions}
 *                                                 {CertificateRequest}
 *                                                 {Certificate}
 *                                                 {CertificateVerify}
 *                               ◄────────         {Finished}             epoch 2
 *                               ◄────────         [data, SRTP]           0.5-RTT, when the policy allows it
 *   {Certificate}
 *   {CertificateVerify}
 *   {Finished}                  ────────►
 *                               ◄────────         [ACK]                  epoch 3
 *   [data]                      ◄───────►         [data]
 *
 *  1. ClientHello: choose suite and group; answer with HelloRetryRequest when no share of a common group came.
 *  2. Send the whole flight. All keys exist now, but nobody has shown who the client is: epoch 3 is opened for writing
 *     alone, what the client sends in it is kept unread, and its SRTP keys are given to nobody.
 *  3. Certificate: compare with the announced fingerprints; keep its public key.
 *  4. CertificateVerify: the client owns the certificate's private key.
 *  5. Finished: the client saw the same handshake; open epoch 3 for reading, done. The endpoint acknowledges.
 *  6. A repeated flight: our ACK was lost, it is sent again (the endpoint does).
 *
 * Deviations: no cookie, for the reason given in `server-start.ts`; no pre-shared keys, tickets, early data and
 * connection IDs.
 */
import type { SrtpKeyingMaterial, SrtpProfile } from '../srtp-profile.ts';
import { encodeCertificate13, encodeCertificateRequest13 } from './certificate-messages-13.ts';
import { ByteWriter } from './byte-writer.ts';
import {
  decodeKeyShares,
  encodeExtensions,
  encodeKeyShare,
  encodeUint16,
  encodeUseSrtp,
  readUint16List,
  readUseSrtp,
} from './extensions.ts';
import type { Extensions, KeyShareEntry } from './extensions.ts';
import { HandshakeFault } from './fault.ts';
import { epoch13, Secrets13 } from './handshake-13.ts';
import type { TrafficSecrets } from './handshake-13.ts';
import type { Admission, Handshake, HandshakeHost } from './handshake.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import { decodeClientHello, encodeServerHello, helloRetryRandom, randomLength } from './hello-messages.ts';
import type { ClientHello } from './hello-messages.ts';
import { answerKeyShare } from './key-share-hybrid.ts';
import type { KeyShare } from './key-share.ts';
import { KeyUpdates } from './key-update.ts';
import { readPeerCertificate13 } from './peer-certificate.ts';
import type { PeerCertificate } from './peer-certificate.ts';
import { cipherSuites13, extensionType, handshakeType, namedGroupId, protocolVersion } from './registry.ts';
import type { CipherSuite13, NamedGroup } from './registry.ts';
import { ownScheme, verifiedSchemes13 } from './signature-scheme.ts';

type Step = 'second-hello' | 'certificate' | 'certificate-verify' | 'finished' | 'done';

/** What the client's last flight is made of. */
const clientFlight: ReadonlySet<number> = new Set([handshakeType.certificate, handshakeType.certificateVerify, handshakeType.finished]);

export class Server13 implements Handshake {
  readonly #host: HandshakeHost;
  readonly #suite: CipherSuite13;
  readonly #group: NamedGroup;
  readonly #prepared: KeyShare;
  #step: Step = 'certificate';
  #secrets: Secrets13 | null = null;
  #application: TrafficSecrets | null = null;
  #srtp: SrtpKeyingMaterial | null = null;
  #peer: PeerCertificate | null = null;
  #updates: KeyUpdates | null = null;

  /** `prepared` is a key pair made ahead. @throws {HandshakeFault} when nothing is common. */
  constructor(host: HandshakeHost, message: HandshakeMessage, hello: ClientHello, prepared: KeyShare) {
    checkHello(hello);
    this.#host = host;
    this.#prepared = prepared;
    this.#suite = chooseSuite(hello);
    const shares = readShares(hello);
    this.#group = chooseGroup(hello, shares, host.config.groups);
    const share = shareOf(this.#group, shares);
    if (share) this.#answer(message, hello, share);
    else this.#retry(message);
  }

  admit(type: number, epoch: number): Admission {
    if (epoch === epoch13.clear) {
      if (type !== handshakeType.clientHello) return 'wrong-epoch';
      return this.#step === 'second-hello' ? 'take' : 'repeat';
    }
    if (epoch === epoch13.handshake) {
      if (!clientFlight.has(type)) return 'unexpected-message';
      return this.#step === 'done' ? 'repeat' : 'take';
    }
    return type === handshakeType.keyUpdate ? 'take' : 'unexpected-message';
  }

  acknowledges(epoch: number): 'at once' | 'later' | 'never' {
    if (epoch === epoch13.clear) return 'never';
    return this.#step === 'done' ? 'at once' : 'later';
  }

  flightAcknowledged(): void {
    this.#updates?.flightAcknowledged();
  }

  handle(message: HandshakeMessage): void {
    const { type } = message;
    if (this.#step === 'second-hello' && type === handshakeType.clientHello) this.#handleSecondHello(message);
    else if (this.#step === 'certificate' && type === handshakeType.certificate) this.#handleCertificate(message);
    else if (this.#step === 'certificate-verify' && type === handshakeType.certificateVerify) this.#handleVerify(message);
    else if (this.#step === 'finished' && type === handshakeType.finished) this.#handleFinished(message);
    else if (this.#step === 'done' && type === handshakeType.keyUpdate) this.#updates!.handle(message.body);
    else throw new HandshakeFault('unexpected-message');
  }

  /** RFC 8446, section 4.1.4. */
  #retry(message: HandshakeMessage): void {
    const { transcript } = this.#host;
    transcript.append(message);
    transcript.foldClientHello(this.#suite.hash);
    const request = this.#composeHello(helloRetryRandom, encodeUint16(namedGroupId[this.#group]));
    this.#host.sendFlight([{ type: 'message', epoch: epoch13.clear, message: request }], true);
    this.#step = 'second-hello';
  }

  #handleSecondHello(message: HandshakeMessage): void {
    const hello = decodeClientHello(message.body);
    if (!hello) throw new HandshakeFault('malformed-message');
    checkHello(hello);
    const share = shareOf(this.#group, readShares(hello));
    if (!share || !hello.cipherSuites.includes(this.#suite.id)) throw new HandshakeFault('illegal-parameter');
    this.#answer(message, hello, share);
  }

  #answer(message: HandshakeMessage, hello: ClientHello, share: KeyShareEntry): void {
    const host = this.#host;
    const { certificate, srtpProfiles } = host.config;
    const useSrtp = readUseSrtp(hello.extensions.get(extensionType.useSrtp));
    const srtpProfile = srtpProfiles.find((profile) => useSrtp?.profiles.includes(profile)) ?? null;
    const agreement = answerKeyShare(this.#group, share.publicKey, this.#prepared);
    if (!agreement) throw new HandshakeFault('illegal-parameter');
    const random = new Uint8Array(randomLength);
    host.config.random(random);

    const { transcript } = host;
    transcript.append(message);
    const answer = encodeKeyShare({ groupId: namedGroupId[this.#group], publicKey: agreement.publicKey });
    const serverHello = this.#composeHello(random, answer);
    const secrets = new Secrets13(this.#suite, agreement.secret, transcript);
    const context = new Uint8Array(0);
    const flight = [
      host.compose(handshakeType.encryptedExtensions, encryptedExtensions(srtpProfile)),
      host.compose(handshakeType.certificateRequest, encodeCertificateRequest13({ context, signatureSchemes: verifiedSchemes13 })),
      host.compose(handshakeType.certificate, encodeCertificate13({ context, chain: [certificate.der] })),
    ];
    const verify = secrets.certificateVerify('server', certificate.privateKey, transcript);
    flight.push(host.compose(handshakeType.certificateVerify, verify));
    flight.push(host.compose(handshakeType.finished, secrets.verifyData('server', transcript)));

    this.#secrets = secrets;
    this.#application = secrets.application(transcript);
    this.#srtp = secrets.srtpKeyingMaterial(srtpProfile, 'server', transcript);
    this.#step = 'certificate';
    // What came in clear text so far and is not the ClientHello is nobody's (RFC 8446, section 5.1).
    host.forgetAhead();
    host.addUnifiedReadEpoch(epoch13.handshake, secrets.protection(secrets.handshake.client));
    host.addWriteEpoch(epoch13.handshake, secrets.protection(secrets.handshake.server));
    host.addWriteEpoch(epoch13.application, secrets.protection(this.#application.server));
    host.sendFlight(
      [
        { type: 'message', epoch: epoch13.clear, message: serverHello },
        ...flight.map((message) => ({ type: 'message', epoch: epoch13.handshake, message }) as const),
      ],
      true,
    );
    host.maySend(this.#srtp);
  }

  #handleCertificate(message: HandshakeMessage): void {
    this.#peer = readPeerCertificate13(message.body, this.#host.config.remoteFingerprints);
    this.#host.transcript.append(message);
    this.#step = 'certificate-verify';
  }

  #handleVerify(message: HandshakeMessage): void {
    const { transcript } = this.#host;
    this.#secrets!.checkCertificateVerify('client', message, this.#peer!.publicKey, transcript);
    transcript.append(message);
    this.#step = 'finished';
  }

  #handleFinished(message: HandshakeMessage): void {
    const host = this.#host;
    const secrets = this.#secrets!;
    secrets.checkFinished('client', message.body, host.transcript);
    this.#updates = new KeyUpdates(host, secrets, this.#application!, 'server');
    this.#step = 'done';
    host.endFlight();
    host.addUnifiedReadEpoch(epoch13.application, secrets.protection(this.#application!.client));
    host.complete({
      version: '1.3',
      cipherSuite: this.#suite.name,
      group: this.#group,
      srtp: this.#srtp,
      peerCertificate: this.#peer!.der,
    });
  }

  /** A ServerHello, or with the random of its own a HelloRetryRequest. */
  #composeHello(random: Uint8Array, keyShare: Uint8Array): HandshakeMessage {
    return this.#host.compose(
      handshakeType.serverHello,
      encodeServerHello({
        version: protocolVersion.dtls12,
        random,
        // Not the client's: that is for middleboxes in TLS (RFC 9147, section 5.4).
        sessionId: new Uint8Array(0),
        cipherSuite: this.#suite.id,
        compressionMethod: 0,
        extensions: new Map([
          [extensionType.supportedVersions, encodeUint16(protocolVersion.dtls13)],
          [extensionType.keyShare, keyShare],
        ]),
      }),
    );
  }
}

function encryptedExtensions(srtpProfile: SrtpProfile | null): Uint8Array {
  const extensions: Extensions = new Map(srtpProfile ? [[extensionType.useSrtp, encodeUseSrtp([srtpProfile])]] : []);
  const writer = new ByteWriter();
  encodeExtensions(writer, extensions);
  return writer.finish();
}

function checkHello(hello: ClientHello): void {
  // RFC 9147, section 5.3: a cookie, if at all, comes as an extension.
  if (hello.cookie.length > 0) throw new HandshakeFault('illegal-parameter');
  if (hello.compressionMethods.length !== 1 || hello.compressionMethods[0] !== 0) throw new HandshakeFault('illegal-parameter');
  const schemes = readUint16List(hello.extensions, extensionType.signatureAlgorithms);
  if (!schemes) throw new HandshakeFault('missing-extension');
  if (!schemes.includes(ownScheme)) throw new HandshakeFault('no-common-signature-scheme');
}

function chooseSuite(hello: ClientHello): CipherSuite13 {
  const suite = cipherSuites13.find(({ id }) => hello.cipherSuites.includes(id));
  if (!suite) throw new HandshakeFault('no-common-cipher-suite');
  return suite;
}

function readShares(hello: ClientHello): KeyShareEntry[] {
  const data = hello.extensions.get(extensionType.keyShare);
  if (!data) throw new HandshakeFault('missing-extension');
  const shares = decodeKeyShares(data);
  if (!shares) throw new HandshakeFault('malformed-message');
  return shares;
}

function shareOf(group: NamedGroup, shares: readonly KeyShareEntry[]): KeyShareEntry | undefined {
  return shares.find(({ groupId }) => groupId === namedGroupId[group]);
}

/** Of the groups that the client knows the first that a share came for, so that no round trip is lost; else the first. */
function chooseGroup(hello: ClientHello, shares: readonly KeyShareEntry[], preferred: readonly NamedGroup[]): NamedGroup {
  const offered = readUint16List(hello.extensions, extensionType.supportedGroups);
  if (!offered) throw new HandshakeFault('missing-extension');
  const common = preferred.filter((group) => offered.includes(namedGroupId[group]));
  const group = common.find((candidate) => shareOf(candidate, shares)) ?? common[0];
  if (!group) throw new HandshakeFault('no-common-group');
  return group;
}
