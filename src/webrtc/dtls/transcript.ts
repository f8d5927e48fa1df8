import { createHash } from 'node:crypto';
import { ByteWriter } from './byte-writer.ts';
import { encodeHandshakeFragment } from './handshake-fragment.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import { handshakeType } from './registry.ts';
import type { HashName } from './registry.ts';

/**
 * The messages of a handshake in their order. They are kept whole and are hashed on demand, because which hash and
 * which form of header count is known only when version and cipher suite are chosen.
 */
export class Transcript {
  readonly #messages: HandshakeMessage[] = [];

  append(message: HandshakeMessage): void {
    this.#messages.push(message);
  }

  /** Forgets everything: after a HelloVerifyRequest, or when the handshake is over. */
  clear(): void {
    this.#messages.length = 0;
  }

  /** Before a HelloRetryRequest: the ClientHello gives way to its hash (RFC 8446, section 4.4.1). */
  foldClientHello(hash: HashName): void {
    const body = this.hash13(hash);
    this.#messages.splice(0, this.#messages.length, { type: handshakeType.messageHash, sequence: 0, body });
  }

  /** Hash of what DTLS 1.3 counts: every message with the header of TLS, type and length (RFC 9147, section 5.2). */
  hash13(hash: HashName): Uint8Array {
    const digest = createHash(hash);
    for (const { type, body } of this.#messages) {
      digest.update(new ByteWriter().uint8(type).uint24(body.length).finish()).update(body);
    }
    return digest.digest();
  }

  /** What DTLS 1.2 hashes and signs: every message as if it had been sent in one fragment (RFC 6347, section 4.2.6). */
  bytes12(): Uint8Array {
    return Buffer.concat(this.#messages.map((message) => encodeHandshakeFragment(message, 0, message.body.length)));
  }

  /** Hash of {@link bytes12}. */
  hash12(hash: HashName): Uint8Array {
    return createHash(hash).update(this.bytes12()).digest();
  }
}
