/**
 * One DTLS association over datagrams (RFC 6347, RFC 9147), sans I/O; see `machine.ts` for how it is driven.
 *
 *   datagram ─► records ─► replay window, decryption ─┬─ handshake ──► reassembly ──► Handshake (a version, a role)
 *                  │                                  ├─ alert, ACK                      │
 *                  └─ keys not there yet: kept        └─ application data ─► `data`      └─► flights ─► `transmit`
 *
 *   handshaking ──(both Finished)──► connected ──(close_notify, either side)──► closed
 *        └──(fault, fatal alert, 30 s)────────────────(fatal alert)───────────────▲
 *
 * Faults of what nobody has authenticated (clear text, forgeries) are counted and dropped, also when they are handshake
 * messages: the genuine one will be sent again. What was decoded and cannot be agreed with ends the handshake.
 */
import type { RandomSource, Timeout } from '../machine.ts';
import type { SrtpKeyingMaterial, SrtpProfile } from '../srtp-profile.ts';
import { ackCapacity, Acknowledgements, decodeAck, encodeAck } from './ack.ts';
import { decodeAlert, encodeAlert } from './alert.ts';
import type { alertDescription, AlertDescription } from './alert.ts';
import type { DtlsCertificate } from './certificate.ts';
import { ClientStart } from './client-start.ts';
import { createDtlsCounters } from './counters.ts';
import type { DtlsCounters, DtlsDropReason } from './counters.ts';
import { EarlyRecords } from './early-records.ts';
import { HandshakeFault, handshakeFaultAlert } from './fault.ts';
import type { HandshakeFaultReason } from './fault.ts';
import type { Fingerprint } from './fingerprint.ts';
import { FlightSender } from './flight.ts';
import { epoch13 } from './handshake-13.ts';
import type { Handshake, HandshakeConfig, HandshakeHost, HandshakeResult } from './handshake.ts';
import { decodeHandshakeFragments } from './handshake-fragment.ts';
import type { KeyShare } from './key-share.ts';
import { Reassembly } from './reassembly.ts';
import { maxPlaintextLength } from './record.ts';
import type { RecordHeader } from './record.ts';
import { parseRecord, RecordLayer } from './record-layer.ts';
import type { OpenedRecord } from './record-layer.ts';
import { contentType, handshakeType, protocolVersion } from './registry.ts';
import type { DtlsVersion, NamedGroup } from './registry.ts';
import { ServerStart } from './server-start.ts';
import { Transcript } from './transcript.ts';
import type { UnifiedHeader } from './unified-header.ts';

export interface DtlsEndpointOptions {
  readonly role: 'server' | 'client';
  readonly certificate: DtlsCertificate;
  /** What the peer announced in its SDP; at least one. */
  readonly remoteFingerprints: readonly Fingerprint[];
  /** In order of preference; none when there is no media. */
  readonly srtpProfiles: readonly SrtpProfile[];
  readonly random: RandomSource;
  /** The most bytes of a handshake datagram; 1200 unless given, at least 96. Application data is not cut. */
  readonly mtu?: number;
  /** That may be agreed on; both unless given. */
  readonly versions?: readonly DtlsVersion[];
  /** Key exchange groups of DTLS 1.3 in order of preference; a client sends a key share for the first alone. */
  readonly groups?: readonly NamedGroup[];
  /** A server's key pair for this handshake alone, made ahead; made with the endpoint unless given. */
  readonly keyShare?: KeyShare<'x25519'>;
  /**
   * A DTLS 1.3 server may send data and media half a round trip after the ClientHello, before the client has shown its
   * certificate: to whoever answered our ICE check. Off unless given; see {@link DtlsSendKeys}.
   */
  readonly earlySending?: boolean;
  /** A client sends its first flight at once. */
  readonly now: number;
}

/** Why an association ended; beside these the faults of the handshake. */
export type DtlsCloseReason = 'local-close' | 'peer-close' | 'peer-alert' | 'handshake-timeout' | HandshakeFaultReason;

