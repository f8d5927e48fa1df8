import { createHash } from 'node:crypto';
import { encodeHandshakeFragment } from './handshake-fragment.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
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

  /** What DTLS 1.2 hashes and signs: every message as if it had been sent in one fragment (RFC 6347, section 4.2.6). */
  bytes12(): Uint8Array {
    return Buffer.concat(this.#messages.map((message) => encodeHandshakeFragment(message, 0, message.body.length)));
  }

  /** Hash of {@link bytes12}. */
  hash12(hash: HashName): Uint8Array {
    return createHash(hash).update(this.bytes12()).digest();
  }
}
