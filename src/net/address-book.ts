import type { TransportAddress } from '../wire/address.ts';
import { AddressTable } from './address-table.ts';

/** Remembers address objects, so that one sender is one object for as long as it stays among the `capacity` latest. */
export class AddressBook {
  readonly #table: AddressTable;
  readonly #addresses: TransportAddress[] = [];
  /** Order of use is all that matters here: each use is a tick. */
  #tick = 0;

  constructor(capacity = 65_536) {
    this.#table = new AddressTable({ capacity });
  }

  /** The address object for 4 or 16 bytes at `offset`. The same one each time, nothing allocated once it is known. */
  intern(ip: Uint8Array, offset: number, family: 4 | 6, port: number): TransportAddress {
    const slot = this.#table.obtain(ip, offset, family, port, this.#tick++);
    if (this.#table.inserted) {
      // Uint8Array.prototype.slice, for a Buffer's own slice would be a view of receive memory.
      const copy = Uint8Array.prototype.slice.call(ip, offset, offset + (family === 4 ? 4 : 16));
      this.#addresses[slot] = { family, ip: new Uint8Array(copy), port };
    }
    return this.#addresses[slot];
  }
}