export interface DtlsTransmit {
  readonly type: 'transmit';
  /** One datagram. */
  readonly data: Uint8Array;
  /** True when this is one of {@link DtlsEndpoint.flightDatagrams}, which may also travel in another way than directly. */
  readonly flight: boolean;
}

/**
 * Comes before `connected`, and only with `earlySending`: `send` works from now on, and media may be protected with these
 * keys. Nothing that the peer sends counts yet, therefore its keys are not here.
 */
export interface DtlsSendKeys {
  readonly type: 'send-keys';
  readonly srtp: Pick<SrtpKeyingMaterial, 'profile' | 'localKey' | 'localSalt'> | null;
}

export interface DtlsConnected extends HandshakeResult {
  readonly type: 'connected';
}

export interface DtlsData {
  readonly type: 'data';
  /** The payload of one record of the peer. */
  readonly data: Uint8Array;
}

export interface DtlsClosed {
  readonly type: 'closed';
  readonly reason: DtlsCloseReason;
  /** The alert that was received, or sent, where one was. */
  readonly alert?: AlertDescription;
}

export type DtlsOutput = DtlsTransmit | DtlsSendKeys | DtlsConnected | DtlsData | DtlsClosed | Timeout;

export type DtlsState = 'handshaking' | 'connected' | 'closed';

export interface DtlsDump {
  readonly role: 'server' | 'client';
  readonly state: DtlsState;
  readonly version: DtlsVersion | null;
  readonly cipherSuite: string | null;
  readonly group: NamedGroup | null;
  readonly srtpProfile: SrtpProfile | null;
  readonly readEpoch: number;
  readonly writeEpoch: number;
  readonly closeReason: DtlsCloseReason | null;
  readonly counters: DtlsCounters;
}

/** How long a handshake may take from its first message on, in milliseconds: no caller waits longer. */
const handshakeTimeout = 30_000;
const minMtu = 96;
const defaultMtu = 1200;
const defaultVersions: readonly DtlsVersion[] = ['1.3', '1.2'];
/** A server takes the post-quantum group where it is offered; a client does not spend its time and bytes unasked. */
const defaultGroups: Readonly<Record<'server' | 'client', readonly NamedGroup[]>> = {
  server: ['x25519mlkem768', 'x25519', 'secp256r1'],
  client: ['x25519', 'secp256r1', 'x25519mlkem768'],
};

export class DtlsEndpoint {
  readonly counters: DtlsCounters = createDtlsCounters();
  readonly #role: 'server' | 'client';
  readonly #records = new RecordLayer();
  readonly #reassembly = new Reassembly();
  readonly #early = new EarlyRecords();
  readonly #transcript = new Transcript();
  readonly #acks = new Acknowledgements();
  readonly #flights: FlightSender;
  readonly #earlySending: boolean;
  readonly #outputs: DtlsOutput[] = [];
  #handshake: Handshake;
  #state: DtlsState = 'handshaking';
  #now: number;
  #mtu: number;
  #giveUpAt = Number.POSITIVE_INFINITY;
  /** message_seq of the next message that is sent. */
  #nextMessage = 0;
  /** message_seq of the peer's message that is being handled, or was last; -1 before the first. */
  #handling = -1;
  /** message_seq of the last message of the flight that ours answers. */
  #answered = -1;
  /** A record of the peer has been decrypted: clear text is no longer believed where keys could speak. */
  #peerProtected = false;
  /** Records that were kept may be readable now. */
  #earlyDue = false;
  #maySend = false;
  #result: HandshakeResult | null = null;
  #closeReason: DtlsCloseReason | null = null;

