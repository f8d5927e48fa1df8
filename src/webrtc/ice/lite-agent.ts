import { formatAddress, sameAddress, type TransportAddress } from '../../wire/address.ts';
import { StunAttribute } from '../stun/attributes.ts';
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

export interface IceLiteOptions {
  readonly local: IceCredentials;
  readonly remote: IceCredentials;
  readonly now: number;
  /** Milliseconds without a valid check after which the session fails. */
  readonly consentTimeout?: number;
  /** Milliseconds until the first valid check. */
  readonly connectTimeout?: number;
}

/** Why a STUN message did not count as a check. A repeated one was answered. */
export type IceLiteDrop = IceDrop | 'unsolicited-response' | 'replayed-elsewhere' | 'repeated';

export interface IceLiteDump {
  readonly state: IceState;
  readonly localUfrag: string;
  readonly remoteUfrag: string;
  readonly selected: string | null;
  readonly nominated: boolean;
  readonly restarting: boolean;
  /** Text form, the one whose check came last at the end. */
  readonly validated: readonly string[];
  readonly checks: number;
  readonly lastCheckAt: number | null;
  readonly counters: Readonly<Record<IceLiteDrop, number>>;
}

/** Client addresses that are remembered as proven: a client has few networks at once. */
export const MAX_VALIDATED = 8;
/** Checks remembered against replay: five minutes at the pace of consent checks. */
const REPLAY_WINDOW = 128;

/**
 * The controlled ICE-lite side of one session (RFC 8445, section 2.5): it only answers checks, and what it may send,
 * and where to, follows from them.
 *
 *     client (controlling)                       IceLiteAgent
 *        │ Binding request, USERNAME local:remote     │
 *        ├───────────────────────────────────────────►│ address validated, selected: connected
 *        │◄───────────────────────────────────────────┤ success, XOR-MAPPED-ADDRESS
 *        ├── request with USE-CANDIDATE ─────────────►│ nominated
 *        ├── from another address, the same ─────────►│ roams: selected changes
 *        ├── every few seconds ──────────────────────►│ consent goes on (RFC 7675)
 *        │            … 30 s without …                │ failed: consent-expired
 *
 * Selection. Until a check nominates, the latest valid one selects, so that nothing waits for nomination; from then on
 * only nominating checks do. RFC 8445 has the controlled side wait for nomination and end there; roaming by a
 * nominating check is what current clients expect from a server after a change of network.
 *
 * Consent. RFC 7675 has each side ask for it. A lite agent never asks; it takes each fresh check for it, since only the
 * holder of our password can make one.
 *
 * Replay. STUN integrity does not cover the source address, so a captured check, sent again from elsewhere, would move
 * the session there. The transaction ids of the last checks are remembered: one that returns from a proven address is
 * answered (a retransmission) but changes nothing, from any other it is dropped.
 *
 * Restart. Checks of the previous credentials keep the session alive until one of the new has come, and move nothing.
 */
export class IceLiteAgent {
  readonly counters: Record<IceLiteDrop, number> = { ...newDropCounters(), 'unsolicited-response': 0, 'replayed-elsewhere': 0, repeated: 0 };

  /** What the answers to checks carry besides; null while there is nothing. */
  cargo: StunCargo | null = null;
  readonly #consentTimeout: number;
  readonly #connectTimeout: number;
  readonly #outbox = new IceOutbox();
  readonly #validated: TransportAddress[] = [];
  readonly #recent = new Uint32Array(REPLAY_WINDOW);
  #generation: IceGeneration;
  #previous: IceGeneration | null = null;
  #nominated = false;
  /** Authentic requests, and those among them that were valid checks. */
  #requests = 0;
  #checks = 0;
  #lastCheckAt: number | null = null;
  #failAt: number;

  constructor(options: IceLiteOptions) {
    this.#generation = iceGeneration(options.local, options.remote);
    this.#consentTimeout = options.consentTimeout ?? CONSENT_TIMEOUT;
    this.#connectTimeout = options.connectTimeout ?? CONNECT_TIMEOUT;
    this.#failAt = options.now + this.#connectTimeout;
  }

  get state(): IceState {
    return this.#outbox.state;
  }

  /** Where to send; null until the first valid check. */
  get selected(): TransportAddress | null {
    return this.#outbox.selected;
  }

