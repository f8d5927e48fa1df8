import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PacketPath } from '../../src/relay/packet-path.ts';
import type { CounterBlock } from '../../src/relay/counters.ts';
import { makeCore, makeShared } from '../../src/relay/worker-setup.ts';
import { type TransportAddress, formatAddress, parseAddress } from '../../src/wire/address.ts';
import { writeEndpoint4 } from '../../src/wire/locator.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { TrunkCookies, TrunkEntry, TrunkReader, writeTrunkHeader } from '../../src/wire/trunk.ts';
import { bindingRequest } from './support/stun.ts';

const SECRET = 'a secret for tests';
const MTU = 600;
const A = parseAddress('10.0.0.1:7100');
const B = parseAddress('10.0.0.2:7100');
const cookies = new TrunkCookies(SECRET);

interface Sent {
  readonly to: string;
  readonly sequence: number;
  readonly towardsClients: boolean;
  readonly payloads: string[];
}

describe('packet path', () => {
  it('puts packets for one transceiver into one datagram, in order, and sends at the end of the batch', () => {
    const { path, sent } = makePath();
    known(path, sent);
    for (const port of [1, 2, 1, 2, 1]) fromClient(path, voice(port, 30), port);
    assert.equal(sent.length, 0);
    path.flush();
    assert.deepEqual(sent.map(({ to, sequence, payloads }) => [to, sequence, payloads.length]), [
      ['10.0.0.1:7100', 1, 3],
      ['10.0.0.2:7100', 1, 2],
    ]);
  });

  it('keeps bundles within the MTU and numbers the datagrams of each peer', () => {
    const { path, sent, counters } = makePath();
    known(path, sent);
    const before = counters.get('trunkSentBytes');
    for (let i = 0; i < 7; i++) fromClient(path, voice(i, 250), 1);
    path.flush();
    assert.deepEqual(sent.map(({ sequence, payloads }) => [sequence, payloads.length]), [[1, 2], [2, 2], [3, 2], [4, 1]]);
    assert.equal(counters.get('forwarded'), 9);
    assert.equal(counters.get('trunkSent'), 6);
    // Four headers, and each packet in an entry of ten bytes more.
    assert.equal(counters.get('trunkSentBytes') - before, 4 * 16 + 7 * 260);
  });

  it('sends early when there is no room for another datagram, losing nothing', () => {
    const { path, sent } = makePath();
    known(path, sent);
    for (let i = 0; i < 40; i++) fromClient(path, voice(i, 500), 1);
    path.flush();
    assert.equal(sent.length, 40);
    assert.deepEqual(sent.map(({ sequence }) => sequence), Array.from({ length: 40 }, (_, i) => i + 1));
    assert.deepEqual(sent.map(({ payloads }) => payloads[0]), Array.from({ length: 40 }, (_, i) => hex(voice(i, 500))));
  });

  it('drops as oversize what fits no trunk datagram, to the byte', () => {
    const { path, sent, counters } = makePath();
    known(path, sent);
    fromClient(path, voice(0, MTU - 16 - 10), 1);
    assert.equal(counters.get('drop:oversize'), 0);
    fromClient(path, voice(0, MTU - 16 - 10 + 1), 1);
    assert.equal(counters.get('drop:oversize'), 1);
  });

  it('returns entries through their via, without the via, still marked as verified', () => {
    const { path, sent, counters } = makePath();
    path.fromTrunk(...trunkFrom(A, 0, [{ via: B, verified: true, payload: voice(9, 20) }]), 0);
    path.flush();
    assert.equal(sent.length, 1);
    assert.equal(sent[0].to, formatAddress(B));
    assert.equal(sent[0].towardsClients, true);
    assert.deepEqual(sent[0].payloads, [`verified ${hex(voice(9, 20))}`]);
    assert.equal(counters.get('returnedVia'), 1);
    assert.equal(counters.get('clientSent'), 0);
  });

  it('counts gaps in a peer’s sequence as lost, a restart as none', () => {
    const { path, counters } = makePath();
    for (const sequence of [5, 6, 9, 8, 10, 0, 1, 3]) path.fromTrunk(...trunkFrom(A, sequence, []), 0);
    // 7 and 8 missing, 8 late; the peer goes back to 0, which looks like late ones; then on from 10.
    assert.equal(counters.get('trunkLost'), 2);
    for (const sequence of [1_000_000, 1_000_002]) path.fromTrunk(...trunkFrom(A, sequence, []), 0);
    assert.equal(counters.get('trunkLost'), 3);
    assert.equal(counters.get('trunkReceivedBytes'), 10 * 16);
  });
});

