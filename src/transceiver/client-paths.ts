import { AddressBook } from '../net/address-book.ts';
import { AddressTable } from '../net/address-table.ts';
import type { TransportAddress } from '../wire/address.ts';
import type { Call } from './call.ts';

/**
 * A client address, the call it belongs to, and the way back to it. The object itself is the `TransportAddress` that
 * the WebRTC session sees and names in its output, so that sending needs no look-up.
 */
export interface ClientPath extends TransportAddress {
  call: Call;
  /** Trunk address of the relay through which the last *authenticated* packet came: answers go there. */
  relay: TransportAddress;
  /** The relay behind that one through which to return, if the packet had one. */
  via: TransportAddress | null;
}

/** Paths of one shard at most; the one added longest ago gives way. A call has one or two. */
const MAX_PATHS = 65_536;
/** Paths of one call at most: a client that roams for ever must not crowd out the others. */
const MAX_PATHS_PER_CALL = 16;
/** Relays that are remembered as a via; forgetting one costs an allocation. */
const MAX_VIAS = 1024;

/** The proven paths of one shard, by client address. */
export class ClientPaths {
  readonly #bySlot: (ClientPath | undefined)[] = [];
  readonly #byCall = new Map<Call, ClientPath[]>();
  readonly #vias = new AddressBook(MAX_VIAS);
  readonly #table = new AddressTable({
    capacity: MAX_PATHS,
    onRemove: (slot) => {
      this.#bySlot[slot] = undefined;
    },
  });

  get size(): number {
    return this.#table.size;
  }

  find(data: Uint8Array, ipOffset: number, family: 4 | 6, port: number): ClientPath | undefined {
    const slot = this.#table.find(data, ipOffset, family, port);
    return slot < 0 ? undefined : this.#bySlot[slot];
  }

  /** Makes `find` know a path whose first datagram has authenticated. */
  add(path: ClientPath): void {
    this.#bySlot[this.#table.obtain(path.ip, 0, path.family, path.port, 0)] = path;
    const paths = this.#byCall.get(path.call) ?? [];
    if (paths.push(path) > MAX_PATHS_PER_CALL) this.#remove(paths.shift()!);
    this.#byCall.set(path.call, paths);
  }

  /** Gives a known path to another call: the client has used its port again. */
  move(path: ClientPath, call: Call): void {
    const paths = this.#byCall.get(path.call);
    paths?.splice(paths.indexOf(path), 1);
    path.call = call;
    this.add(path);
  }

  removeCall(call: Call): void {
    for (const path of this.#byCall.get(call) ?? []) this.#remove(path);
    this.#byCall.delete(call);
  }

  /** The address of six bytes at `offset`. */
  via(data: Uint8Array, offset: number): TransportAddress {
    return this.#vias.intern(data, offset, 4, (data[offset + 4] << 8) | data[offset + 5]);
  }

  #remove(path: ClientPath): void {
    const slot = this.#table.find(path.ip, 0, path.family, path.port);
    if (slot >= 0 && this.#bySlot[slot] === path) this.#table.remove(slot);
  }
}
