import type { DtlsState } from '../dtls/endpoint.ts';
import type { StunCargo } from '../ice/stun-cargo.ts';
import { StunAttribute } from '../stun/attributes.ts';
import { crc32 } from '../stun/checksums.ts';
import type { StunMessage } from '../stun/message.ts';
import type { StunWriter } from '../stun/writer.ts';

/** What of a DTLS endpoint is needed to carry its handshake. */
export interface CarriedDtls {
  readonly state: DtlsState;
  readonly flightDatagrams: readonly Uint8Array[];
  readonly peerProtected: boolean;
  mtu: number;
  roundTripTime: number;
  confirmDelivery(datagram: Uint8Array): void;
  handleDatagram(data: Uint8Array, now: number): boolean;
}

export interface DtlsInStunOptions {
  /** The side that sends checks shows that it can do this, the other waits until it has seen so. */
  readonly checks: boolean;
  /** The endpoint, created at the first call. Called whenever its output may have changed. */
  readonly open: () => CarriedDtls;
}

/**
 * `tentative`: nothing is known of the peer. `confirmed`: it does this too. `pending`: our handshake is complete, the peer
 * may miss the end of it. `complete`: nothing is left to carry. `off`: the peer does not do this.
 */
export type DtlsInStunState = 'tentative' | 'confirmed' | 'pending' | 'complete' | 'off';

export interface DtlsInStunDump {
  readonly state: DtlsInStunState;
  readonly counters: Readonly<Record<DtlsInStunCount, number>>;
}

/** DTLS datagrams that came in and left in STUN; ours that were acknowledged there; ours held back by the limit; attributes that cannot be read. */
export type DtlsInStunCount = 'datagramsIn' | 'datagramsOut' | 'acknowledged' | 'held' | 'malformed';

/** Acknowledgements in one message (the draft's limit). */
const MAX_ACKS = 4;
/** The longest message with cargo: what Chromium, and most paths, take in one piece. */
const MAX_CARRIER = 1200;
/** Bytes of a check or an answer around a DTLS datagram; of a check without its USERNAME. */
const OVERHEAD = 100;
/** Datagrams of a handshake that shall fit into an answer; into a check, whose USERNAME may be long. */
const ANSWER_MTU = MAX_CARRIER - OVERHEAD;
const CHECK_MTU = 900;
const PLAIN_MTU = 1200;
/** Checks that follow one another without waiting for an answer: each that arrives may be the one that counts. */
const EAGER_CHECKS = 8;
/** Times of what has come that may be sent to an address that has shown nothing (RFC 9147, section 5.1). */
const AMPLIFICATION = 3;

/**
 * DTLS inside of STUN (SPED, draft-hancke-webrtc-sped), either role: the handshake begins with the first check instead
 * of after it, which saves one round trip.
 *
 *   client                                              server (lite)
 *     │ check, ACK(), DATA(ClientHello)                     │
 *     ├────────────────────────────────────────────────────►│ reads it, and builds its whole flight
 *     │◄────────────────────────────────────────────────────┤ answer, ACK(ClientHello), DATA(flight 1)
 *     │◄────────────────────────────────────────────────────┤ flight 2 … directly; then 0.5-RTT media
 *     │ flight: directly, and in checks until acknowledged  │
 *     ├────────────────────────────────────────────────────►│ connected
 *
 *   tentative ──either attribute──► confirmed ──handshake complete──► pending ──all of ours acknowledged──► complete
 *       └──a message with neither──► off
 *
 * A message carries the CRC-32 of the DTLS datagrams that came last, in STUN or not, and one datagram of our flight, each
 * in its turn; the others follow an answer directly. What is known to have arrived is not carried. An endpoint drops records that it has seen, so the same
 * bytes again do nothing, while a repetition under a new record number brings our flight again.
 *
 * Amplification. A check proves that its sender knows our password, which went to it over authenticated signaling, not
 * that it receives what is sent to the address it wrote from. Until it has shown something that only a receiver knows (an
 * acknowledgement, a record under our keys) the answers to checks and our flights take three times the bytes that came.
 *
 * Deviations from the draft: a message with nothing to carry has an ACK alone, as Chromium's; a client's end of the
 * handshake is carried until it is acknowledged, also when data of the server come, which a server may send before; a
 * lite side puts attributes only into answers to messages that have them.
 */
export class DtlsInStun implements StunCargo {
  readonly #checks: boolean;
  readonly #open: () => CarriedDtls;
  readonly #counters: Record<DtlsInStunCount, number> = { datagramsIn: 0, datagramsOut: 0, acknowledged: 0, held: 0, malformed: 0 };
  #dtls: CarriedDtls | null = null;
  #state: DtlsInStunState = 'tentative';
  /** Whether the message that was unloaded last had attributes. */
  #asked = false;
  /** CRC-32 of what has arrived, oldest first. */
  readonly #arrived: number[] = [];
  /** The datagram that was carried last. */
  #carried: Uint8Array | null = null;
  #again: readonly Uint8Array[] = [];
  /** Bytes from and to a peer of which it is not known whether it receives. */
  #received = 0;
  #sent = 0;
  #reached = false;

  constructor({ checks, open }: DtlsInStunOptions) {
    this.#checks = checks;
    this.#open = open;
  }

  /** The most bytes of a datagram of our first flight. */
  get mtu(): number {
    return this.#checks ? CHECK_MTU : PLAIN_MTU;
  }

  /** True once a part of the peer's handshake has come in STUN. */
  get used(): boolean {
    return this.#counters.datagramsIn > 0;
  }

