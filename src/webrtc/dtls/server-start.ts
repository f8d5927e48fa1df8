/**
 * A server before it knows the version: takes the ClientHello, chooses, and hands over to that version's handshake.
 *
 * There is no HelloVerifyRequest. RFC 6347, section 4.2.1, wants it against floods from false addresses and lets a
 * server leave it out where that is no concern; ICE has already proven that the peer receives what is sent to it, and
 * the exchange would cost a round trip.
 */
import { decodeSupportedVersions } from './extensions.ts';
import { HandshakeFault } from './fault.ts';
import type { Admission, Handshake, HandshakeHost } from './handshake.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import { decodeClientHello } from './hello-messages.ts';
import type { ClientHello } from './hello-messages.ts';
import { generateKeyShare } from './key-share.ts';
import { extensionType, handshakeType, protocolVersion } from './registry.ts';
import { Server12 } from './server-12.ts';

export class ServerStart implements Handshake {
  readonly #host: HandshakeHost;
  /** Made ahead of the ClientHello, so that the answer to it need not wait for it. */
  readonly #keyShare = generateKeyShare('x25519');

  constructor(host: HandshakeHost) {
    this.#host = host;
  }

  admit(type: number, epoch: number): Admission {
    return epoch === 0 && type === handshakeType.clientHello ? 'take' : 'unexpected-message';
  }

  handle(message: HandshakeMessage): void {
    const hello = decodeClientHello(message.body);
    if (!hello) throw new HandshakeFault('malformed-message');
    if (!offersDtls12(hello)) throw new HandshakeFault('no-common-version');
    this.#host.continueWith(new Server12(this.#host, message, hello, this.#keyShare));
  }
}

/** supported_versions counts alone where it is present (RFC 8446, section 4.2.1). DTLS versions count downwards. */
function offersDtls12(hello: ClientHello): boolean {
  const data = hello.extensions.get(extensionType.supportedVersions);
  if (!data) return hello.version <= protocolVersion.dtls12 && hello.version >>> 8 === 0xfe;
  const versions = decodeSupportedVersions(data);
  if (!versions) throw new HandshakeFault('malformed-message');
  return versions.includes(protocolVersion.dtls12);
}
