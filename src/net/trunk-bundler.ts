import type { TransportAddress } from '../wire/address.ts';
import { LOCATOR_BYTES, writeEndpoint4 } from '../wire/locator.ts';
import { TRUNK_MTU, TRUNK_VIA_BYTES, type TrunkCookies, TrunkEntry } from '../wire/trunk.ts';
import { AddressBook } from './address-book.ts';
import { TrunkBundles } from './trunk-bundles.ts';
import type { UdpSocket } from './udp-socket.ts';

export interface TrunkBundlerOptions {
  readonly socket: UdpSocket;
  readonly cookies: TrunkCookies;
  /** True in a transceiver, which sends towards clients. */
  readonly towardsClients: boolean;
  /** UDP payload bytes of a trunk datagram at most; 1,472 unless given. */
  readonly mtu?: number;
}

const NOBODY: TransportAddress = { family: 4, ip: new Uint8Array(4), port: 0 };
const DATAGRAMS = 64;
const SLOT = 2048;

/** Queues entries for trunk peers on a `UdpSocket` of the event loop; `flush` sends them, bundled per peer. */
export class TrunkBundler {
  /** Entries dropped because they fit no trunk datagram, or their peer or via is not IPv4. */
  unsendable = 0;

  readonly #socket: UdpSocket;
  readonly #memory = new Uint8Array(DATAGRAMS * SLOT);
  readonly #bundles: TrunkBundles;
  readonly #entry = new TrunkEntry();
  readonly #via = new Uint8Array(TRUNK_VIA_BYTES);
  readonly #target = new Uint8Array(LOCATOR_BYTES);
  readonly #peers = new AddressBook(4096);

  constructor({ socket, cookies, towardsClients, mtu = TRUNK_MTU }: TrunkBundlerOptions) {
    if (mtu > SLOT) throw new RangeError(`The trunk MTU can be ${SLOT} at most: ${mtu}`);
    this.#socket = socket;
    this.#bundles = new TrunkBundles({
      slots: { memory: this.#memory, count: DATAGRAMS, slotAt: (i) => i * SLOT },
      cookies,
      towardsClients,
      mtu,
    });
  }

  /**
   * Queues a copy of `payload`, to or from `client`, for `peer`. `via`: the relay that `peer` shall return it through.
   * `verified`: the client has been authenticated at this address, so relays may learn from the entry.
   */
  queue(
    peer: TransportAddress,
    client: TransportAddress,
    via: TransportAddress | null,
    verified: boolean,
    payload: Uint8Array,
  ): void {
    this.#entry.verified = verified;
    this.#add(peer, client, via, payload);
  }

  /**
   * Queues a client's datagram back to the relay that it came from (`via`: and through), because this transceiver
   * cannot take it. The relay offers it to `target`, which has the call, or with null to whichever comes next.
   */
  handBack(
    relay: TransportAddress,
    client: TransportAddress,
    via: TransportAddress | null,
    target: TransportAddress | null,
    payload: Uint8Array,
  ): void {
    const entry = this.#entry;
    entry.verified = false;
    entry.handedBack = true;
    if (target !== null) {
      writeEndpoint4(this.#target, 0, target.ip, 0, target.port);
      entry.target = this.#target;
    }
    this.#add(relay, client, via, payload);
    entry.handedBack = false;
    entry.target = null;
  }

  /** Queues a copy of `message`, which is of no client, for `peer`. */
  tell(peer: TransportAddress, message: Uint8Array): void {
    this.#entry.verified = false;
    this.#entry.control = true;
    this.#add(peer, NOBODY, null, message);
    this.#entry.control = false;
  }

  /** Sends everything that is queued. */
  flush(): void {
    this.#hand();
    this.#socket.flush();
  }

  #add(peer: TransportAddress, client: TransportAddress, via: TransportAddress | null, payload: Uint8Array): void {
    if (peer.family !== 4 || (via !== null && via.family !== 4)) {
      this.unsendable++;
      return;
    }
    const entry = this.#entry;
    entry.family = client.family;
    entry.ip = client.ip;
    entry.port = client.port;
    entry.via = null;
    if (via !== null) {
      writeEndpoint4(this.#via, 0, via.ip, 0, via.port);
      entry.via = this.#via;
    }
    entry.payload = payload;
    entry.payloadLength = payload.length;
    let result = this.#bundles.add(peer.ip, 0, peer.port, entry);
    if (result === 'full') {
      this.#hand();
      result = this.#bundles.add(peer.ip, 0, peer.port, entry);
    }
    if (result === 'oversize') this.unsendable++;
  }

  #hand(): void {
    const bundles = this.#bundles;
    for (let i = 0; i < bundles.count; i++) {
      const start = i * SLOT;
      const peer = this.#peers.intern(bundles.peerIps, i * 4, 4, bundles.peerPort(i));
      this.#socket.send(this.#memory.subarray(start, start + bundles.length(i)), peer);
    }
    bundles.clear();
  }
}
