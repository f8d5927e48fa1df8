import { createHmac, randomFillSync } from 'node:crypto';
import { openAead, sealAead, SEALED_OVERHEAD } from '../wire/aead.ts';
import { deriveKey } from '../wire/derive-key.ts';
import { LOCATOR_BYTES } from '../wire/locator.ts';

const VALUE_BYTES = LOCATOR_BYTES + SEALED_OVERHEAD;

/**
 * How flows are written into a cache that others may read and write. A key is a keyed hash of the client's address; a
 * value is the transceiver's, encrypted and bound to the client and the cluster by AES-128-GCM. So whoever has the
 * cache learns no caller's address, and can put nothing into it that a relay would follow: at most an old entry of the
 * same client, which leads to a transceiver that once had its call.
 */
export class FlowSeal {
  readonly #current: Keys;
  readonly #all: readonly Keys[];
  readonly #cluster: number;

  constructor(secret: string, previousSecret: string | undefined, cluster: number) {
    this.#current = keysOf(secret);
    this.#all = previousSecret === undefined ? [this.#current] : [this.#current, keysOf(previousSecret)];
    this.#cluster = cluster;
  }

  /** The key under which a flow is written. `client` is that part of a flow record. */
  key(client: Uint8Array): string {
    return this.#key(this.#current, client);
  }

  /** The keys under which it may have been written: one for each secret. */
  keys(client: Uint8Array): string[] {
    return this.#all.map((keys) => this.#key(keys, client));
  }

  seal(client: Uint8Array, target: Uint8Array): string {
    return sealAead(this.#current.value, this.#bound(client), target, randomFillSync).toString('base64url');
  }

  /** The transceiver's address, six bytes; null for what no relay of this deployment has written for this client. */
  open(client: Uint8Array, sealed: string): Uint8Array | null {
    const bytes = Buffer.from(sealed, 'base64url');
    if (bytes.length !== VALUE_BYTES) return null;
    for (const keys of this.#all) {
      const target = openAead(keys.value, this.#bound(client), bytes);
      if (target !== null) return target;
    }
    return null;
  }

  #key(keys: Keys, client: Uint8Array): string {
    const name = createHmac('sha256', keys.name).update(this.#bound(client)).digest('base64url').slice(0, 22);
    return `earshot:flow:${name}`;
  }

  #bound(client: Uint8Array): Uint8Array {
    return Buffer.concat([Uint8Array.of(this.#cluster >> 8, this.#cluster), client]);
  }
}

interface Keys {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

function keysOf(secret: string): Keys {
  return { name: deriveKey(secret, 'earshot flow key v1', 16), value: deriveKey(secret, 'earshot flow value v1', 16) };
}
