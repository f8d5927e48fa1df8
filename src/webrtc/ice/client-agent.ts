import { formatAddress, sameAddress, type TransportAddress } from '../../wire/address.ts';
import type { RandomSource } from '../machine.ts';
import { BINDING, StunAttribute } from '../stun/attributes.ts';
import { StunMessage } from '../stun/message.ts';
import { StunWriter } from '../stun/writer.ts';
import { CONNECT_TIMEOUT, CONSENT_TIMEOUT, type IceOutput, type IceState } from './agent.ts';
import {
  answerRequest,
  authenticateRequest,
  iceGeneration,
  newDropCounters,
  readBinding,
  requestFault,
  type IceDrop,
  type IceGeneration,
} from './binding-request.ts';
import type { IceCredentials } from './credentials.ts';
import { IceOutbox } from './outbox.ts';
import type { StunCargo } from './stun-cargo.ts';

export interface IceClientOptions {
  readonly local: IceCredentials;
  readonly remote: IceCredentials;
  /** Where the server may be reached, the best first. More can follow with `addRemoteCandidate`. */
  readonly remoteCandidates: readonly TransportAddress[];
  readonly random: RandomSource;
  readonly now: number;
  /** Milliseconds without an answer after which the session fails. */
  readonly consentTimeout?: number;
  /** Milliseconds until the first answer, at the start and after each restart. */
  readonly connectTimeout?: number;
}

/** Why a STUN message changed nothing. */
export type IceClientDrop = IceDrop | 'unknown-transaction' | 'asymmetric-response' | 'error-response';

export interface IceClientDump {
  readonly state: IceState;
  readonly localUfrag: string;
  readonly remoteUfrag: string;
  readonly selected: string | null;
  readonly remoteCandidates: readonly string[];
  readonly checksSent: number;
  readonly lastAnswerAt: number | null;
  /** Milliseconds, smoothed. */
  readonly roundTripTime: number | null;
  readonly counters: Readonly<Record<IceClientDrop, number>>;
}

/** A remote candidate and when to check it next; there is one local candidate, the socket. */
interface Pair {
  readonly remote: TransportAddress;
  nextCheckAt: number;
  backOff: number;
}

interface Transaction {
  readonly id: Uint8Array;
  readonly pair: Pair;
  readonly nominates: boolean;
  readonly sentAt: number;
}

/** Ta: milliseconds between any two checks while connecting (RFC 8445, section 14.2). */
const PACING = 50;
/** Milliseconds until an unanswered check is followed by another: doubled from the first to the last. */
const FIRST_BACK_OFF = 50;
const CONSENT_BACK_OFF = 500;
const LAST_BACK_OFF = 1_600;
/** Milliseconds from an answer to the next check: even between these, so that many clients do not fall into step. */
const MIN_CONSENT_INTERVAL = 2_500;
const MAX_CONSENT_INTERVAL = 5_000;
/** Checks that may still be answered; older ones are forgotten. */
const MAX_TRANSACTIONS = 16;
/** So many unanswered checks in a row, and the other candidates are tried. */
const SILENT_CHECKS = 2;
/** Milliseconds without media, where there was some, after which the next check is due at once. */
const MEDIA_SILENCE = 300;
/** Milliseconds after the first answer in which a candidate listed before that one may still take its place. */
const SETTLING = 1_000;
export const MAX_REMOTE_CANDIDATES = 16;
/** Of a peer-reflexive candidate with the highest local preference (RFC 8445, section 5.1.2). */
const PRIORITY = ((110 << 24) | (0xffff << 8) | 0xff) >>> 0;

/**
 * The controlling side of a session with a server: one socket, one or a few remote candidates. For native clients, the
 * load generator and tests.
 *
 *     check each candidate, 50 ms apart, each again after 100, 200, 400 … 1,600 ms
 *       └─ first answer: selected, connected; the others rest, those listed before it after a second,
 *          in which the first of them that answers is selected instead
 *            └─ a check every 2.5 to 5 s, and when media stops for 0.3 s: round-trip time and consent (RFC 7675);
 *               unanswered, the next after 0.5, 1, 1.6, 1.6 … s, sooner where media has stopped
 *                 ├─ two unanswered: the others are checked too, and the first that answers is selected
 *                 └─ 30 s without an answer: failed
 *
 * Deviations from RFC 8445, all fit for a peer with a public address:
 * - With one candidate every check nominates (the aggressive nomination of RFC 5245): a lite server needs none before it
 *   sends, and one exchange fewer is one round trip fewer. With several only those of the selected one do, the first at
 *   once and before anything else is sent there: or else the server would go where the check came from that took longest.
 * - The first repetition comes after 100 ms instead of 500, as browsers do it; each check is a transaction of its own,
 *   so that an answer always measures one round trip.
 * - The role never changes: a peer that controls as well gets 487, and our own 487 is fatal.
 * - Consent checks are closer than the 5 s of RFC 7675, to measure more often, and closer still when one is lost, so
 *   that a lossy path does not pass for a dead one, or when media stops, so that a relay that dies is heard for one
 *   second and not for five.
 */
