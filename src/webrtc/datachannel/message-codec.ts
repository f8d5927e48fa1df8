import { Ppid } from './dcep.ts';

/** How strings and bytes travel as SCTP user messages (RFC 8831, section 6.6). */

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { ignoreBOM: true });
/** SCTP carries no empty message: an empty one is a single zero byte under a payload protocol id of its own. */
const EMPTY = new Uint8Array(1);

export function encodeMessage(message: string | Uint8Array): { readonly ppid: number; readonly data: Uint8Array } {
  if (typeof message === 'string') {
    return message === '' ? { ppid: Ppid.stringEmpty, data: EMPTY } : { ppid: Ppid.string, data: ENCODER.encode(message) };
  }
  return message.length === 0 ? { ppid: Ppid.binaryEmpty, data: EMPTY } : { ppid: Ppid.binary, data: message };
}

/** Puts the messages of one channel together, deprecated partial ones included. */
export class MessageAssembler {
  readonly #maxBytes: number;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Takes a user message: the whole message; undefined while parts are missing; null when it cannot be read (unknown
   * payload protocol id, or parts that add up to more than the largest message).
   */
  add(ppid: number, data: Uint8Array): string | Uint8Array | undefined | null {
    switch (ppid) {
      case Ppid.string:
        return this.#finish(data, (bytes) => DECODER.decode(bytes));
      case Ppid.binary:
        return this.#finish(data, (bytes) => bytes);
      case Ppid.stringEmpty:
        return '';
      case Ppid.binaryEmpty:
        return new Uint8Array(0);
      case Ppid.stringPartial:
      case Ppid.binaryPartial:
        return this.#keep(data) ? undefined : null;
      default:
        return null;
    }
  }

  #keep(data: Uint8Array): boolean {
    this.#bytes += data.length;
    if (this.#bytes > this.#maxBytes) {
      this.#clear();
      return false;
    }
    this.#parts.push(data);
    return true;
  }

  #finish<T>(last: Uint8Array, read: (bytes: Uint8Array) => T): T | null {
    if (this.#parts.length === 0) return read(last);
    if (!this.#keep(last)) return null;
    const whole = new Uint8Array(this.#bytes);
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    this.#clear();
    return read(whole);
  }

  #clear(): void {
    this.#parts = [];
    this.#bytes = 0;
  }
}
