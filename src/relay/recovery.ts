import { AddressTable } from '../net/address-table.ts';

/**
 * Somewhere that flows are remembered outside this process. Never on the path of a known flow: a lookup is a request,
 * whose answer arrives later through `RelayCore.recovered`. Both methods must return at once, copying what they keep.
 */
export interface FlowRecovery {
  /** Asks for the transceiver of a client (4 or 16 address bytes at `ipOffset`). */
  lookup(ip: Uint8Array, ipOffset: number, family: 4 | 6, port: number): void;
  /** A transceiver (six bytes: IPv4 address, port) has vouched for a client: for the first time, newly, or still. */
  learned(ip: Uint8Array, ipOffset: number, family: 4 | 6, port: number, target: Uint8Array, targetOffset: number): void;
}

/** A live flow is told again within this time: a cache that was emptied knows it again as soon. */
export const FLOW_REFRESH_MS = 30_000;
/** How long the cache keeps a flow that is not told again. */
export const FLOW_TTL_MS = 3 * FLOW_REFRESH_MS;

export interface RecoveryLimits {
  /** Lookups a second, per worker. Also the most that are sent at once. */
  readonly perSecond: number;
  /** Clients that are remembered as asked for. */
  readonly capacity: number;
  /** A client is asked for again only after this. */
  readonly retryAfterMs: number;
}

const LIMITS: RecoveryLimits = { perSecond: 2000, capacity: 4096, retryAfterMs: 1000 };

/** Keeps junk from unknown sources away from the recovery cache: one question per client and interval, a bounded rate. */
export class LimitedLookups {
  readonly #recovery: FlowRecovery;
  readonly #limits: RecoveryLimits;
  readonly #asked: AddressTable;
  #allowance: number;
  #refilledAt = 0;

  constructor(recovery: FlowRecovery, limits: RecoveryLimits = LIMITS) {
    this.#recovery = recovery;
    this.#limits = limits;
    this.#asked = new AddressTable({ capacity: limits.capacity });
    this.#allowance = limits.perSecond;
  }

  /** True when the client has been asked for, now or within the retry interval. */
  ask(ip: Uint8Array, ipOffset: number, family: 4 | 6, port: number, now: number): boolean {
    const { perSecond, retryAfterMs } = this.#limits;
    const known = this.#asked.find(ip, ipOffset, family, port);
    if (known >= 0 && now - this.#asked.lastSeen[known] < retryAfterMs) return true;
    this.#allowance = Math.min(perSecond, this.#allowance + ((now - this.#refilledAt) * perSecond) / 1000);
    this.#refilledAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    this.#asked.obtain(ip, ipOffset, family, port, now);
    this.#recovery.lookup(ip, ipOffset, family, port);
    return true;
  }
}
