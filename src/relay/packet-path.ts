import { type BundleSlots, TrunkBundles } from '../net/trunk-bundles.ts';
import { TrunkLossMeter } from '../net/trunk-loss.ts';
import { LOCATOR_BYTES } from '../wire/locator.ts';
import { PATH_PROBE_BYTES, pathProbeNumber, writePathProbe } from '../wire/path-probe.ts';
import { type TrunkCookies, TrunkEntry } from '../wire/trunk.ts';
import type { RelayCore } from './core.ts';
import { type CounterBlock, counterIndex } from './counters.ts';

const CLIENT_RECEIVED = counterIndex('clientReceived');
const CLIENT_RECEIVED_BYTES = counterIndex('clientReceivedBytes');
const CLIENT_SENT = counterIndex('clientSent');
const CLIENT_SENT_BYTES = counterIndex('clientSentBytes');
const FORWARDED = counterIndex('forwarded');
const FORWARDED_TO_CLUSTER = counterIndex('forwardedToCluster');
const RETURNED = counterIndex('returned');
const TRUNK_RECEIVED = counterIndex('trunkReceived');
const TRUNK_RECEIVED_BYTES = counterIndex('trunkReceivedBytes');
const TRUNK_SENT = counterIndex('trunkSent');
const TRUNK_SENT_BYTES = counterIndex('trunkSentBytes');

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

/** Says which peers are to be probed, and when. */
export interface Prober {
  /** When `poll` has something to do again. */
  readonly nextAt: number;
  /** Takes the next probe that is due into the fields below; false when none is. */
  poll(now: number): boolean;
  /** Six bytes at offset 0. */
  readonly endpoint: Uint8Array;
  readonly probeCluster: number;
  readonly probeNumber: number;
}

export interface PacketPathOptions {
  readonly core: RelayCore;
  /** This relay's cluster, for those who ask; negative for none. */
  readonly cluster: number;
  /** What is to be probed. */
  readonly probers: readonly Prober[];
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
  /** Another relay numbers what it forwards apart from what it returns. */
  readonly #relayLoss = new TrunkLossMeter();
  readonly #entry = new TrunkEntry();
  readonly #cluster: number;
  readonly #probers: readonly Prober[];
  readonly #probe = makeProbe();

  constructor({ core, cluster, probers, counters, cookies, mtu, sinks, forwardSlots, viaSlots }: PacketPathOptions) {
    this.#core = core;
    this.#cluster = cluster;
    this.#probers = probers;
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
    if (core.toCluster) {
      entry.target = core.hint;
      entry.targetOffset = core.hintOffset;
      if (this.#bundle(this.#forward, core.target, core.targetOffset)) this.#counters.addAt(FORWARDED_TO_CLUSTER, 1);
      entry.target = null;
    } else if (this.#bundle(this.#forward, core.target, core.targetOffset)) this.#counters.addAt(FORWARDED, 1);
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
    this.#counters.addAt(TRUNK_RECEIVED, 1);
    this.#counters.addAt(TRUNK_RECEIVED_BYTES, length);
    const fault = core.openTrunk(data, offset, length, ip, ipOffset, port);
    if (fault !== null) {
      this.#counters.drop(fault);
      return;
    }
    const lost = (trunk.towardsClients ? this.#loss : this.#relayLoss).record(ip, ipOffset, port, trunk.sequence, now);
    if (lost > 0) this.#counters.add('trunkLost', lost);
    for (let verdict = core.nextEntry(now); verdict !== null; verdict = core.nextEntry(now)) {
      if (verdict === 'client') {
        this.#sinks.toClient(data, trunk.payloadOffset, trunk.payloadLength, trunk.family, data, trunk.ipOffset, trunk.port);
        this.#counters.addAt(RETURNED, 1);
        this.#counters.addAt(CLIENT_SENT, 1);
        this.#counters.addAt(CLIENT_SENT_BYTES, trunk.payloadLength);
      } else if (verdict === 'via') this.#return(data);
      else if (verdict === 'forward') {
        this.#counters.add('relayedReceived', 1);
        this.#forwardEntry(data, core.source, 0);
      } else if (verdict === 'offer') this.#forwardEntry(data, trunk.hasVia ? data : null, trunk.viaOffset);
      else if (verdict === 'probe') this.#echo(data);
      else if (verdict !== 'done') this.#counters.drop(verdict);
    }
  }

  /** When `tick` has something to do; infinite when never. */
  get nextTickAt(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { nextAt } of this.#probers) if (nextAt < next) next = nextAt;
    return next;
  }

  /** Sends the probes that are due. Call it when `nextTickAt` has come, and flush after it. */
  tick(now: number): void {
    for (const prober of this.#probers) {
      while (prober.poll(now)) {
        writePathProbe(this.#probe.payload, false, prober.probeCluster, prober.probeNumber);
        this.#bundle(this.#forward, prober.endpoint, 0, this.#probe);
      }
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
    const entry = this.#copyOfCurrent(data);
    entry.verified = trunk.verified;
    if (this.#bundle(this.#via, data, trunk.viaOffset)) this.#counters.add('returnedVia', 1);
    entry.verified = false;
  }

  /** Hands the current entry to a transceiver, who shall answer through `via` if there is one. */
  #forwardEntry(data: Uint8Array, via: Uint8Array | null, viaOffset: number): void {
    const core = this.#core;
    const entry = this.#copyOfCurrent(data);
    entry.via = via;
    entry.viaOffset = viaOffset;
    if (this.#bundle(this.#forward, core.target, core.targetOffset)) this.#counters.addAt(FORWARDED, 1);
    entry.via = null;
  }

  #copyOfCurrent(data: Uint8Array): TrunkEntry {
    const { trunk } = this.#core;
    const entry = this.#entry;
    entry.family = trunk.family;
    entry.ip = data;
    entry.ipOffset = trunk.ipOffset;
    entry.port = trunk.port;
    entry.payload = data;
    entry.payloadOffset = trunk.payloadOffset;
    entry.payloadLength = trunk.payloadLength;
    return entry;
  }

  #echo(data: Uint8Array): void {
    const { trunk, source } = this.#core;
    writePathProbe(this.#probe.payload, true, this.#cluster, pathProbeNumber(data, trunk.payloadOffset));
    if (this.#bundle(this.#via, source, 0, this.#probe)) this.#counters.add('probesAnswered', 1);
  }

  #bundle(bundles: TrunkBundles, peer: Uint8Array, peerOffset: number, entry = this.#entry): boolean {
    const port = (peer[peerOffset + 4] << 8) | peer[peerOffset + 5];
    let result = bundles.add(peer, peerOffset, port, entry);
    if (result === 'full') {
      this.#send(bundles);
      result = bundles.add(peer, peerOffset, port, entry);
    }
    if (result === 'oversize') this.#counters.drop('oversize');
    return result === 'added';
  }

  #send(bundles: TrunkBundles): void {
    this.#counters.addAt(TRUNK_SENT, bundles.count);
    for (let i = 0; i < bundles.count; i++) this.#counters.addAt(TRUNK_SENT_BYTES, bundles.length(i));
    this.#sinks.toTrunk(bundles);
    bundles.clear();
  }
}

/** An entry between relays: of no client, that is of address and port zero. */
function makeProbe(): TrunkEntry {
  const entry = new TrunkEntry();
  entry.ip = new Uint8Array(LOCATOR_BYTES);
  entry.control = true;
  entry.payload = new Uint8Array(PATH_PROBE_BYTES);
  entry.payloadLength = PATH_PROBE_BYTES;
  return entry;
}
