import type { HandshakeFragment, HandshakeMessage } from './handshake-fragment.ts';

/** Longest message that is put together: a certificate chain of several RSA certificates is well below it. */
const maxMessageLength = 1 << 15;
/** How far ahead of the next message fragments are kept; the longest flight of DTLS 1.2 has five messages. */
const maxMessagesAhead = 8;
/** Bytes kept for all messages together. */
const maxBytes = 1 << 16;
/** Fragments kept for all messages together: the small ones cost more than their bytes. */
const maxFragments = 1024;

interface PartialMessage {
  readonly type: number;
  readonly length: number;
  /** Copies, in order of their offsets, without overlap. */
  readonly parts: { readonly offset: number; readonly bytes: Uint8Array }[];
  received: number;
}

/**
 * Puts handshake messages together (RFC 6347, section 4.2.3): fragments in any order, repeated and overlapping,
 * several messages at once; hands the messages out in the order of their numbers. What it keeps is bounded by what was
 * received, and by fixed limits, never by a length that somebody claims.
 */
export class Reassembly {
  readonly #partial = new Map<number, PartialMessage>();
  /** Number of the message that is handed out next. */
  #next = 0;
  #bytes = 0;
  #fragments = 0;

  /** `repeated`: it belongs to a message that was handed out and accepted before. */
  add(fragment: HandshakeFragment): 'taken' | 'repeated' | 'beyond-reassembly' {
    const { sequence, length, type } = fragment;
    if (sequence < this.#next) return 'repeated';
    if (sequence >= this.#next + maxMessagesAhead || length > maxMessageLength) return 'beyond-reassembly';
    let message = this.#partial.get(sequence);
    if (message && (message.type !== type || message.length !== length)) {
      // One of the two is forged. The genuine one will be sent again, the forged one may not: the later one wins.
      this.#forget(sequence);
      message = undefined;
    }
    if (this.#bytes + fragment.part.length > maxBytes || this.#fragments >= maxFragments) return 'beyond-reassembly';
    if (!message) {
      message = { type, length, parts: [], received: 0 };
      this.#partial.set(sequence, message);
    }
    this.#insert(message, fragment.offset, fragment.part);
    return 'taken';
  }

  /** The next message when it is whole. It stays the next one until `accept` or `discard`. */
  peek(): HandshakeMessage | null {
    const message = this.#partial.get(this.#next);
    if (!message || message.received < message.length) return null;
    const body = new Uint8Array(message.length);
    for (const part of message.parts) body.set(part.bytes, part.offset);
    return { type: message.type, sequence: this.#next, body };
  }

  /** The next message was good: go on to the one behind it. */
  accept(): void {
    this.#forget(this.#next++);
  }

  /** The next message was bad: wait for it to be sent again. */
  discard(): void {
    this.#forget(this.#next);
  }

  /** Forgets everything behind the next message. */
  forgetAhead(): void {
    for (const sequence of this.#partial.keys()) if (sequence > this.#next) this.#forget(sequence);
  }

  /** Copies those bytes of the part that no kept part covers. */
  #insert(message: PartialMessage, offset: number, part: Uint8Array): void {
    const { parts } = message;
    const end = offset + part.length;
    let index = 0;
    for (let at = offset; at < end; ) {
      while (index < parts.length && endOf(parts[index]) <= at) index++;
      const next = index < parts.length ? parts[index] : null;
      if (next && next.offset <= at) {
        at = endOf(next);
        continue;
      }
      const gapEnd = next ? Math.min(end, next.offset) : end;
      // Not slice(): that of a Buffer shares memory, and a socket hands out Buffers.
      parts.splice(index, 0, { offset: at, bytes: new Uint8Array(part.subarray(at - offset, gapEnd - offset)) });
      message.received += gapEnd - at;
      this.#bytes += gapEnd - at;
      this.#fragments++;
      at = gapEnd;
    }
  }

  #forget(sequence: number): void {
    const message = this.#partial.get(sequence);
    if (!message) return;
    this.#bytes -= message.received;
    this.#fragments -= message.parts.length;
    this.#partial.delete(sequence);
  }
}

function endOf(part: { offset: number; bytes: Uint8Array }): number {
  return part.offset + part.bytes.length;
}
