import assert from 'node:assert/strict';
import type { ClusterRoute } from '../../../src/relay/cluster-paths.ts';
import type { CounterBlock } from '../../../src/relay/counters.ts';
import { PacketPath } from '../../../src/relay/packet-path.ts';
import { type RelayWorkerSetup, type WorkerParts, makeCore, makeShared } from '../../../src/relay/worker-setup.ts';
import { type TransportAddress, formatAddress, parseAddress } from '../../../src/wire/address.ts';
import { writeEndpoint4 } from '../../../src/wire/locator.ts';
import { pathProbeNumber, WORKER_REPORT_BYTES, writeWorkerReport } from '../../../src/wire/path-probe.ts';
import { TrunkCookies, TrunkEntry, TrunkReader, writeTrunkHeader } from '../../../src/wire/trunk.ts';

export const SECRET = 'a secret for tests';
const cookies = new TrunkCookies(SECRET);
const SLOT = 2048;

interface Node {
  receive(data: Uint8Array, from: TransportAddress, now: number): void;
  tick?(now: number): void;
}

/** Relays and transceivers in virtual time: datagrams arrive after `delayMs`, or never where `cut` says so. */
export class VirtualTrunk {
  now = 0;
  /** One way, ms. */
  delayMs = (_from: string, _to: string): number => 0;
  /** Whether a datagram is lost. */
  cut = (_from: string, _to: string): boolean => false;
  readonly #nodes = new Map<string, Node>();
  #queue: { at: number; to: string; from: TransportAddress; data: Uint8Array }[] = [];
  /** Trunk datagrams so far: a loop would make it grow without end. */
  carried = 0;

  add(address: string, node: Node): void {
    this.#nodes.set(address, node);
  }

  /** The process at this address is killed. */
  remove(address: string): void {
    this.#nodes.delete(address);
  }

  send(from: TransportAddress, to: string, data: Uint8Array): void {
    const at = this.now + this.delayMs(formatAddress(from), to);
    if (!this.cut(formatAddress(from), to)) this.#queue.push({ at, to, from, data });
  }

  /** Delivers what arrives until `until`, and all that comes of it, and lets every node tick each 10 ms. */
  run(until = this.now): void {
    for (;;) {
      this.#deliver();
      if (this.now + 10 > until) break;
      this.now += 10;
      for (const node of this.#nodes.values()) node.tick?.(this.now);
    }
    this.now = until;
    this.#deliver();
  }

  #deliver(): void {
    for (;;) {
      const due = this.#queue.filter(({ at }) => at <= this.now);
      if (due.length === 0) return;
      this.#queue = this.#queue.filter(({ at }) => at > this.now);
      for (const { to, from, data } of due) {
        assert.ok(++this.carried < 100_000, 'datagrams go round in a loop');
        this.#nodes.get(to)?.receive(data, from, this.now);
      }
    }
  }
}

export interface VirtualRelayOptions {
  readonly trunk: string;
  readonly cluster: number;
  readonly routes?: readonly ClusterRoute[];
  readonly transceivers?: readonly string[];
  readonly allowTargets?: readonly string[];
}

/** The packet path of a relay, without sockets. */
export class VirtualRelay implements Node {
  readonly parts: WorkerParts;
  readonly counters: CounterBlock;
  /** `203.0.113.7:50000 <payload in hex>`: what it has sent to clients. */
  readonly toClients: string[] = [];
  readonly #network: VirtualTrunk;
  readonly #path: PacketPath;

  constructor(network: VirtualTrunk, { trunk, cluster, routes, transceivers, allowTargets = ['10.0.0.0/8'] }: VirtualRelayOptions) {
    this.#network = network;
    const address = parseAddress(trunk);
    const setup: RelayWorkerSetup = {
      secret: SECRET,
      previousSecret: undefined,
      cluster,
      routes: routes ?? null,
      transceivers: transceivers?.map(parseAddress) ?? null,
      allowTargets,
      maxFlows: 100,
      idleTimeoutMs: 60_000,
      trunkMtu: 1472,
      gatherUs: 0,
      publicFamily: 6,
      sourceRate: { perSecond: 1000, burst: 1000 },
      recovery: false,
      shared: makeShared(),
    };
    this.parts = makeCore(setup, null, network.now);
    this.counters = this.parts.counters;
    const slots = () => ({ memory: new Uint8Array(64 * SLOT), count: 64, slotAt: (i: number) => i * SLOT });
    this.#path = new PacketPath({
      ...this.parts,
      cluster,
      mtu: 1472,
      forwardSlots: slots(),
      viaSlots: slots(),
      sinks: {
        toClient: (data, offset, length, family, ip, ipOffset, port) => {
          const to = { family, ip: ip.slice(ipOffset, ipOffset + (family === 4 ? 4 : 16)), port };
          this.toClients.push(`${formatAddress(to)} ${hex(data.subarray(offset, offset + length))}`);
        },
        toTrunk: (bundles) => {
          for (let i = 0; i < bundles.count; i++) {
            const start = bundles.slots.slotAt(i);
            const to = formatAddress({ family: 4, ip: bundles.peerIps.slice(i * 4, i * 4 + 4), port: bundles.peerPort(i) });
            network.send(address, to, bundles.slots.memory.slice(start, start + bundles.length(i)));
          }
        },
      },
    });
    network.add(trunk, this);
  }

  fromClient(client: TransportAddress, data: Uint8Array): void {
    this.#path.fromClient(data, 0, data.length, client.family, client.ip, 0, client.port, this.#network.now);
    this.#path.flush();
    this.#network.run();
  }

  receive(data: Uint8Array, from: TransportAddress, now: number): void {
    this.#path.fromTrunk(data, 0, data.length, from.ip, 0, from.port, now);
    this.#path.flush();
  }

  tick(now: number): void {
    if (now < this.#path.nextTickAt) return;
    this.#path.tick(now);
    this.#path.flush();
  }
}

