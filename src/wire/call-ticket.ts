import { createHmac } from 'node:crypto';
import { openAead, sealAead, SEALED_OVERHEAD } from './aead.ts';
import { deriveKey } from './derive-key.ts';
import { MAX_UFRAG_LENGTH, UFRAG_LENGTH } from './routing-token.ts';

/**
 * The ticket of a call that nobody holds yet: a routing token of the unbound kind, which a relay reads, and behind it the
 * sealed part, which only a transceiver opens.
 *
 *   ufrag  = token (23 characters) | base64( iv 12 | cipher text | tag 16 ), without padding
 *   cipher = AES-128-GCM, key = HKDF-SHA256(secret, info `earshot ticket v1`), additional data = the token's characters
 *
 * What the answer said besides is drawn again from a generator that the ticket seeds: block i is
 * HMAC-SHA256(HKDF-SHA256(secret, info `earshot ticket draw v1`), ufrag | i as u32).
 */

/** What fits into a ticket, bytes: some characters stand for bytes that are not there. */
export const MAX_TICKET_BODY = Math.floor(((MAX_UFRAG_LENGTH - UFRAG_LENGTH) * 6) / 8) - SEALED_OVERHEAD;

export interface OpenedTicket {
  readonly body: Uint8Array;
  /** 0: sealed under the current secret. 1: under the previous one. */
  readonly secret: number;
  /** Gives the same bytes in the same order for the same ticket. */
  readonly draw: (bytes: Uint8Array) => void;
}

/** Makes and opens tickets: seals with the current secret, opens what the previous one has sealed as well. */
export class CallTickets {
  readonly #keys: readonly TicketKey[];

  constructor(secret: string, previous?: string) {
    this.#keys = [secret, previous].filter((text) => text !== undefined).map((text) => ({
      seal: deriveKey(text, 'earshot ticket v1', 16),
      draw: deriveKey(text, 'earshot ticket draw v1', 32),
    }));
  }

  /**
   * @param token the characters of an unbound routing token
   * @param random fills its argument with random bytes
   * @throws {RangeError} for a body of more than {@link MAX_TICKET_BODY} bytes.
   */
  seal(token: string, body: Uint8Array, random: (bytes: Uint8Array) => void): { readonly ufrag: string; readonly draw: OpenedTicket['draw'] } {
    if (body.length > MAX_TICKET_BODY) throw new RangeError(`A ticket holds ${MAX_TICKET_BODY} bytes, not ${body.length}`);
    const [key] = this.#keys;
    const ufrag = token + unpadded(sealAead(key.seal, Buffer.from(token, 'latin1'), body, random));
    return { ufrag, draw: generator(key.draw, ufrag) };
  }

  /** Null for what is no ticket of this deployment. Never throws. The token's own reading is the routing keys'. */
  open(ufrag: string): OpenedTicket | null {
    const text = ufrag.slice(UFRAG_LENGTH);
    const sealed = Buffer.from(text, 'base64');
    // The decoder passes over what is no base64; a ticket has one spelling.
    if (ufrag.length > MAX_UFRAG_LENGTH || unpadded(sealed) !== text) return null;
    const token = Buffer.from(ufrag.slice(0, UFRAG_LENGTH), 'latin1');
    for (const [secret, key] of this.#keys.entries()) {
      const body = openAead(key.seal, token, sealed);
      if (body !== null) return { body, secret, draw: generator(key.draw, ufrag) };
    }
    return null;
  }
}

interface TicketKey {
  readonly seal: Uint8Array;
  readonly draw: Uint8Array;
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

function generator(key: Uint8Array, ufrag: string): OpenedTicket['draw'] {
  let left: Uint8Array = new Uint8Array(0);
  let block = 0;
  return (bytes) => {
    for (let at = 0; at < bytes.length; ) {
      if (left.length === 0) {
        const counter = Buffer.alloc(4);
        counter.writeUInt32BE(block++);
        left = createHmac('sha256', key).update(ufrag, 'latin1').update(counter).digest();
      }
      const taken = left.subarray(0, bytes.length - at);
      bytes.set(taken, at);
      left = left.subarray(taken.length);
      at += taken.length;
    }
  };
}
