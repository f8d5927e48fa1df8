import { AddressTable } from '../net/address-table.ts';

export interface SourceRate {
  /** New flows a second that one prefix may make, per worker. */
  readonly perSecond: number;
  /** New flows that it may make at once after it was quiet. */
  readonly burst: number;
}

/** Above what an office or a carrier's NAT makes when a restarted relay meets all its callers anew. */
export const DEFAULT_SOURCE_RATE: SourceRate = { perSecond: 1000, burst: 4000 };

/** Prefixes that are remembered; the one quiet longest gives way. */
const MAX_PREFIXES = 8192;
const PREFIX_BYTES_4 = 3;
const PREFIX_BYTES_6 = 7;

/**
 * A token bucket for each source prefix, /24 of IPv4 and /56 of IPv6: what a subscriber or a small network has. Asked
 * only when a new flow is to be made, so that known flows never meet it. Nothing is allocated per packet.
 */
export class SourceLimit {
  readonly #rate: SourceRate;
  readonly #prefixes = new AddressTable({ capacity: MAX_PREFIXES });
  readonly #allowance = new Float32Array(MAX_PREFIXES);
  readonly #refilledAt = new Float64Array(MAX_PREFIXES);
  readonly #prefix = new Uint8Array(16);

  constructor(rate: SourceRate) {
    this.#rate = rate;
  }

  /** Whether one more flow may be made for this source; counts it if so. */
  take(ip: Uint8Array, ipOffset: number, family: 4 | 6, now: number): boolean {
    const prefix = this.#prefix.fill(0);
    const bytes = family === 4 ? PREFIX_BYTES_4 : PREFIX_BYTES_6;
    for (let i = 0; i < bytes; i++) prefix[i] = ip[ipOffset + i];
    // The family stands in for the port: an IPv4 and an IPv6 prefix of the same bytes are two.
    const slot = this.#prefixes.obtain(prefix, 0, 6, family, now);
    const { perSecond, burst } = this.#rate;
    const refilled = this.#allowance[slot] + ((now - this.#refilledAt[slot]) * perSecond) / 1000;
    const allowance = this.#prefixes.inserted ? burst : Math.min(burst, refilled);
    this.#refilledAt[slot] = now;
    this.#allowance[slot] = allowance < 1 ? allowance : allowance - 1;
    return allowance >= 1;
  }
}