export interface TrunkPacket {
  readonly relay: TransportAddress;
  readonly via: TransportAddress | null;
  readonly client: TransportAddress;
  readonly payload: Uint8Array;
}

/** The trunk of a transceiver worker: keeps what comes, reports when probed, and answers when told to. */
export class VirtualTransceiver implements Node {
  readonly received: TrunkPacket[] = [];
  cluster = 0;
  accepting = true;
  /** Whether it hands back what it gets, and whom it names then; undefined: it takes it. */
  handsBack: string | null | undefined = undefined;
  readonly at: string;
  /** Told of every packet. */
  onPacket: () => void = () => undefined;
  readonly #network: VirtualTrunk;
  readonly #address: TransportAddress;
  readonly #reader = new TrunkReader(cookies);

  constructor(network: VirtualTrunk, address: string) {
    this.#network = network;
    this.at = address;
    this.#address = parseAddress(address);
    network.add(address, this);
  }

  receive(data: Uint8Array, relay: TransportAddress): void {
    const reader = this.#reader;
    assert.equal(reader.open(data), null);
    while (reader.next()) {
      const { family, ipOffset, port, payloadOffset, payloadLength, viaOffset } = reader;
      if (reader.control) {
        this.#report(relay, pathProbeNumber(data, payloadOffset));
        continue;
      }
      assert.equal(reader.handedBack, false);
      assert.equal(reader.hasTarget, false, 'what relays tell each other is none of its business');
      const via = reader.hasVia ? { family: 4 as const, ip: data.slice(viaOffset, viaOffset + 4), port: (data[viaOffset + 4] << 8) | data[viaOffset + 5] } : null;
      const client = { family, ip: data.slice(ipOffset, ipOffset + (family === 4 ? 4 : 16)), port };
      const packet = { relay, via, client, payload: data.slice(payloadOffset, payloadOffset + payloadLength) };
      this.received.push(packet);
      this.onPacket();
      if (this.handsBack !== undefined) this.handBack(packet, this.handsBack);
    }
  }

  handBack({ relay, via, client, payload }: TrunkPacket, target: string | null): void {
    const named = target === null ? {} : { target: parseAddress(target) };
    this.#send(relay, trunkDatagram({ towardsClients: true, client, via, payload, handedBack: true, ...named }));
  }

  /** Sends to the client along the way that `packet` came, which it has authenticated. */
  answer({ relay, via, client }: Omit<TrunkPacket, 'payload'>, payload: Uint8Array): void {
    this.#send(relay, trunkDatagram({ towardsClients: true, client, via, verified: true, payload }));
    this.#network.run();
  }

  #report(relay: TransportAddress, number: number): void {
    const payload = new Uint8Array(WORKER_REPORT_BYTES);
    writeWorkerReport(payload, { accepting: this.accepting, cluster: this.cluster, workers: 1, readySince: 0 }, number);
    this.#send(relay, trunkDatagram({ towardsClients: true, client: NOBODY, payload, control: true }));
  }

  #send(relay: TransportAddress, datagram: Uint8Array): void {
    this.#network.send(this.#address, formatAddress(relay), datagram);
  }
}

const NOBODY = parseAddress('0.0.0.0:0');

/** One trunk datagram with one entry. */
export function trunkDatagram(options: {
  towardsClients: boolean;
  client: TransportAddress;
  payload: Uint8Array;
  via?: TransportAddress | null;
  target?: TransportAddress;
  verified?: boolean;
  control?: boolean;
  handedBack?: boolean;
  secret?: string;
}): Uint8Array {
  const { towardsClients, client, payload, via, target, verified = false, control = false, handedBack = false, secret = SECRET } = options;
  const data = new Uint8Array(1472);
  const start = writeTrunkHeader(data, 0, towardsClients, 0, new TrunkCookies(secret));
  const entry = Object.assign(new TrunkEntry(), client, { verified, control, handedBack, payload, payloadLength: payload.length });
  entry.via = via ? endpoint(via) : null;
  entry.target = target ? endpoint(target) : null;
  return data.slice(0, entry.write(data, start));
}

export function endpoint(address: TransportAddress): Uint8Array {
  const bytes = new Uint8Array(6);
  writeEndpoint4(bytes, 0, address.ip, 0, address.port);
  return bytes;
}

export function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}