export class IceClientAgent {
  readonly counters: Record<IceClientDrop, number> = { ...newDropCounters(), 'unknown-transaction': 0, 'asymmetric-response': 0, 'error-response': 0 };

  /** What checks and answers carry besides; null while there is nothing. To be set before the first check is due. */
  cargo: StunCargo | null = null;
  readonly #random: RandomSource;
  readonly #consentTimeout: number;
  readonly #connectTimeout: number;
  readonly #outbox = new IceOutbox();
  readonly #pairs: Pair[] = [];
  readonly #tieBreaker = new Uint8Array(8);
  #transactions: Transaction[] = [];
  #generation: IceGeneration;
  /** The pair that consent checks keep alive; null while connecting. */
  #chosen: Pair | null = null;
  #nextSlot: number;
  #failAt: number;
  /** Checks of the chosen pair since its last answer. */
  #unanswered = 0;
  /** When a pair listed before the chosen one no longer takes its place. */
  #settledAt = Number.POSITIVE_INFINITY;
  /** When media last came, until its absence has led to a check. */
  #mediaAt: number | null = null;
  #checksSent = 0;
  #lastAnswerAt: number | null = null;
  #roundTripTime: number | null = null;

  constructor(options: IceClientOptions) {
    this.#generation = iceGeneration(options.local, options.remote);
    this.#random = options.random;
    this.#consentTimeout = options.consentTimeout ?? CONSENT_TIMEOUT;
    this.#connectTimeout = options.connectTimeout ?? CONNECT_TIMEOUT;
    this.#nextSlot = options.now;
    this.#failAt = options.now + this.#connectTimeout;
    this.#random(this.#tieBreaker);
    for (const remote of options.remoteCandidates) this.#addPair(remote, options.now);
  }

  get state(): IceState {
    return this.#outbox.state;
  }

  /** Where to send; null until the first answer. */
  get selected(): TransportAddress | null {
    return this.#outbox.selected;
  }

  /** Milliseconds, smoothed as in RFC 6298; null before the first answer. */
  get roundTripTime(): number | null {
    return this.#roundTripTime;
  }

  /** True for the server's address, as far as an answer has proven it. */
  accepts(from: TransportAddress): boolean {
    return this.selected !== null && sameAddress(this.selected, from);
  }

  /** A trickled candidate. One too many, or a known one, is ignored. */
  addRemoteCandidate(remote: TransportAddress, now: number): void {
    this.#addPair(remote, now);
    this.#sendDueChecks(now);
  }

  /**
   * One datagram that looks like STUN.
   * @returns true when it is an authentic message of this session
   */
  handleStun(data: Uint8Array, from: TransportAddress, now: number): boolean {
    if (this.state === 'failed') return this.#drop('ended');
    const fault = readBinding(message, data);
    if (fault) return this.#drop(fault);
    if (message.class === 'indication') return this.#drop('indication');
    return message.class === 'request' ? this.#handleRequest(from, now) : this.#handleResponse(from, now);
  }

  /**
   * Authentic media has come: when it stops, that is reason for a check.
   * @returns true when `poll` has an earlier deadline by that
   */
  handleMedia(now: number): boolean {
    const isFirst = this.#mediaAt === null;
    this.#mediaAt = now;
    return isFirst;
  }

