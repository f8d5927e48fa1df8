/**
 * Flights and their retransmission (RFC 6347, section 4.2.4):
 *
 *   PREPARING ──► SENDING ──► WAITING ──(next flight of the peer is whole)──► PREPARING or FINISHED
 *                    ▲           │
 *                    └───────────┘  timer fires, or the peer repeats its own flight
 *
 * A flight is kept as messages, not as datagrams: each time it is sent its records get new sequence numbers.
 *
 * RFC 9147, section 5.1, limits what a server may send to an address that has proven nothing to three times what came
 * from there. Here the address has: no datagram reaches DTLS before ICE has seen a check with our password from it.
 */
import { contentType } from './registry.ts';
import { encodeHandshakeFragment, handshakeHeaderLength } from './handshake-fragment.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import type { RecordLayer } from './record-layer.ts';

/** One thing that a flight holds, with the epoch that its records belong to. */
export type FlightItem =
  | { readonly type: 'message'; readonly epoch: number; readonly message: HandshakeMessage }
  | { readonly type: 'change-cipher-spec'; readonly epoch: number };

/**
 * First time-out in milliseconds. RFC 6347 says 1 s for want of knowledge; most callers are within 200 ms, a person is
 * waiting, and a flight repeated in vain is one or two packets.
 */
const initialTimeout = 200;
/** Longest time-out in milliseconds, instead of 60 s: a path that heals should carry the call within two seconds. */
const maxTimeout = 2_000;
/** A flight is not repeated more often than this (ms), however often the peer repeats itself: its datagrams come in groups. */
const minInterval = 30;

export class FlightSender {
  readonly #records: RecordLayer;
  readonly #mtu: number;
  readonly #transmit: (datagram: Uint8Array) => void;
  #items: readonly FlightItem[] = [];
  #timeout = initialTimeout;
  #sentAt = Number.NEGATIVE_INFINITY;
  #deadline = Number.POSITIVE_INFINITY;

  /** `mtu`: the most bytes of a datagram. */
  constructor(records: RecordLayer, mtu: number, transmit: (datagram: Uint8Array) => void) {
    this.#records = records;
    this.#mtu = mtu;
    this.#transmit = transmit;
  }

  /** When the flight is sent again; Infinity when it is not. */
  get deadline(): number {
    return this.#deadline;
  }

  /** Sends a flight that replaces the previous one. Without `awaitsAnswer` only `repeat` sends it again. */
  send(items: readonly FlightItem[], awaitsAnswer: boolean, now: number): void {
    this.#items = items;
    this.#timeout = initialTimeout;
    this.#deadline = awaitsAnswer ? now + this.#timeout : Number.POSITIVE_INFINITY;
    this.#sendAll(now);
  }

  /** Forgets the flight: its answer is complete. */
  stop(): void {
    this.#items = [];
    this.#deadline = Number.POSITIVE_INFINITY;
  }

  /** True when the time had come and the flight was sent again. */
  handleTimeout(now: number): boolean {
    if (now < this.#deadline) return false;
    this.#timeout = Math.min(this.#timeout * 2, maxTimeout);
    this.#deadline = now + this.#timeout;
    this.#sendAll(now);
    return true;
  }

  /** The peer repeats the flight that ours answers: it lacks ours. True when ours was sent again. */
  repeat(now: number): boolean {
    if (this.#items.length === 0 || now - this.#sentAt < minInterval) return false;
    if (this.#deadline !== Number.POSITIVE_INFINITY) this.#deadline = now + this.#timeout;
    this.#sendAll(now);
    return true;
  }

  /** Fills datagrams with records, one fragment each; small messages share a datagram, large ones are cut. */
  #sendAll(now: number): void {
    this.#sentAt = now;
    let datagram = new Uint8Array(this.#mtu);
    let used = 0;
    const flush = (): void => {
      this.#transmit(datagram.subarray(0, used));
      datagram = new Uint8Array(this.#mtu);
      used = 0;
    };
    for (const item of this.#items) {
      const overhead = this.#records.overhead(item.epoch);
      if (item.type === 'change-cipher-spec') {
        if (used + overhead + 1 > this.#mtu) flush();
        used = this.#records.seal(contentType.changeCipherSpec, item.epoch, Uint8Array.of(1), datagram, used);
        continue;
      }
      const { message } = item;
      let offset = 0;
      do {
        const left = message.body.length - offset;
        if (this.#mtu - used < overhead + handshakeHeaderLength + Math.min(left, 1)) flush();
        const size = Math.min(left, this.#mtu - used - overhead - handshakeHeaderLength);
        const fragment = encodeHandshakeFragment(message, offset, size);
        used = this.#records.seal(contentType.handshake, item.epoch, fragment, datagram, used);
        offset += size;
      } while (offset < message.body.length);
    }
    if (used > 0) flush();
  }
}