  /** Nothing of the peer's handshake has come but in its first check: our flight leaves with the first answer of all. */
  get inFirstAnswer(): boolean {
    return !this.#checks && this.#counters.datagramsIn === 1;
  }

  unload(message: StunMessage, now: number, roundTripTime: number | null): void {
    const data = message.attribute(StunAttribute.dtlsInStun);
    const ack = message.attribute(StunAttribute.dtlsInStunAck);
    this.#asked = data !== null || ack !== null;
    this.#settle();
    if (this.#state === 'off') return;
    if (!this.#asked) {
      this.#peerIsSilent();
      return;
    }
    const dtls = (this.#dtls ??= this.#open());
    if (this.#state === 'tentative') {
      this.#state = 'confirmed';
      if (!this.#checks) dtls.mtu = ANSWER_MTU;
    }
    if (roundTripTime !== null) dtls.roundTripTime = roundTripTime;
    this.#received += message.length;
    if (ack !== null) this.#acknowledge(dtls, ack);
    if (data !== null && data.length > 0) this.#inject(dtls, data, now);
    this.#settle();
  }

  load(writer: StunWriter): boolean {
    if (this.#state === 'off' || (this.#checks ? this.#state === 'complete' : !this.#asked)) return false;
    const dtls = (this.#dtls ??= this.#open());
    writer.attribute(StunAttribute.dtlsInStunAck, encodeCrcs(this.#arrived));
    this.#sent += OVERHEAD;
    const flight = dtls.flightDatagrams;
    // The one behind that which was carried last; the first of a new flight.
    const last = this.#carried ? flight.indexOf(this.#carried) : -1;
    const index = (last + 1) % flight.length;
    const datagram = flight[index];
    if (!datagram || datagram.length + OVERHEAD > MAX_CARRIER || datagram.length > writer.room || !this.#allows(datagram.length)) return false;
    writer.attribute(StunAttribute.dtlsInStun, datagram);
    this.#carried = datagram;
    this.#counters.datagramsOut++;
    // The client checks again because the last answer is under way or lost: the whole flight again costs no waiting.
    if (!this.#checks && last >= 0) this.#again = flight.filter((other) => other !== datagram && this.#allows(other.length));
    return index + 1 < flight.length || (this.#state === 'tentative' && this.#counters.datagramsOut < EAGER_CHECKS);
  }

  /** A DTLS datagram has come directly. */
  arrived(datagram: Uint8Array): void {
    this.#settle();
    if (this.#state !== 'confirmed' && this.#state !== 'pending') return;
    this.#received += datagram.length;
    this.#remember(datagram);
  }

  /** False for a datagram of our flight that is not to go directly: a message has just taken it, or it would be too much. */
  sendsDirectly(datagram: Uint8Array): boolean {
    return datagram !== this.#carried && this.allowsMore(datagram.length);
  }

  /** Whether so many bytes may go to the peer directly; they count as sent. */
  allowsMore(bytes: number): boolean {
    return this.#state !== 'confirmed' || this.#allows(bytes);
  }

  /** What is to follow the answer to a check directly, once. */
  takeRest(): readonly Uint8Array[] {
    const rest = this.#again;
    this.#again = [];
    return rest;
  }

  dump(): DtlsInStunDump {
    this.#settle();
    return { state: this.#state, counters: { ...this.#counters } };
  }

  #peerIsSilent(): void {
    if (this.#state === 'pending') this.#state = 'complete';
    if (this.#state !== 'tentative') return;
    this.#state = 'off';
    if (this.#dtls) this.#dtls.mtu = PLAIN_MTU;
  }

  #acknowledge(dtls: CarriedDtls, ack: Uint8Array): void {
    if (ack.length % 4 !== 0) {
      this.#counters.malformed++;
      return;
    }
    const crcs = decodeCrcs(ack);
    for (const datagram of dtls.flightDatagrams) {
      if (!crcs.includes(crc32(datagram))) continue;
      dtls.confirmDelivery(datagram);
      this.#counters.acknowledged++;
      this.#reached = true;
    }
  }

  #inject(dtls: CarriedDtls, data: Uint8Array, now: number): void {
    // RFC 7983: what DTLS begins with.
    if (data[0] < 20 || data[0] > 63) {
      this.#counters.malformed++;
      return;
    }
    this.#counters.datagramsIn++;
    this.#open();
    this.#remember(data);
    dtls.handleDatagram(data, now);
  }

  #remember(datagram: Uint8Array): void {
    const crc = crc32(datagram);
    if (this.#arrived.includes(crc)) return;
    this.#arrived.push(crc);
    if (this.#arrived.length > MAX_ACKS) this.#arrived.shift();
  }

  #allows(bytes: number): boolean {
    if (this.#checks || this.#reached || this.#dtls?.peerProtected === true) return true;
    if (this.#sent + bytes > AMPLIFICATION * this.#received) {
      this.#counters.held++;
      return false;
    }
    this.#sent += bytes;
    return true;
  }

  #settle(): void {
    if (this.#dtls?.state !== 'connected' || (this.#state !== 'confirmed' && this.#state !== 'pending')) return;
    this.#state = this.#dtls.flightDatagrams.length === 0 ? 'complete' : 'pending';
  }
}

function encodeCrcs(crcs: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * crcs.length);
  const view = new DataView(bytes.buffer);
  crcs.forEach((crc, i) => view.setUint32(4 * i, crc));
  return bytes;
}

function decodeCrcs(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: Math.min(bytes.length / 4, MAX_ACKS) }, (_, i) => view.getUint32(4 * i));
}