  handleTimeout(now: number): void {
    if (this.state === 'failed') return;
    if (now >= this.#failAt) this.#outbox.fail(this.#chosen ? 'consent-expired' : 'connect-timeout');
    else this.#sendDueChecks(now);
  }

  /** The socket has moved to another network: checks at once instead of in a few seconds. */
  handleNetworkChange(now: number): void {
    if (this.state === 'failed') return;
    for (const pair of this.#pairs) this.#schedule(pair, now);
    this.#sendDueChecks(now);
  }

  /** ICE restart (RFC 8445, section 9) with the same candidates. The selected address holds until another is proven. */
  restart(local: IceCredentials, remote: IceCredentials, now: number): void {
    if (this.state === 'failed') return;
    this.#generation = iceGeneration(local, remote);
    this.#transactions = [];
    this.#chosen = null;
    this.#unanswered = 0;
    this.#settledAt = Number.POSITIVE_INFINITY;
    this.#failAt = now + this.#connectTimeout;
    this.#outbox.enter('checking');
    this.handleNetworkChange(now);
  }

  poll(): IceOutput {
    return this.#outbox.poll(Math.min(this.#failAt, this.#nextCheckAt(), this.#doubtAt()));
  }

  dump(): IceClientDump {
    return {
      state: this.state,
      localUfrag: this.#generation.local.ufrag,
      remoteUfrag: this.#generation.remote.ufrag,
      selected: this.selected && formatAddress(this.selected),
      remoteCandidates: this.#pairs.map((pair) => formatAddress(pair.remote)),
      checksSent: this.#checksSent,
      lastAnswerAt: this.#lastAnswerAt,
      roundTripTime: this.#roundTripTime,
      counters: { ...this.counters },
    };
  }

  #addPair(remote: TransportAddress, now: number): void {
    if (this.#pairs.length === MAX_REMOTE_CANDIDATES) return;
    if (this.#pairs.some((pair) => sameAddress(pair.remote, remote))) return;
    this.#pairs.push({ remote, nextCheckAt: now, backOff: FIRST_BACK_OFF });
  }

  #handleRequest(from: TransportAddress, now: number): boolean {
    const fault = authenticateRequest(message, this.#generation);
    if (fault) return this.#drop(fault);
    const requestError = requestFault(message, StunAttribute.iceControlling);
    if (requestError) this.counters[requestError]++;
    else this.cargo?.unload(message, now, this.#roundTripTime);
    this.#outbox.transmit(answerRequest(message, requestError, from, this.#generation, writer, this.cargo), from);
    return true;
  }

  #handleResponse(from: TransportAddress, now: number): boolean {
    const id = message.transactionId;
    const index = this.#transactions.findIndex((transaction) => Buffer.compare(transaction.id, id) === 0);
    const transaction = this.#transactions[index];
    if (!transaction) return this.#drop('unknown-transaction');
    if (!message.verifyIntegrity(this.#generation.remote.password)) return this.#drop('bad-integrity');
    this.#transactions.splice(index, 1);
    // RFC 8445, section 7.2.5.2.1: an answer from elsewhere fails the check.
    if (!sameAddress(from, transaction.pair.remote)) return this.#drop('asymmetric-response');
    if (message.class === 'error') {
      this.counters['error-response']++;
      if (message.errorCode === 487) this.#outbox.fail('role-conflict');
      if (message.errorCode === 403) this.#outbox.fail('refused');
      return true;
    }
    this.#measure(now - transaction.sentAt);
    this.#lastAnswerAt = now;
    const { pair, nominates } = transaction;
    const isNew = pair !== this.#chosen && (this.#chosen === null || this.#isSilent || (now < this.#settledAt && this.#isBetter(pair)));
    if (isNew) {
      if (this.#chosen === null) this.#settledAt = now + SETTLING;
      this.#chosen = pair;
    }
    if (isNew && !nominates) {
      // Leaves before the owner learns of the connection and sends anything.
      this.#check(pair, now);
      this.#nextSlot = now + PACING;
      pair.nextCheckAt = now + CONSENT_BACK_OFF;
      pair.backOff = CONSENT_BACK_OFF;
    }
    if (pair === this.#chosen) this.#renewConsent(pair, nominates, now);
    this.cargo?.unload(message, now, this.#roundTripTime);
    return true;
  }

  #renewConsent(pair: Pair, nominated: boolean, now: number): void {
    this.#failAt = now + this.#consentTimeout;
    this.#unanswered = 0;
    // One that nominates is repeated until it is answered.
    if (nominated) {
      pair.nextCheckAt = now + this.#consentInterval();
      pair.backOff = CONSENT_BACK_OFF;
    }
    if (!this.accepts(pair.remote)) this.#outbox.select(pair.remote);
    this.#outbox.enter('connected');
  }

  #measure(sample: number): void {
    this.#roundTripTime = this.#roundTripTime === null ? sample : this.#roundTripTime + (sample - this.#roundTripTime) / 8;
  }

  /** While connecting, at most one check leaves per pacing slot; later, the chosen pair's when it is due. */
  #sendDueChecks(now: number): void {
    if (now >= this.#doubtAt()) this.#doubt(now);
    if (now >= this.#settledAt) this.#settledAt = Number.NEGATIVE_INFINITY;
    if (now < this.#nextCheckAt()) return;
    const pair = this.#next();
    const more = this.#check(pair, now);
    // Checks that leave in a row for the sake of their cargo say nothing of silence.
    if (pair === this.#chosen && !more && ++this.#unanswered === SILENT_CHECKS) {
      for (const other of this.#pairs) if (other !== pair) this.#schedule(other, now);
    }
    this.#nextSlot = now + PACING;
    pair.nextCheckAt = now + (more ? PACING : pair.backOff);
    if (!more) pair.backOff = Math.min(pair.backOff * 2, LAST_BACK_OFF);
  }

  #nextCheckAt(): number {
    if (this.#pairs.length === 0) return Number.POSITIVE_INFINITY;
    return Math.max(this.#next().nextCheckAt, this.#nextSlot);
  }

  /** Whether the chosen pair has fallen silent, so that another may take its place. */
  get #isSilent(): boolean {
    return this.#unanswered >= SILENT_CHECKS;
  }

  #next(): Pair {
    const chosen = this.#isSilent ? null : this.#chosen;
    if (chosen !== null && this.#settledAt === Number.NEGATIVE_INFINITY) return chosen;
    return this.#pairs.reduce((a, b) => (b.nextCheckAt < a.nextCheckAt && (chosen === null || this.#isBetter(b)) ? b : a), chosen ?? this.#pairs[0]);
  }

  /** Whether a pair is listed before the chosen one. */
  #isBetter(pair: Pair): boolean {
    return this.#chosen !== null && this.#pairs.indexOf(pair) < this.#pairs.indexOf(this.#chosen);
  }

  /** When the absence of media is reason for a check. */
  #doubtAt(): number {
    return this.#mediaAt === null || this.#chosen === null ? Number.POSITIVE_INFINITY : this.#mediaAt + MEDIA_SILENCE;
  }

  /** Media has stopped: the peer has nothing to say, or the path is dead. */
  #doubt(now: number): void {
    this.#mediaAt = null;
    if (this.#chosen === null || this.#unanswered > 0) return;
    this.#chosen.nextCheckAt = now;
    this.#chosen.backOff = Math.min(Math.max(2 * (this.#roundTripTime ?? 0), FIRST_BACK_OFF), CONSENT_BACK_OFF);
  }

  #schedule(pair: Pair, now: number): void {
    pair.nextCheckAt = now;
    pair.backOff = FIRST_BACK_OFF;
  }

  /** True when there is reason for another soon. */
  #check(pair: Pair, now: number): boolean {
    const { local, remote } = this.#generation;
    const id = new Uint8Array(12);
    this.#random(id);
    writer.begin('request', BINDING, id);
    writer.text(StunAttribute.username, `${remote.ufrag}:${local.ufrag}`);
    writer.uint32(StunAttribute.priority, PRIORITY);
    writer.attribute(StunAttribute.iceControlling, this.#tieBreaker);
    const nominates = this.#pairs.length === 1 || pair === this.#chosen;
    if (nominates) writer.flag(StunAttribute.useCandidate);
    const more = this.cargo?.load(writer) ?? false;
    this.#outbox.transmit(writer.finish(remote.password), pair.remote);
    this.#checksSent++;
    this.#transactions.push({ id, pair, nominates, sentAt: now });
    if (this.#transactions.length > MAX_TRANSACTIONS) this.#transactions.shift();
    return more;
  }

  #consentInterval(): number {
    const random = new Uint8Array(2);
    this.#random(random);
    const fraction = ((random[0] << 8) | random[1]) / 0x10000;
    return MIN_CONSENT_INTERVAL + fraction * (MAX_CONSENT_INTERVAL - MIN_CONSENT_INTERVAL);
  }

  #drop(reason: IceClientDrop): false {
    this.counters[reason]++;
    return false;
  }
}

/** Shared by all agents of a thread: a message is read and answered within one call. */
const message = new StunMessage();
const writer = new StunWriter();
