/**
 * Flights and their retransmission (RFC 6347, section 4.2.4; RFC 9147, section 5.8):
 *
 *   PREPARING ──► SENDING ──► WAITING ──(next flight of the peer is whole)──► PREPARING or FINISHED
 *                    ▲           │
 *                    └───────────┘  timer fires, the peer repeats its own flight, or acknowledges a part of ours
 *
 * A flight is kept as messages, not as datagrams: each time it is sent its records get new sequence numbers. Which part
 * of which message a record carried is remembered, so that what the peer acknowledges is not sent again.
 *
 * RFC 9147, section 5.1, limits what a server may send to an address that has proven nothing to three times what came
 * from there. Here the address has: no datagram reaches DTLS before ICE has seen a check with our password from it.
 */
import { contentType } from './registry.ts';
import { encodeHandshakeFragment, handshakeHeaderLength } from './handshake-fragment.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import type { RecordLayer, RecordNumber } from './record-layer.ts';

/** One thing that a flight holds, with the epoch that its records belong to. */
export type FlightItem =
  | { readonly type: 'message'; readonly epoch: number; readonly message: HandshakeMessage }
  | { readonly type: 'change-cipher-spec'; readonly epoch: number };

/**
 * First time-out in milliseconds. RFC 6347 says 1 s for want of knowledge; most callers are within 200 ms, a person is
 * waiting, and a flight repeated in vain is one or two packets.
 */
const defaultTimeout = 200;
/** Bounds of the first time-out, in milliseconds, where the round trip is known. */
const minTimeout = 50;
const maxFirstTimeout = 1_000;
/** Longest time-out in milliseconds, instead of 60 s: a path that heals should carry the call within two seconds. */
const maxTimeout = 2_000;
/** A flight is not repeated more often than this (ms), however often the peer repeats itself: its datagrams come in groups. */
const minInterval = 30;
/** How many sent records are remembered to be acknowledged. */
const maxRemembered = 512;

/** Bytes of one item from `start` to `end` of its body. */
interface Piece {
  readonly item: FlightItem;
  readonly start: number;
  readonly end: number;
}

interface SealedDatagram {
  readonly data: Uint8Array;
  readonly pieces: Piece[];
}

export class FlightSender {
  readonly #records: RecordLayer;
  readonly #transmit: (datagram: Uint8Array) => void;
  #mtu: number;
  #items: readonly FlightItem[] = [];
  /** What the peer is not known to have, in order. */
  #pending: Piece[] = [];
  /** By number of the record that carried it. */
  readonly #sent = new Map<string, Piece>();
  /** As they were sent last, without those that are known to have arrived. */
  #datagrams: SealedDatagram[] = [];
  #firstTimeout = defaultTimeout;
  #timeout = defaultTimeout;
  /** When the flight was sent first; null when it was sent again, or answered. */
  #timedFrom: number | null = null;
  #measured: number | null = null;
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

  /** Counts from the next time that a flight is sent. */
  set mtu(bytes: number) {
    this.#mtu = bytes;
  }

  /** Milliseconds, as something else has measured them (RFC 9147, section 5.8.2: one and a half are waited). Counts from the next flight. */
  set roundTripTime(time: number) {
    this.#firstTimeout = Math.min(Math.max(1.5 * time, minTimeout), maxFirstTimeout);
  }

  /** The same when the round trip takes so long at most: it shortens the time-out, if anything. */
  set longestRoundTripTime(time: number) {
    this.#firstTimeout = Math.min(this.#firstTimeout, Math.max(1.5 * time, minTimeout));
  }

  /** How long the answer to a flight that was sent once has taken, ms; null when there was none. */
  get measuredRoundTrip(): number | null {
    return this.#measured;
  }

  /** The datagrams of the flight that may be missing at the peer, as they were sent last. */
  get datagrams(): readonly Uint8Array[] {
    return this.#datagrams.map(({ data }) => data);
  }

  /** Sends a flight that replaces the previous one. Without `awaitsAnswer` only `repeat` sends it again. */
  send(items: readonly FlightItem[], awaitsAnswer: boolean, now: number): void {
    this.stop();
    this.#items = items;
    this.#pending = items.map(whole);
    this.#timeout = this.#firstTimeout;
    this.#deadline = awaitsAnswer ? now + this.#timeout : Number.POSITIVE_INFINITY;
    this.#sendPending(now);
    this.#timedFrom = now;
  }

