import type { SessionConfig } from '../conversation/session-schema.ts';
import { isAuthenticCheck, refuseCheck } from '../webrtc/index.ts';
import { readNamedSession, type Ticket, type TicketOffice } from './ticket-office.ts';

/** What becomes of a check with a ticket that no call of this shard has. */
export type TicketVerdict =
  /** No ticket of this deployment, or not its holder. */
  | { readonly type: 'invalid' }
  /** Expired, or used: `answer` tells the client for good. */
  | { readonly type: 'refused'; readonly answer: Uint8Array }
  /** Not to be taken here. The call is at `owner` (`host:port` of its trunk), or nobody knows. */
  | { readonly type: 'elsewhere'; readonly owner: string | null }
  /** Its session configuration is being fetched: the client's next check will find it. */
  | { readonly type: 'waiting' }
  | { readonly type: 'accepted'; readonly ticket: Ticket; readonly session: SessionConfig };

export interface TicketDeskOptions {
  readonly office: TicketOffice;
  /** Whether the shard takes new calls. */
  readonly hasRoom: () => boolean;
  /** Asks for the session configuration of this name; {@link TicketDesk.sessionFetched} brings it. */
  readonly fetchSession: (name: string) => void;
}

/** Used tickets that are remembered at most: some 20 MB. */
const MAX_USED = 65_536;
/** Named session configurations that are kept at hand, and names that are asked for at a time. */
const MAX_SESSIONS = 256;

interface UsedTicket {
  /** Unix seconds. */
  readonly until: number;
  /** Who has the call; null for this shard, or nobody any more. */
  owner: string | null;
}

/** Takes tickets: each once, unexpired, from who has the answer that came with it. One per shard. */
export class TicketDesk {
  readonly #options: TicketDeskOptions;
  /** In the order in which they were used; most expire in that order as well. */
  readonly #used = new Map<string, UsedTicket>();
  /** By name; null while it is being fetched. */
  readonly #sessions = new Map<string, SessionConfig | null>();

  constructor(options: TicketDeskOptions) {
    this.#options = options;
  }

  /**
   * Looks at a check whose ufrag is not that of a live call; `now` is Unix seconds. An accepted ticket is used with that.
   */
  present(ufrag: string, check: Uint8Array, now: number): TicketVerdict {
    const ticket = this.#options.office.open(ufrag);
    if (ticket === null) return { type: 'invalid' };
    const { terms, draws, expiresAt } = ticket;
    if (!isAuthenticCheck(check, { ufrag, password: draws.password }, terms.ice.ufrag)) return { type: 'invalid' };
    const used = this.#used.get(ufrag);
    if (used !== undefined && used.owner !== null) return { type: 'elsewhere', owner: used.owner };
    this.#forget(now);
    // One that is not remembered might be used twice: it is not taken at all.
    if (used !== undefined || now >= expiresAt || this.#used.size >= MAX_USED) return { type: 'refused', answer: refuseCheck(check, draws.password) };
    if (!this.#options.hasRoom()) return { type: 'elsewhere', owner: null };
    const session = this.#session(ticket.session);
    if (session === null) return { type: 'waiting' };
    this.#used.set(ufrag, { until: expiresAt, owner: null });
    return { type: 'accepted', ticket, session };
  }

  /** The call of this ticket turned out to be at another's. */
  yielded(ufrag: string, owner: string): void {
    const used = this.#used.get(ufrag);
    if (used !== undefined) used.owner = owner;
  }

  /** JSON, or null when it is not to be had: it is asked for again with the next check. */
  sessionFetched(name: string, json: string | null): void {
    const session = json === null ? null : readNamedSession({ name, json });
    if (session === null) this.#sessions.delete(name);
    else if (this.#sessions.has(name)) this.#sessions.set(name, session);
  }

  #session(wanted: SessionConfig | string): SessionConfig | null {
    if (typeof wanted !== 'string') return wanted;
    const known = this.#sessions.get(wanted);
    if (known !== undefined) return known;
    if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    this.#sessions.set(wanted, null);
    this.#options.fetchSession(wanted);
    return null;
  }

  #forget(now: number): void {
    for (const [ufrag, { until }] of this.#used) {
      if (now < until) return;
      this.#used.delete(ufrag);
    }
  }
}
