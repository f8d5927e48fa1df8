import { TRUNK_HEADER_BYTES, type TrunkCookies, type TrunkEntry, writeTrunkHeader } from '../wire/trunk.ts';
import { AddressTable } from './address-table.ts';

/** Where datagrams are composed: `count` slots of one big buffer. */
export interface BundleSlots {
  readonly memory: Uint8Array;
  readonly count: number;
  slotAt(i: number): number;
}

export interface TrunkBundlesOptions {
  readonly slots: BundleSlots;
  readonly cookies: TrunkCookies;
  readonly towardsClients: boolean;
  /** UDP payload bytes of a trunk datagram at most. */
  readonly mtu: number;
  /** Peers whose sequence is remembered. */
  readonly maxPeers?: number;
}

/** What became of an entry. `full`: send what there is, `clear`, and add it again. `oversize`: it fits no datagram. */
export type AddResult = 'added' | 'full' | 'oversize';

/**
 * Composes trunk datagrams, one or more per peer, out of entries that were received together. Entries for one peer
 * keep their order. Sends nothing itself; allocates nothing per entry.
 */
export class TrunkBundles {
  /** Datagrams composed so far; those of several peers grow at the same time, so all are open until `clear`. */
  count = 0;
  readonly slots: BundleSlots;

  readonly #cookies: TrunkCookies;
  readonly #towardsClients: boolean;
  readonly #mtu: number;
  readonly #peers: AddressTable;
  /** By peer: the sequence number of its next datagram, and its open datagram if `#openSince` is this generation. */
  readonly #sequences: Uint32Array;
  readonly #open: Int32Array;
  readonly #openSince: Float64Array;
  #generation = 1;
  /** By datagram: */
  readonly #ends: Int32Array;
  readonly #peerIps: Uint8Array;
  readonly #peerPorts: Uint16Array;
  /** The datagram that the last entry went into, while there is any, and its peer. */
  #last = 0;
  #lastPeer = 0;

  constructor({ slots, cookies, towardsClients, mtu, maxPeers = 4096 }: TrunkBundlesOptions) {
    this.slots = slots;
    this.#cookies = cookies;
    this.#towardsClients = towardsClients;
    this.#mtu = mtu;
    this.#peers = new AddressTable({
      capacity: maxPeers,
      onRemove: (peer) => {
        this.#sequences[peer] = 0;
        this.#openSince[peer] = 0;
      },
    });
    this.#sequences = new Uint32Array(maxPeers);
    this.#open = new Int32Array(maxPeers);
    this.#openSince = new Float64Array(maxPeers);
    this.#ends = new Int32Array(slots.count);
    this.#peerIps = new Uint8Array(slots.count * 4);
    this.#peerPorts = new Uint16Array(slots.count);
  }

  /** Adds an entry for the peer whose IPv4 address is at `ipOffset`. */
  add(peerIp: Uint8Array, ipOffset: number, peerPort: number, entry: TrunkEntry): AddResult {
    const bytes = entry.byteLength;
    if (TRUNK_HEADER_BYTES + bytes > this.#mtu) return 'oversize';
    // Most entries are for the peer of the one before: that spares the look-up.
    const isSame = this.count > 0 && this.#goesTo(this.#last, peerIp, ipOffset, peerPort);
    const peer = isSame ? this.#lastPeer : this.#peers.obtain(peerIp, ipOffset, 4, peerPort, this.#generation);
    let datagram = isSame ? this.#last : this.#openSince[peer] === this.#generation ? this.#open[peer] : -1;
    if (datagram < 0 || this.length(datagram) + bytes > this.#mtu) {
      if (this.count === this.slots.count) return 'full';
      datagram = this.#begin(peer, peerIp, ipOffset, peerPort);
    }
    this.#ends[datagram] = entry.write(this.slots.memory, this.#ends[datagram]);
    this.#last = datagram;
    this.#lastPeer = peer;
    return 'added';
  }

  /** Bytes of a composed datagram; it starts at `slots.slotAt(datagram)`. */
  length(datagram: number): number {
    return this.#ends[datagram] - this.slots.slotAt(datagram);
  }

  /** IPv4 addresses of the peers: 4 bytes at 4 × datagram. */
  get peerIps(): Uint8Array {
    return this.#peerIps;
  }

  peerPort(datagram: number): number {
    return this.#peerPorts[datagram];
  }

  /** Forgets all datagrams: they have been sent. */
  clear(): void {
    this.count = 0;
    this.#generation++;
  }

  #goesTo(datagram: number, ip: Uint8Array, ipOffset: number, port: number): boolean {
    if (this.#peerPorts[datagram] !== port) return false;
    for (let i = 0; i < 4; i++) if (this.#peerIps[datagram * 4 + i] !== ip[ipOffset + i]) return false;
    return true;
  }

  #begin(peer: number, peerIp: Uint8Array, ipOffset: number, peerPort: number): number {
    const datagram = this.count++;
    const start = this.slots.slotAt(datagram);
    const sequence = this.#sequences[peer]++;
    this.#ends[datagram] = writeTrunkHeader(this.slots.memory, start, this.#towardsClients, sequence, this.#cookies);
    for (let i = 0; i < 4; i++) this.#peerIps[datagram * 4 + i] = peerIp[ipOffset + i];
    this.#peerPorts[datagram] = peerPort;
    this.#open[peer] = datagram;
    this.#openSince[peer] = this.#generation;
    return datagram;
  }
}
