/**
 * A client before it knows the version: sends the ClientHello, repeats it when the server asks so, and hands over to the
 * handshake of the version that the ServerHello names.
 *
 *   ClientHello                       ────────►
 *                                     ◄────────    HelloVerifyRequest     (1.2; RFC 6347, section 4.2.1; optional, once)
 *                                     ◄────────    HelloRetryRequest      (1.3; RFC 8446, section 4.1.4; optional, once)
 *   ClientHello, cookie or key share  ────────►
 *                                     ◄────────    ServerHello …
 */
import { Client12 } from './client-12.ts';
import { checkHello13, Client13 } from './client-13.ts';
import {
  decodeUint16,
  emptyRenegotiationInfo,
  encodeKeyShares,
  encodeSupportedVersions,
  encodeUint16List,
  encodeUseSrtp,
  uncompressedPointFormat,
} from './extensions.ts';
import { HandshakeFault } from './fault.ts';
import { admit12 } from './handshake-12.ts';
import type { Admission, Handshake, HandshakeConfig, HandshakeHost } from './handshake.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import {
  decodeHelloVerifyRequest,
  decodeServerHello,
  downgradeSentinel,
  encodeClientHello,
  helloRetryRandom,
  randomLength,
} from './hello-messages.ts';
import type { ClientHello, ServerHello } from './hello-messages.ts';
import { generateAnyKeyShare } from './key-share-hybrid.ts';
import type { KeyShare } from './key-share.ts';
import { cipherSuites, cipherSuites13, extensionType, handshakeType, namedGroupById, namedGroupId, protocolVersion } from './registry.ts';
import type { NamedGroup } from './registry.ts';
import { verifiedSchemes } from './signature-scheme.ts';

export class ClientStart implements Handshake {
  readonly #host: HandshakeHost;
  #hello: ClientHello;
  /** Of DTLS 1.3; only for the group that is liked best, as others cost time and bytes. */
  #keyShare: KeyShare<NamedGroup> | null = null;
  #verified = false;
  /** The suite that a HelloRetryRequest named; the ServerHello must name the same. */
  #retriedSuite: number | null = null;

  constructor(host: HandshakeHost) {
    this.#host = host;
    const { config } = host;
    this.#hello = createHello(config);
    if (config.versions.includes('1.3')) this.#offerKeyShare(config.groups[0]);
    this.#sendHello();
  }

  admit(type: number, epoch: number): Admission {
    // What follows the ServerHello may overtake it.
    return admit12(type, epoch, false);
  }

  handle(message: HandshakeMessage): void {
    if (message.type === handshakeType.helloVerifyRequest && !this.#verified) this.#handleHelloVerifyRequest(message);
    else if (message.type === handshakeType.serverHello) this.#handleServerHello(message);
    else throw new HandshakeFault('unexpected-message');
  }

  /** The first ClientHello and this message are not part of the transcript (RFC 6347, section 4.2.1). */
  #handleHelloVerifyRequest(message: HandshakeMessage): void {
    const cookie = decodeHelloVerifyRequest(message.body);
    if (!cookie) throw new HandshakeFault('malformed-message');
    this.#verified = true;
    this.#hello = { ...this.#hello, cookie };
    this.#host.transcript.clear();
    this.#sendHello();
  }