  /** True for an address that a valid check has come from: one of the last few, the selected one always among them. */
  accepts(from: TransportAddress): boolean {
    for (let i = this.#validated.length - 1; i >= 0; i--) if (sameAddress(this.#validated[i], from)) return true;
    return false;
  }

  /**
   * One datagram that looks like STUN.
   * @returns true when it is a fresh, authentic request of this session, even if it is answered with an error
   */
  handleStun(data: Uint8Array, from: TransportAddress, now: number): boolean {
    if (this.state === 'failed') return this.#drop('ended');
    const fault = readBinding(message, data);
    if (fault) return this.#drop(fault);
    if (message.class === 'indication') return this.#drop('indication');
    if (message.class !== 'request') return this.#drop('unsolicited-response');
    return this.#handleRequest(from, now);
  }

  handleTimeout(now: number): void {
    if (this.state === 'failed' || now < this.#failAt) return;
    this.#outbox.fail(this.#lastCheckAt === null ? 'connect-timeout' : 'consent-expired');
  }

  /** ICE restart (RFC 8445, section 9): expects checks of new credentials. Consent once given runs on as it stands. */
  restart(local: IceCredentials, remote: IceCredentials, now: number): void {
    if (this.state === 'failed') return;
    if (this.#lastCheckAt === null) this.#failAt = now + this.#connectTimeout;
    // The previous generation is the last one that the client has used; one it never got to use is forgotten.
    if (this.state === 'connected' || !this.#previous) this.#previous = this.#generation;
    this.#generation = iceGeneration(local, remote);
    this.#nominated = false;
    this.#outbox.enter('checking');
  }

  poll(): IceOutput {
    return this.#outbox.poll(this.#failAt);
  }

  dump(): IceLiteDump {
    return {
      state: this.state,
      localUfrag: this.#generation.local.ufrag,
      remoteUfrag: this.#generation.remote.ufrag,
      selected: this.selected && formatAddress(this.selected),
      nominated: this.#nominated,
      restarting: this.#previous !== null,
      validated: this.#validated.map(formatAddress),
      checks: this.#checks,
      lastCheckAt: this.#lastCheckAt,
      counters: { ...this.counters },
    };
  }

  #handleRequest(from: TransportAddress, now: number): boolean {
    let generation = this.#generation;
    let fault = authenticateRequest(message, generation);
    if (fault === 'unknown-username' && this.#previous) {
      generation = this.#previous;
      fault = authenticateRequest(message, generation);
    }
    if (fault) return this.#drop(fault);

    const repeated = this.#remembers(message.transactionId);
    if (repeated && !this.accepts(from)) return this.#drop('replayed-elsewhere');
    const requestError = requestFault(message, StunAttribute.iceControlled);
    const cargo = generation === this.#generation ? this.cargo : null;
    if (!repeated && !requestError) cargo?.unload(message, now, null);
    this.#outbox.transmit(answerRequest(message, requestError, from, generation, writer, cargo), from);
    if (repeated) return this.#drop('repeated');
    this.#recent[this.#requests++ % REPLAY_WINDOW] = fold(message.transactionId);
    if (requestError) this.counters[requestError]++;
    else this.#accept(from, generation, now);
    return true;
  }

  #accept(from: TransportAddress, generation: IceGeneration, now: number): void {
    this.#checks++;
    this.#lastCheckAt = now;
    this.#failAt = now + this.#consentTimeout;
    if (generation !== this.#generation) return;
    this.#previous = null;
    const nominating = message.has(StunAttribute.useCandidate);
    const selected = this.selected;
    if (nominating || !this.#nominated) {
      if (!selected || !sameAddress(selected, from)) this.#outbox.select(from);
    }
    if (nominating) this.#nominated = true;
    this.#validate(from);
    this.#outbox.enter('connected');
  }

  /** Moves the address to the end of the list; the one that has been silent longest makes room. */
  #validate(from: TransportAddress): void {
    const list = this.#validated;
    if (list.length > 0 && sameAddress(list[list.length - 1], from)) return;
    const known = list.findIndex((address) => sameAddress(address, from));
    if (known >= 0) list.splice(known, 1);
    else if (list.length === MAX_VALIDATED) list.splice(this.selected && sameAddress(list[0], this.selected) ? 1 : 0, 1);
    list.push(from);
  }

  #remembers(transactionId: Uint8Array): boolean {
    const known = this.#recent.indexOf(fold(transactionId));
    return known >= 0 && known < this.#requests;
  }

  #drop(reason: IceLiteDrop): false {
    this.counters[reason]++;
    return false;
  }
}

/** Shared by all agents of a thread: a message is read and answered within one call. */
const message = new StunMessage();
const writer = new StunWriter();

/** 32 bits of a transaction id. A false match costs a fresh check once in 2^25, which the next one makes good. */
function fold(id: Uint8Array): number {
  let hash = 0;
  for (let i = 0; i < id.length; i += 4) hash ^= (id[i] << 24) | (id[i + 1] << 16) | (id[i + 2] << 8) | id[i + 3];
  return hash >>> 0;
}