function makePath(): { path: PacketPath; sent: Sent[]; counters: CounterBlock } {
  const { core, probers, counters } = makeCore({
    secret: SECRET,
    previousSecret: undefined,
    cluster: 0,
    routes: null,
    transceivers: null,
    allowTargets: ['10.0.0.0/8'],
    maxFlows: 100,
    idleTimeoutMs: 60_000,
    trunkMtu: MTU,
    gatherUs: 0,
    publicFamily: 4,
    shared: makeShared(),
    sourceRate: { perSecond: 1000, burst: 1000 },
    recovery: false,
  }, null, 0);
  const slots = () => ({ memory: new Uint8Array(16 * 1024), count: 16, slotAt: (i: number) => i * 1024 });
  const sent: Sent[] = [];
  const path = new PacketPath({
    core,
    cluster: 0,
    probers,
    counters,
    cookies,
    mtu: MTU,
    forwardSlots: slots(),
    viaSlots: slots(),
    sinks: {
      toClient: () => undefined,
      toTrunk(bundles) {
        for (let i = 0; i < bundles.count; i++) {
          const start = bundles.slots.slotAt(i);
          assert.ok(bundles.length(i) <= MTU);
          const ip = bundles.peerIps.slice(i * 4, i * 4 + 4);
          const to = formatAddress({ family: 4, ip, port: bundles.peerPort(i) });
          sent.push({ to, ...dissect(bundles.slots.memory.slice(start, start + bundles.length(i))) });
        }
      },
    },
  });
  return { path, sent, counters };
}

/** Clients with ports 1 and 2 become known, with transceivers A and B. */
function known(path: PacketPath, sent: Sent[]): void {
  const keys = new RoutingKeys(SECRET);
  for (const [port, address] of [[1, A], [2, B]] as const) {
    fromClient(path, bindingRequest(`${keys.encodeUfrag({ cluster: 0, locator: { kind: 0, address }, nonce: 1 })}:x`), port);
  }
  path.flush();
  assert.equal(sent.splice(0).length, 2);
}

function fromClient(path: PacketPath, data: Uint8Array, port: number): void {
  path.fromClient(data, 0, data.length, 4, Uint8Array.of(192, 0, 2, 1), 0, port, 0);
}

function dissect(datagram: Uint8Array): Omit<Sent, 'to'> {
  const reader = new TrunkReader(cookies);
  assert.equal(reader.open(datagram), null);
  const payloads: string[] = [];
  while (reader.next()) {
    assert.equal(reader.hasVia, false);
    const payload = hex(datagram.subarray(reader.payloadOffset, reader.payloadOffset + reader.payloadLength));
    payloads.push(reader.verified ? `verified ${payload}` : payload);
  }
  assert.equal(reader.malformed, false);
  return { sequence: reader.sequence, towardsClients: reader.towardsClients, payloads };
}

type TrunkArguments = [data: Uint8Array, offset: number, length: number, ip: Uint8Array, ipOffset: number, port: number];

function trunkFrom(
  source: TransportAddress,
  sequence: number,
  entries: { via: TransportAddress; verified: boolean; payload: Uint8Array }[],
): TrunkArguments {
  const data = new Uint8Array(1500);
  let end = writeTrunkHeader(data, 0, true, sequence, cookies);
  for (const { via, verified, payload } of entries) {
    const entry = new TrunkEntry();
    Object.assign(entry, { ip: Uint8Array.of(192, 0, 2, 1), port: 1, verified, payload, payloadLength: payload.length });
    entry.via = new Uint8Array(6);
    writeEndpoint4(entry.via, 0, via.ip, 0, via.port);
    end = entry.write(data, end);
  }
  return [data, 0, end, source.ip, 0, source.port];
}

function voice(mark: number, length: number): Uint8Array {
  return new Uint8Array(length).fill(mark).with(0, 0x80);
}

function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}
