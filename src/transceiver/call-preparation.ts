import { randomFillSync, randomInt } from 'node:crypto';
import { generateKeyShare, type KeyShare } from '../webrtc/index.ts';
import type { TransportAddress } from '../wire/address.ts';
import { CallIdKeys } from '../wire/call-id.ts';
import type { Locator } from '../wire/locator.ts';
import { RoutingKeys, type RoutingTokenFields } from '../wire/routing-token.ts';

const NONCES = 2 ** 24;

/** What a call needs whatever its offer says. */
export interface PreparedCall {
  readonly id: string;
  readonly ufrag: string;
  readonly keyShare: KeyShare<'x25519'>;
}

export interface CallPreparationOptions {
  readonly secret: string;
  readonly cluster: number;
  /** The trunk address that relays are told. */
  readonly address: TransportAddress;
  /** Whether no live call has this ufrag. */
  readonly isFree: (ufrag: string) => boolean;
}

/** Names and keys of calls: those of the next one are made while nobody waits for them. */
export class CallPreparation {
  readonly #cluster: number;
  readonly #locator: Locator;
  readonly #isFree: (ufrag: string) => boolean;
  readonly #routingKeys: RoutingKeys;
  readonly #callIdKeys: CallIdKeys;
  #next: PreparedCall | null = null;

  constructor({ secret, cluster, address, isFree }: CallPreparationOptions) {
    this.#cluster = cluster;
    this.#locator = { kind: 0, address };
    this.#isFree = isFree;
    this.#routingKeys = new RoutingKeys(secret);
    this.#callIdKeys = new CallIdKeys(secret);
  }

  /** To be called when there is time. */
  prepare(): void {
    this.#next ??= this.#make();
  }

  /** What was made ahead, unless a restart of ICE has taken the same ufrag since. */
  take(): PreparedCall {
    const next = this.#next;
    this.#next = null;
    return next !== null && this.#isFree(next.ufrag) ? next : this.#make();
  }

  /** A routing token whose nonce, and therefore whose text, no live call has. */
  freeToken(): RoutingTokenFields & { readonly ufrag: string } {
    for (;;) {
      const fields = { cluster: this.#cluster, locator: this.#locator, nonce: randomInt(NONCES) };
      const ufrag = this.#routingKeys.encodeUfrag(fields);
      if (this.#isFree(ufrag)) return { ...fields, ufrag };
    }
  }

  #make(): PreparedCall {
    const token = this.freeToken();
    return { id: this.#callIdKeys.encodeCallId(token, randomFillSync), ufrag: token.ufrag, keyShare: generateKeyShare('x25519') };
  }
}