  /** @throws {RangeError} when the MTU is too small or no fingerprint is given. */
  constructor(options: DtlsEndpointOptions) {
    const { role, now, mtu = defaultMtu } = options;
    checkMtu(mtu);
    if (options.remoteFingerprints.length === 0) throw new RangeError('no fingerprint of the peer is given');
    this.#role = role;
    this.#now = now;
    this.#mtu = mtu;
    this.#flights = new FlightSender(this.#records, mtu, (datagram) => this.#transmit(datagram, true));
    this.#earlySending = options.earlySending ?? false;
    const { versions = defaultVersions, groups = defaultGroups[role] } = options;
    if (versions.length === 0 || groups.length === 0) throw new RangeError('no version or no group is given');
    const host = this.#createHost({ ...options, versions, groups });
    this.#handshake = role === 'server' ? new ServerStart(host) : new ClientStart(host);
  }

  get state(): DtlsState {
    return this.#state;
  }

  /**
   * The datagrams of our flight that the peer is not known to have, as they were sent last: to be carried in another
   * way, such as STUN (SPED). The same bytes until the flight is sent again or replaced.
   */
  get flightDatagrams(): readonly Uint8Array[] {
    return this.#flights.datagrams;
  }

  /** The most bytes of a datagram of the handshake; counts from the next flight, or repetition of one. @throws {RangeError} below 96. */
  set mtu(bytes: number) {
    checkMtu(bytes);
    this.#mtu = bytes;
    this.#flights.mtu = bytes;
  }

  /** Milliseconds, measured by ICE: flights that are sent from now on are repeated accordingly. */
  set roundTripTime(time: number) {
    this.#flights.roundTripTime = time;
  }

  /** The same when only an upper bound is known. */
  set longestRoundTripTime(time: number) {
    this.#flights.longestRoundTripTime = time;
  }

  /** Milliseconds that the peer took to answer a flight that was sent once; null when no flight was. */
  get measuredRoundTrip(): number | null {
    return this.#flights.measuredRoundTrip;
  }

  /** The peer has one of {@link flightDatagrams}, as something else than DTLS tells: the others are repeated without it. */
  confirmDelivery(datagram: Uint8Array): void {
    this.#flights.confirm(datagram);
  }

