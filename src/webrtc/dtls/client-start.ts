/**
 * A client before it knows the version: sends the ClientHello, repeats it with the cookie when the server asks so, and
 * hands over to the handshake of the version that the ServerHello names.
 *
 *   ClientHello                 ────────►
 *                               ◄────────    HelloVerifyRequest     (RFC 6347, section 4.2.1; optional, once)
 *   ClientHello with cookie     ────────►
 *                               ◄────────    ServerHello …
 */
import { Client12 } from './client-12.ts';
import {
  emptyRenegotiationInfo,
  encodeUint16List,
  encodeUseSrtp,
  uncompressedPointFormat,
} from './extensions.ts';
import { HandshakeFault } from './fault.ts';
import { admit12 } from './handshake-12.ts';
import type { Admission, Handshake, HandshakeConfig, HandshakeHost } from './handshake.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import { decodeHelloVerifyRequest, decodeServerHello, encodeClientHello, randomLength } from './hello-messages.ts';
import type { ClientHello } from './hello-messages.ts';
import { cipherSuites, extensionType, handshakeType, namedGroupId, protocolVersion } from './registry.ts';
import { verifiedSchemes } from './signature-scheme.ts';

export class ClientStart implements Handshake {
  readonly #host: HandshakeHost;
  #hello: ClientHello;
  #verified = false;

  constructor(host: HandshakeHost) {
    this.#host = host;
    this.#hello = createHello(host.config);
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
    if (hello.version !== protocolVersion.dtls12) throw new HandshakeFault('no-common-version');
    this.#host.continueWith(new Client12(this.#host, this.#hello, message, hello));
  }

  #sendHello(): void {
    const message = this.#host.compose(handshakeType.clientHello, encodeClientHello(this.#hello));
    this.#host.sendFlight([{ type: 'message', epoch: 0, message }], true);
  }
}

function createHello(config: HandshakeConfig): ClientHello {
  const random = new Uint8Array(randomLength);
  config.random(random);
  const extensions = new Map<number, Uint8Array>([
    [extensionType.renegotiationInfo, emptyRenegotiationInfo],
    [extensionType.extendedMasterSecret, new Uint8Array(0)],
    [extensionType.supportedGroups, encodeUint16List(Object.values(namedGroupId))],
    [extensionType.ecPointFormats, uncompressedPointFormat],
    [extensionType.signatureAlgorithms, encodeUint16List(verifiedSchemes)],
  ]);
  if (config.srtpProfiles.length > 0) extensions.set(extensionType.useSrtp, encodeUseSrtp(config.srtpProfiles));
  return {
    version: protocolVersion.dtls12,
    random,
    sessionId: new Uint8Array(0),
    cookie: new Uint8Array(0),
    cipherSuites: cipherSuites.map((suite) => suite.id),
    compressionMethods: Uint8Array.of(0),
    extensions,
  };
}
