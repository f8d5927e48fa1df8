import { type BundleSlots, TrunkBundles } from '../net/trunk-bundles.ts';
import { TrunkLossMeter } from '../net/trunk-loss.ts';
import { type TrunkCookies, TrunkEntry } from '../wire/trunk.ts';
import type { RelayCore } from './core.ts';
import { type CounterBlock, counterIndex } from './counters.ts';

const CLIENT_RECEIVED = counterIndex('clientReceived');
const CLIENT_RECEIVED_BYTES = counterIndex('clientReceivedBytes');
const CLIENT_SENT = counterIndex('clientSent');
const CLIENT_SENT_BYTES = counterIndex('clientSentBytes');
const FORWARDED = counterIndex('forwarded');
const RETURNED = counterIndex('returned');

/** How an engine sends. Bytes are valid during the call only. */
export interface PacketSinks {
  /** Sends a payload from the public port. */
  toClient(
    data: Uint8Array,
    offset: number,
    length: number,
    family: 4 | 6,
    ip: Uint8Array,
    ipOffset: number,
    port: number,
  ): void;
  /** Sends all datagrams of `bundles` from the trunk port; the path clears them. */
  toTrunk(bundles: TrunkBundles): void;
}

export interface PacketPathOptions {
  readonly core: RelayCore;
  readonly counters: CounterBlock;
  readonly cookies: TrunkCookies;
  readonly mtu: number;
  readonly sinks: PacketSinks;
  /** Where datagrams for transceivers are composed, and those for other relays. */
  readonly forwardSlots: BundleSlots;
  readonly viaSlots: BundleSlots;
}

/**
 * What every engine does with what it received: asks the core, counts, bundles, sends. Call `flush` when all that was
 * waiting has been given: bundling never waits for more.
 */
export class PacketPath {
  readonly #core: RelayCore;
  readonly #counters: CounterBlock;
  readonly #sinks: PacketSinks;
  readonly #forward: TrunkBundles;
  readonly #via: TrunkBundles;
  readonly #loss = new TrunkLossMeter();
  readonly #entry = new TrunkEntry();

  constructor({ core, counters, cookies, mtu, sinks, forwardSlots, viaSlots }: PacketPathOptions) {
    this.#core = core;
    this.#counters = counters;
    this.#sinks = sinks;
    this.#forward = new TrunkBundles({ slots: forwardSlots, cookies, mtu, towardsClients: false });
    this.#via = new TrunkBundles({ slots: viaSlots, cookies, mtu, towardsClients: true });
  }

  /** One datagram that came to the public port from the address of 4 or 16 bytes at `ipOffset`. */
  fromClient(
    data: Uint8Array,
    offset: number,
    length: number,
    family: 4 | 6,
    ip: Uint8Array,
    ipOffset: number,
    port: number,
    now: number,
  ): void {
    const core = this.#core;
    this.#counters.addAt(CLIENT_RECEIVED, 1);
    this.#counters.addAt(CLIENT_RECEIVED_BYTES, length);
    const verdict = core.fromClient(data, offset, length, family, ip, ipOffset, port, now);
    if (verdict !== 'forward') {
      this.#counters.drop(verdict);
      return;
    }
    const entry = this.#entry;
    entry.family = family;
    entry.ip = ip;
    entry.ipOffset = ipOffset;
    entry.port = port;
    entry.payload = data;
    entry.payloadOffset = offset;
    entry.payloadLength = length;
    if (this.#bundle(this.#forward, core.target, core.targetOffset)) this.#counters.addAt(FORWARDED, 1);
  }

  /** One datagram that came to the trunk port from the IPv4 address at `ipOffset`. */
  fromTrunk(
    data: Uint8Array,
    offset: number,
    length: number,
    ip: Uint8Array,
    ipOffset: number,
    port: number,
    now: number,
  ): void {
    const core = this.#core;
    const { trunk } = core;
    this.#counters.add('trunkReceived', 1);
    const fault = core.openTrunk(data, offset, length, ip, ipOffset, port);
    if (fault !== null) {
      this.#counters.drop(fault);
      return;
    }
    const lost = this.#loss.record(ip, ipOffset, port, trunk.sequence, now);
    if (lost > 0) this.#counters.add('trunkLost', lost);
    for (let verdict = core.nextEntry(now); verdict !== null; verdict = core.nextEntry(now)) {
      if (verdict === 'client') {
        this.#sinks.toClient(data, trunk.payloadOffset, trunk.payloadLength, trunk.family, data, trunk.ipOffset, trunk.port);
        this.#counters.addAt(RETURNED, 1);
        this.#counters.addAt(CLIENT_SENT, 1);
        this.#counters.addAt(CLIENT_SENT_BYTES, trunk.payloadLength);
      } else if (verdict === 'via') this.#return(data);
      else this.#counters.drop(verdict);
    }
  }

  /** Everything that was waiting has been given: sends the bundles. */
  flush(): void {
    if (this.#forward.count > 0) this.#send(this.#forward);
    if (this.#via.count > 0) this.#send(this.#via);
  }

  /** Hands the current entry to the relay that it came through, which is the last one: the via has done its work. */
  #return(data: Uint8Array): void {
    const { trunk } = this.#core;
    const entry = this.#entry;
    entry.family = trunk.family;
    entry.ip = data;
    entry.ipOffset = trunk.ipOffset;
    entry.port = trunk.port;
    entry.verified = trunk.verified;
    entry.payload = data;
    entry.payloadOffset = trunk.payloadOffset;
    entry.payloadLength = trunk.payloadLength;
    if (this.#bundle(this.#via, data, trunk.viaOffset)) this.#counters.add('returnedVia', 1);
    entry.verified = false;
  }

  #bundle(bundles: TrunkBundles, peer: Uint8Array, peerOffset: number): boolean {
    const port = (peer[peerOffset + 4] << 8) | peer[peerOffset + 5];
    let result = bundles.add(peer, peerOffset, port, this.#entry);
    if (result === 'full') {
      this.#send(bundles);
      result = bundles.add(peer, peerOffset, port, this.#entry);
    }
    if (result === 'oversize') this.#counters.drop('oversize');
    return result === 'added';
  }

  #send(bundles: TrunkBundles): void {
    this.#counters.add('trunkSent', bundles.count);
    this.#sinks.toTrunk(bundles);
    bundles.clear();
  }
}
