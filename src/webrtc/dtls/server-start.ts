/**
 * A server before it knows the version: takes the ClientHello, chooses, and hands over to that version's handshake.
 *
 * There is no HelloVerifyRequest and no cookie in a HelloRetryRequest. RFC 6347, section 4.2.1, and RFC 9147, section
 * 5.1, want them against floods from false addresses and let a server leave them out where that is no concern; ICE has already proven that the peer receives what is sent to it, and
 * the exchange would cost a round trip.
 */
import { decodeSupportedVersions } from './extensions.ts';
import { HandshakeFault } from './fault.ts';
import type { Admission, Handshake, HandshakeHost } from './handshake.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import { decodeClientHello } from './hello-messages.ts';
import type { ClientHello } from './hello-messages.ts';
import { generateKeyShare } from './key-share.ts';
import type { KeyShare } from './key-share.ts';
import { extensionType, handshakeType, protocolVersion } from './registry.ts';
import type { DtlsVersion } from './registry.ts';
import { Server12 } from './server-12.ts';
import { Server13 } from './server-13.ts';

export class ServerStart implements Handshake {
  readonly #host: HandshakeHost;
  /** There before the ClientHello is, so that the answer to it need not wait for it. */
  readonly #keyShare: KeyShare;

  constructor(host: HandshakeHost) {
    this.#host = host;
    this.#keyShare = host.config.keyShare ?? generateKeyShare('x25519');
  }

  admit(type: number, epoch: number): Admission {
    return epoch === 0 && type === handshakeType.clientHello ? 'take' : 'unexpected-message';
  }

  handle(message: HandshakeMessage): void {
    const hello = decodeClientHello(message.body);
    if (!hello) throw new HandshakeFault('malformed-message');
    const host = this.#host;
    switch (chooseVersion(hello, host.config.versions)) {
      case '1.3':
        return host.continueWith(new Server13(host, message, hello, this.#keyShare));
      case '1.2':
        return host.continueWith(new Server12(host, message, hello, this.#keyShare));
      case null:
        throw new HandshakeFault('no-common-version');
    }
  }
}

/** supported_versions counts alone where it is present (RFC 8446, section 4.2.1). DTLS versions count downwards. */
function chooseVersion(hello: ClientHello, spoken: readonly DtlsVersion[]): DtlsVersion | null {
  const data = hello.extensions.get(extensionType.supportedVersions);
  if (!data) return spoken.includes('1.2') && hello.version <= protocolVersion.dtls12 && hello.version >>> 8 === 0xfe ? '1.2' : null;
  const versions = decodeSupportedVersions(data);
  if (!versions) throw new HandshakeFault('malformed-message');
  if (spoken.includes('1.3') && versions.includes(protocolVersion.dtls13)) return '1.3';
  return spoken.includes('1.2') && versions.includes(protocolVersion.dtls12) ? '1.2' : null;
}
