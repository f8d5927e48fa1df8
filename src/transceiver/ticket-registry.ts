import { createHash } from 'node:crypto';
import { CallError } from '../signaling/call-service.ts';
import type { TicketStore } from '../store/index.ts';
import type { NamedSession } from './ticket-office.ts';

/** Keeps what tickets cannot hold, and which of them are used, where all transceivers of the cluster see it. */
export class TicketRegistry {
  readonly #store: TicketStore | null;

  /** Null: this transceiver stands alone, and keeps nothing. */
  constructor(store: TicketStore | null) {
    this.#store = store;
  }

  /** Closes the store. */
  async close(): Promise<void> {
    await this.#store?.close();
  }

  /** @throws {CallError} when it is not certain that whoever gets the call will find it. */
  async keep({ name, json }: NamedSession, ttlMs: number): Promise<void> {
    if (this.#store === null) {
      const message = `The session configuration (${json.length} bytes) is too large to be answered ahead: send it as session.update when the channel opens, or start the transceiver with --redis.`;
      throw new CallError(400, 'instant_not_possible', message, { param: 'session' });
    }
    try {
      await this.#store.write([{ key: sessionKey(name), value: json }], ttlMs);
    } catch (error) {
      const message = 'The cache that keeps session configurations does not answer: ask for an ordinary answer, without "instant".';
      throw new CallError(503, 'cache_unavailable', message, { cause: error });
    }
  }

  /** JSON; null when it is not to be had. */
  async find(name: string): Promise<string | null> {
    const [json] = (await this.#store?.read([sessionKey(name)]).catch(() => null)) ?? [];
    return json ?? null;
  }

  /**
   * Says that `owner` has the call of this ticket, unless another has said so.
   * @returns the other; null when there is none, or nobody can tell
   */
  async claim(ufrag: string, owner: string, ttlMs: number): Promise<string | null> {
    const holder = (await this.#store?.claim(ticketKey(ufrag), owner, ttlMs).catch(() => null)) ?? owner;
    return holder === owner ? null : holder;
  }
}

function sessionKey(name: string): string {
  return `earshot:session:${name}`;
}

/** Whoever reads the cache shall not learn the ticket. */
function ticketKey(ufrag: string): string {
  return `earshot:ticket:${createHash('sha256').update(ufrag).digest('base64url')}`;
}