  /** The answer begins to come in. */
  answered(now: number): void {
    if (this.#timedFrom !== null) this.#measured = now - this.#timedFrom;
    this.#timedFrom = null;
  }

  /** Forgets the flight: its answer is complete. */
  stop(): void {
    this.#items = [];
    this.#pending = [];
    this.#datagrams = [];
    this.#sent.clear();
    this.#deadline = Number.POSITIVE_INFINITY;
  }

  /** True when the time had come and the flight was sent again. */
  handleTimeout(now: number): boolean {
    if (now < this.#deadline) return false;
    this.#timeout = Math.min(this.#timeout * 2, maxTimeout);
    this.#sendAgain(now);
    return true;
  }

  /** Sends what may be missing without waiting for the time-out, when it cannot have arrived. True when there was something. */
  sendNow(now: number): boolean {
    if (this.#pending.length === 0) return false;
    this.#sendAgain(now);
    return true;
  }

  /** The peer repeats the flight that ours answers: it lacks ours. True when ours was sent again. */
  repeat(now: number): boolean {
    if (this.#items.length === 0 || now - this.#sentAt < minInterval) return false;
    this.#sendAgain(now);
    return true;
  }

  /**
   * The peer has these records. True when that was the last of the flight. Otherwise the peer tells us that it misses
   * something, and may wait for it in silence: the rest is due at once, and the time-out starts afresh.
   */
  acknowledge(numbers: readonly RecordNumber[], now: number): boolean {
    if (this.#items.length === 0) return false;
    for (const { epoch, sequence } of numbers) {
      const piece = this.#sent.get(recordKey(epoch, sequence));
      if (piece) this.#settle(piece);
    }
    if (this.#pending.length === 0) {
      this.stop();
      return true;
    }
    this.#datagrams = this.#datagrams.filter(({ pieces }) => pieces.some((piece) => this.#misses(piece)));
    // Doubled when it fires.
    this.#timeout = this.#firstTimeout / 2;
    this.#deadline = Math.min(this.#deadline, Math.max(now, this.#sentAt + minInterval));
    return false;
  }

  /**
   * The peer has this datagram, byte by byte one of {@link datagrams}: what it holds is not sent again with the rest. The
   * time-out goes on: once everything has arrived and no answer comes, it is the answer that was lost, and the whole
   * flight asks for it.
   */
  confirm(datagram: Uint8Array): void {
    const confirmed = this.#datagrams.find(({ data }) => Buffer.compare(data, datagram) === 0);
    if (!confirmed) return;
    this.#datagrams = this.#datagrams.filter((other) => other !== confirmed);
    for (const piece of confirmed.pieces) this.#settle(piece);
  }

  #misses(piece: Piece): boolean {
    return this.#pending.some(({ item, start, end }) => item === piece.item && (start === end || (start < piece.end && end > piece.start)));
  }

  #settle(piece: Piece): void {
    this.#pending = this.#pending.flatMap((other) => without(other, piece));
  }

  #sendAgain(now: number): void {
    this.#timedFrom = null;
    if (this.#deadline !== Number.POSITIVE_INFINITY) this.#deadline = now + this.#timeout;
    if (this.#pending.length === 0) this.#pending = this.#items.map(whole);
    this.#sendPending(now);
  }

  /** Fills datagrams with records, one fragment each; small messages share a datagram, large ones are cut. */
  #sendPending(now: number): void {
    this.#sentAt = now;
    this.#datagrams = [];
    let datagram = new Uint8Array(this.#mtu);
    let pieces: Piece[] = [];
    let used = 0;
    const flush = (): void => {
      const data = datagram.subarray(0, used);
      this.#datagrams.push({ data, pieces });
      this.#transmit(data);
      datagram = new Uint8Array(this.#mtu);
      pieces = [];
      used = 0;
    };
    for (const { item, start, end } of this.#pending) {
      const overhead = this.#records.overhead(item.epoch);
      if (item.type === 'change-cipher-spec') {
        if (used + overhead + 1 > this.#mtu) flush();
        pieces.push({ item, start, end });
        used = this.#records.seal(contentType.changeCipherSpec, item.epoch, Uint8Array.of(1), datagram, used);
        continue;
      }
      let offset = start;
      do {
        const left = end - offset;
        if (this.#mtu - used < overhead + handshakeHeaderLength + Math.min(left, 1)) flush();
        const size = Math.min(left, this.#mtu - used - overhead - handshakeHeaderLength);
        const fragment = encodeHandshakeFragment(item.message, offset, size);
        const piece = { item, start: offset, end: offset + size };
        this.#remember(item.epoch, piece);
        pieces.push(piece);
        used = this.#records.seal(contentType.handshake, item.epoch, fragment, datagram, used);
        offset += size;
      } while (offset < end);
    }
    if (used > 0) flush();
  }

  #remember(epoch: number, piece: Piece): void {
    this.#sent.set(recordKey(epoch, this.#records.nextSequence(epoch)), piece);
    if (this.#sent.size > maxRemembered) this.#sent.delete(this.#sent.keys().next().value!);
  }
}

function recordKey(epoch: number, sequence: number): string {
  return `${epoch}:${sequence}`;
}

function whole(item: FlightItem): Piece {
  return { item, start: 0, end: item.type === 'message' ? item.message.body.length : 0 };
}

/** What of `piece` lies outside of `settled`. */
function without(piece: Piece, settled: Piece): Piece[] {
  if (piece.item !== settled.item) return [piece];
  const rest: Piece[] = [];
  if (piece.start < settled.start) rest.push({ ...piece, end: Math.min(piece.end, settled.start) });
  if (piece.end > settled.end) rest.push({ ...piece, start: Math.max(piece.start, settled.end) });
  return rest;
}