  /** Sends what may be missing of our flight at once: there is a way now, and there was none when it was sent. */
  sendFlightNow(now: number): void {
    this.#now = now;
    if (this.#flights.sendNow(now)) this.counters.flightsRetransmitted++;
  }

  /** A record of the peer under keys of this handshake has come: so the peer does receive what is sent to it. */
  get peerProtected(): boolean {
    return this.#peerProtected;
  }

  /**
   * Takes a received datagram. True when at least one record in it authenticated or, before there are keys, was a
   * handshake record that fits this handshake. Exact repetitions give false.
   */
  handleDatagram(data: Uint8Array, now: number): boolean {
    this.#now = now;
    this.counters.datagramsReceived++;
    if (this.#state === 'closed') {
      this.#drop('after-close');
      return false;
    }
    const accepted = this.#handleRecords(data);
    while (this.#earlyDue) {
      this.#earlyDue = false;
      for (const record of this.#early.take()) this.#handleRecords(record);
    }
    this.#sendDueAck();
    return accepted;
  }

  handleTimeout(now: number): void {
    this.#now = now;
    if (this.#state === 'closed') return;
    if (now >= this.#giveUpAt) {
      this.#end('handshake-timeout');
      return;
    }
    if (this.#flights.handleTimeout(now)) this.counters.flightsRetransmitted++;
    this.#sendDueAck();
  }

  /**
   * Sends application data as one record in one datagram. Before `send-keys` or `connected` it is counted and not sent.
   * @throws {RangeError} above 16,384 bytes.
   */
  send(data: Uint8Array, now: number): void {
    this.#now = now;
    if (data.length > maxPlaintextLength) throw new RangeError(`a record holds ${maxPlaintextLength} bytes, not ${data.length}`);
    if (this.#maySend) this.#sendRecord(contentType.applicationData, data);
    else this.counters.sendsRefused++;
  }

  /** Says close_notify and ends the association. Idempotent. */
  close(now: number): void {
    this.#now = now;
    if (this.#state === 'closed') return;
    // A peer that has heard nothing yet has nothing to close.
    if (this.counters.datagramsSent > 0) this.#sendAlert('warning', 'close_notify');
    this.#end('local-close');
  }

  poll(): DtlsOutput {
    return this.#outputs.shift() ?? { type: 'timeout', at: Math.min(this.#flights.deadline, this.#acks.deadline, this.#giveUpAt) };
  }

  dump(): DtlsDump {
    return {
      role: this.#role,
      state: this.#state,
      version: this.#result?.version ?? null,
      cipherSuite: this.#result?.cipherSuite ?? null,
      group: this.#result?.group ?? null,
      srtpProfile: this.#result?.srtp?.profile ?? null,
      readEpoch: this.#records.readEpoch,
      writeEpoch: this.#records.writeEpoch,
      closeReason: this.#closeReason,
      counters: structuredClone(this.counters),
    };
  }

  #handleRecords(datagram: Uint8Array): boolean {
    let accepted = false;
    for (let at = 0; at < datagram.length && this.#state !== 'closed'; ) {
      const header = parseRecord(datagram, at);
      if (!header) {
        this.#drop('malformed-record');
        break;
      }
      this.counters.recordsReceived++;
      if (this.#handleRecord(header, datagram, at)) accepted = true;
      at = header.end;
    }
    return accepted;
  }

  #handleRecord(header: RecordHeader | UnifiedHeader, datagram: Uint8Array, at: number): boolean {
    if (header.form === 'classic' && !isSpoken(header)) return this.#drop('unsupported-record-version');
    if (this.#state === 'handshaking' && this.#comesEarly(header)) {
      return this.#early.keep(datagram.subarray(at, header.end)) ? false : this.#drop('early-buffer-full');
    }
    const record = this.#records.open(header, datagram);
    if (typeof record === 'string') return this.#drop(record);
    const { type, epoch, fragment } = record;
    if (epoch > 0) this.#peerProtected = true;
    else if (this.#state === 'connected') return this.#drop(clearTextReason(type, fragment));
    switch (type) {
      case contentType.handshake:
        return this.#handleHandshakeRecord(record) || epoch > 0;
      case contentType.changeCipherSpec:
        // Says nothing that the epoch of the records behind it does not say.
        break;
      case contentType.alert:
        this.#handleAlert(epoch, fragment);
        break;
      case contentType.ack:
        this.#handleAck(epoch, fragment);
        break;
      case contentType.applicationData:
        if (epoch === 0) this.#drop('unprotected-application-data');
        // The handshake epoch of DTLS 1.3 carries none, and there is no data before the peer is known.
        else if (this.#state !== 'connected' || epoch === epoch13.handshake) this.#drop('wrong-epoch');
        else this.#outputs.push({ type: 'data', data: fragment });
        break;
      default:
        this.#drop('unknown-content-type');
    }
    return epoch > 0;
  }

  /** The keys of the next epoch are on their way, or the peer's Finished that goes before its data. */
  #comesEarly(header: RecordHeader | UnifiedHeader): boolean {
    if (header.form === 'unified') return this.#records.epochOf(header) === null;
    const { type, epoch } = header;
    const { readEpoch } = this.#records;
    return epoch === readEpoch + 1 || (epoch > 0 && epoch === readEpoch && type === contentType.applicationData);
  }

  /** True when a fragment in it belongs to this handshake, as far as can be known. */
  #handleHandshakeRecord(record: OpenedRecord): boolean {
    const { epoch } = record;
    const fragments = decodeHandshakeFragments(record.fragment);
    if (!fragments) return this.#drop('malformed-handshake');
    let accepted = false;
    let refused = false;
    for (const fragment of fragments) {
      const admission = this.#handshake.admit(fragment.type, epoch);
      const outcome = admission === 'take' ? this.#reassembly.add(fragment) : admission;
      switch (outcome) {
        case 'taken':
          accepted = true;
          if (this.#state === 'handshaking' && fragment.sequence > this.#answered) this.#flights.answered(this.#now);
          // Any part of the next flight acknowledges all of ours (RFC 9147, section 7.1), when it is not forged.
          if (this.#state === 'handshaking' && epoch > 0 && this.#handshake.acknowledges) this.#flights.stop();
          this.#handleMessages(epoch);
          if (this.#state === 'closed') return accepted;
          break;
        case 'repeat':
        case 'repeated':
          accepted = true;
          // A repetition within the flight that is just coming in is no sign: its sender lacks nothing of ours.
          if (fragment.sequence <= this.#answered && this.#flights.repeat(this.#now)) this.counters.flightsRetransmitted++;
          break;
        case 'renegotiation':
          // RFC 5246, section 7.2.2: refused with a warning, the association goes on.
          this.#drop('renegotiation');
          this.#sendAlert('warning', 'no_renegotiation');
          break;
        default:
          refused = true;
          this.#drop(outcome);
      }
    }
    const due = accepted && !refused ? this.#handshake.acknowledges?.(epoch) : undefined;
    if (due && due !== 'never') this.#acks.add(record, due, this.#now);
    return accepted;
  }

  /** Hands out the messages that are whole now. */
  #handleMessages(epoch: number): void {
    for (let message = this.#reassembly.peek(); message; message = this.#reassembly.peek()) {
      this.#handling = message.sequence;
      try {
        this.#handshake.handle(message);
      } catch (fault) {
        if (!(fault instanceof HandshakeFault)) throw fault;
        const { reason } = fault;
        if (epoch === 0 && (reason === 'malformed-message' || reason === 'unexpected-message')) {
          this.#drop(reason);
          this.#reassembly.discard();
          return;
        }
        this.#sendAlert('fatal', handshakeFaultAlert[reason]);
        this.#end(reason, handshakeFaultAlert[reason]);
        return;
      }
      this.#reassembly.accept();
    }
  }

  /** Clear text alerts are believed only while the peer may have no keys (RFC 6347, section 4.1.2.7). */
  #handleAlert(epoch: number, fragment: Uint8Array): void {
    const alert = decodeAlert(fragment);
    if (!alert) this.#drop('malformed-alert');
    else if (epoch === 0 && (this.#peerProtected || this.counters.datagramsSent === 0)) this.#drop('unauthenticated-alert');
    else if (alert.description === 'close_notify') {
      // RFC 5246, section 7.2.1: answered with the same.
      this.#sendAlert('warning', 'close_notify');
      this.#end('peer-close', alert.description);
    } else if (alert.level === 'fatal') this.#end('peer-alert', alert.description);
  }

  /** Clear text ACKs, which anybody can write, would let a flight be held back. */
  #handleAck(epoch: number, fragment: Uint8Array): void {
    if (epoch === 0) {
      this.#drop('unprotected-ack');
      return;
    }
    const numbers = this.#handshake.acknowledges ? decodeAck(fragment) : null;
    if (!numbers) this.#drop('malformed-ack');
    else if (this.#flights.acknowledge(numbers, this.#now)) {
      if (this.#state === 'connected') this.#giveUpAt = Number.POSITIVE_INFINITY;
      this.#handshake.flightAcknowledged?.();
    }
  }

  #sendDueAck(): void {
    if (this.#now < this.#acks.deadline || this.#state === 'closed') return;
    const numbers = this.#acks.take();
    const capacity = ackCapacity(this.#mtu - this.#records.overhead(this.#records.writeEpoch));
    for (let at = 0; at < numbers.length; at += capacity) {
      this.#sendRecord(contentType.ack, encodeAck(numbers.slice(at, at + capacity)));
    }
  }

  #complete(result: HandshakeResult): void {
    this.#state = 'connected';
    // A client of DTLS 1.3 knows its server, but not yet whether its own last flight has arrived.
    if (this.#flights.deadline === Number.POSITIVE_INFINITY) this.#giveUpAt = Number.POSITIVE_INFINITY;
    this.#maySend = true;
    this.#result = result;
    this.#earlyDue = true;
    this.#transcript.clear();
    this.#outputs.push({ type: 'connected', ...result });
  }

  #end(reason: DtlsCloseReason, alert?: AlertDescription): void {
    this.#state = 'closed';
    this.#closeReason = reason;
    this.#giveUpAt = Number.POSITIVE_INFINITY;
    this.#maySend = false;
    this.#flights.stop();
    this.#acks.clear();
    this.#early.take();
    this.#outputs.push(alert ? { type: 'closed', reason, alert } : { type: 'closed', reason });
  }

  #sendAlert(level: 'warning' | 'fatal', description: keyof typeof alertDescription): void {
    this.#sendRecord(contentType.alert, encodeAlert(level, description));
  }

  #sendRecord(type: number, fragment: Uint8Array): void {
    const epoch = this.#records.writeEpoch;
    const datagram = new Uint8Array(fragment.length + this.#records.overhead(epoch));
    this.#records.seal(type, epoch, fragment, datagram, 0);
    this.#transmit(datagram, false);
  }

  #transmit(data: Uint8Array, flight: boolean): void {
    this.counters.datagramsSent++;
    this.#outputs.push({ type: 'transmit', data, flight });
  }

  #drop(reason: DtlsDropReason): false {
    this.counters.dropped[reason]++;
    return false;
  }

  #createHost(config: HandshakeConfig): HandshakeHost {
    return {
      config,
      transcript: this.#transcript,
      compose: (type, body) => {
        const message = { type, sequence: this.#nextMessage++, body };
        if (this.#state === 'handshaking') this.#transcript.append(message);
        return message;
      },
      sendFlight: (items, awaitsAnswer) => {
        if (this.#giveUpAt === Number.POSITIVE_INFINITY) this.#giveUpAt = this.#now + handshakeTimeout;
        this.#answered = this.#handling;
        this.#acks.clear();
        this.#flights.send(items, awaitsAnswer, this.#now);
      },
      endFlight: () => this.#flights.stop(),
      forgetAhead: () => this.#reassembly.forgetAhead(),
      addReadEpoch: (epoch, protection) => {
        this.#records.addReadEpoch(epoch, protection);
        this.#earlyDue = true;
      },
      addUnifiedReadEpoch: (epoch, protection) => {
        this.#records.addUnifiedReadEpoch(epoch, protection);
        this.#earlyDue = true;
      },
      addWriteEpoch: (epoch, protection) => this.#records.addWriteEpoch(epoch, protection),
      maySend: (srtp) => {
        if (!this.#earlySending) return;
        this.#maySend = true;
        const keys = srtp && { profile: srtp.profile, localKey: srtp.localKey, localSalt: srtp.localSalt };
        this.#outputs.push({ type: 'send-keys', srtp: keys });
      },
      continueWith: (handshake) => {
        this.#handshake = handshake;
      },
      complete: (result) => this.#complete(result),
    };
  }
}

/** Before the version is agreed a peer may write that of DTLS 1.0 (RFC 5246, appendix E.1). */
function isSpoken({ version, epoch }: RecordHeader): boolean {
  return version === protocolVersion.dtls12 || (version === protocolVersion.dtls10 && epoch === 0);
}

function checkMtu(bytes: number): void {
  if (!(bytes >= minMtu)) throw new RangeError(`the MTU is ${bytes} bytes; at least ${minMtu} are needed`);
}

/** Why clear text is dropped once connected. A fresh ClientHello is counted apart: a peer may have lost its state. */
function clearTextReason(type: number, fragment: Uint8Array): DtlsDropReason {
  return type === contentType.handshake && fragment[0] === handshakeType.clientHello
    ? 'client-hello-after-handshake'
    : 'plaintext-after-handshake';
}
