import assert from 'node:assert/strict';
import { SctpAssociation } from '../../../src/webrtc/sctp/association.ts';
import type { SctpOptions, SctpOutput } from '../../../src/webrtc/sctp/association-types.ts';
import { PacketReader } from '../../../src/webrtc/sctp/packet.ts';
import { type PathOptions, Prng, VirtualNetwork } from './virtual-network.ts';

type Event = Exclude<SctpOutput, { type: 'transmit' | 'timeout' }>;

/** Two associations on a virtual network, with all that they reported. */
export class Pair {
  readonly prng: Prng;
  readonly peers: readonly [SctpAssociation, SctpAssociation];
  readonly network: VirtualNetwork<SctpOutput>;
  readonly events: [Event[], Event[]] = [[], []];

  constructor(seed: number, path: PathOptions = {}, options: Partial<SctpOptions>[] = []) {
    this.prng = new Prng(seed);
    const make = (mine: Partial<SctpOptions> = {}): SctpAssociation =>
      new SctpAssociation({
        localPort: 5000,
        remotePort: 5000,
        maxMessageSize: 262_144,
        random: this.prng.randomize,
        now: 0,
        ...mine,
      });
    this.peers = [make(options[0]), make(options[1])];
    this.network = new VirtualNetwork<SctpOutput>(this.peers, this.prng, path, (who, output) => {
      this.events[who].push(output as Event);
    });
  }

  connect(...who: (0 | 1)[]): this {
    for (const peer of who.length > 0 ? who : ([0] as const)) {
      this.peers[peer].connect(this.network.now);
      this.network.drain(peer);
    }
    const isUp = (): boolean => this.peers.every((peer) => peer.state === 'established');
    assert.ok(this.network.run(isUp, 60_000), 'the association is established');
    return this;
  }

  send(from: 0 | 1, streamId: number, data: Uint8Array, options: object = {}): void {
    this.peers[from].send(streamId, 53, data, { ordered: true, ...options }, this.network.now);
    this.network.drain(from);
  }

  do(who: 0 | 1, act: (peer: SctpAssociation, now: number) => void): void {
    act(this.peers[who], this.network.now);
    this.network.drain(who);
  }

  run(isDone: () => boolean, limit: number, what: string): void {
    if (this.network.run(isDone, limit)) return;
    assert.fail(`${what}: ${JSON.stringify(this.peers.map((peer) => peer.dump()))}`);
  }

  messages(who: 0 | 1): { streamId: number; ppid: number; data: Uint8Array }[] {
    return this.events[who].filter((event) => event.type === 'message');
  }

  count(who: 0 | 1, type: Event['type']): number {
    let count = 0;
    for (const event of this.events[who]) if (event.type === type) count += 1;
    return count;
  }

  closeReason(who: 0 | 1): string | undefined {
    return this.events[who].find((event) => event.type === 'closed')?.reason;
  }
}

/** A message that says who it is: number, then a pattern that depends on it. */
export function patterned(number: number, length: number): Uint8Array {
  const data = new Uint8Array(Math.max(4, length));
  for (let i = 4; i < data.length; i++) data[i] = (number * 31 + i * 7 + (i >> 8)) & 0xff;
  new DataView(data.buffer).setUint32(0, number);
  return data;
}

/** The number of a patterned message, its content checked. */
export function numberOf(data: Uint8Array): number {
  const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
  assert.ok(Buffer.from(data.buffer, data.byteOffset, data.length).equals(patterned(number, data.length)));
  return number;
}

/** Types of the chunks of a packet. */
export function chunkTypes(packet: Uint8Array): number[] {
  const reader = new PacketReader();
  assert.equal(reader.open(packet), null);
  const types: number[] = [];
  while (reader.next()) types.push(reader.type);
  return types;
}