  #handleServerHello(message: HandshakeMessage): void {
    const hello = decodeServerHello(message.body);
    if (!hello) throw new HandshakeFault('malformed-message');
    const { versions } = this.#host.config;
    const version = chosenVersion(hello);
    if (version === protocolVersion.dtls13 && versions.includes('1.3')) this.#handleServerHello13(message, hello);
    else if (version === protocolVersion.dtls12 && versions.includes('1.2') && this.#retriedSuite === null) {
      if (versions.includes('1.3') && isDowngrade(hello)) throw new HandshakeFault('illegal-parameter');
      this.#host.continueWith(new Client12(this.#host, this.#hello, message, hello));
    } else throw new HandshakeFault('no-common-version');
  }

  #handleServerHello13(message: HandshakeMessage, hello: ServerHello): void {
    if (helloRetryRandom.every((byte, i) => byte === hello.random[i])) this.#handleHelloRetryRequest(message, hello);
    else if (this.#retriedSuite !== null && this.#retriedSuite !== hello.cipherSuite) throw new HandshakeFault('illegal-parameter');
    else this.#host.continueWith(new Client13(this.#host, this.#hello, this.#keyShare!, message, hello));
  }

  #handleHelloRetryRequest(message: HandshakeMessage, request: ServerHello): void {
    if (this.#retriedSuite !== null) throw new HandshakeFault('unexpected-message');
    const suite = checkHello13(this.#hello, request);
    const { groups } = this.#host.config;
    const wanted = decodeUint16(request.extensions.get(extensionType.keyShare) ?? new Uint8Array(0));
    const group = wanted === null ? null : namedGroupById(wanted);
    if (!group || !groups.includes(group) || group === this.#keyShare!.group) throw new HandshakeFault('illegal-parameter');
    this.#retriedSuite = request.cipherSuite;
    const { transcript } = this.#host;
    transcript.foldClientHello(suite.hash);
    transcript.append(message);
    this.#offerKeyShare(group);
    const cookie = request.extensions.get(extensionType.cookie);
    if (cookie) this.#setExtension(extensionType.cookie, cookie);
    this.#sendHello();
  }

  #offerKeyShare(group: NamedGroup): void {
    this.#keyShare = generateAnyKeyShare(group);
    const entry = { groupId: namedGroupId[group], publicKey: this.#keyShare.publicKey };
    this.#setExtension(extensionType.keyShare, encodeKeyShares([entry]));
  }

  #setExtension(type: number, data: Uint8Array): void {
    this.#hello = { ...this.#hello, extensions: new Map([...this.#hello.extensions, [type, data]]) };
  }

  #sendHello(): void {
    const message = this.#host.compose(handshakeType.clientHello, encodeClientHello(this.#hello));
    this.#host.sendFlight([{ type: 'message', epoch: 0, message }], true);
  }
}

function createHello(config: HandshakeConfig): ClientHello {
  const random = new Uint8Array(randomLength);
  config.random(random);
  const speaks12 = config.versions.includes('1.2');
  const speaks13 = config.versions.includes('1.3');
  const extensions = new Map<number, Uint8Array>([
    [extensionType.supportedGroups, encodeUint16List(config.groups.map((group) => namedGroupId[group]))],
    [extensionType.signatureAlgorithms, encodeUint16List(verifiedSchemes)],
  ]);
  if (speaks12) {
    extensions.set(extensionType.renegotiationInfo, emptyRenegotiationInfo);
    extensions.set(extensionType.extendedMasterSecret, new Uint8Array(0));
    extensions.set(extensionType.ecPointFormats, uncompressedPointFormat);
  }
  if (speaks13) {
    const versions = speaks12 ? [protocolVersion.dtls13, protocolVersion.dtls12] : [protocolVersion.dtls13];
    extensions.set(extensionType.supportedVersions, encodeSupportedVersions(versions));
  }
  if (config.srtpProfiles.length > 0) extensions.set(extensionType.useSrtp, encodeUseSrtp(config.srtpProfiles));
  return {
    version: protocolVersion.dtls12,
    random,
    sessionId: new Uint8Array(0),
    cookie: new Uint8Array(0),
    cipherSuites: [...(speaks13 ? cipherSuites13 : []), ...(speaks12 ? cipherSuites : [])].map((suite) => suite.id),
    compressionMethods: Uint8Array.of(0),
    extensions,
  };
}

/** supported_versions counts alone where it is present (RFC 8446, section 4.2.1). */
function chosenVersion(hello: ServerHello): number {
  const data = hello.extensions.get(extensionType.supportedVersions);
  if (!data) return hello.version;
  const version = decodeUint16(data);
  if (version === null) throw new HandshakeFault('malformed-message');
  return version;
}

/** A server that speaks 1.3, or 1.2 where 1.1 was agreed on, warns of somebody who struck it from our offer. */
function isDowngrade(hello: ServerHello): boolean {
  const end = hello.random.subarray(randomLength - downgradeSentinel.length);
  return downgradeSentinel.every((byte, i) => byte === end[i] || (i === downgradeSentinel.length - 1 && end[i] === 0));
}
