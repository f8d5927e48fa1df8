import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TrunkBundler } from '../../src/net/trunk-bundler.ts';
import type { UdpSocket } from '../../src/net/udp-socket.ts';
import { type TransportAddress, formatAddress, parseAddress } from '../../src/wire/address.ts';
import { readEndpoint4 } from '../../src/wire/locator.ts';
import { TrunkCookies, TrunkReader } from '../../src/wire/trunk.ts';

const cookies = new TrunkCookies('secret');
const RELAYS = [parseAddress('10.0.0.1:7000'), parseAddress('10.0.0.2:7000')];
const CLIENTS = [parseAddress('203.0.113.7:50000'), parseAddress('[2001:db8::7]:50001')];

describe('trunk bundler', () => {
  it('bundles per relay until flush, each entry with its client, via and mark', () => {
    const { socket, sent } = fakeSocket();
    const bundler = new TrunkBundler({ socket, cookies, towardsClients: true });
    bundler.queue(RELAYS[0], CLIENTS[0], null, true, Buffer.from('one'));
    bundler.queue(RELAYS[1], CLIENTS[0], null, false, Buffer.from('two'));
    bundler.queue(RELAYS[0], CLIENTS[1], RELAYS[1], false, Buffer.from('three'));
    assert.equal(sent.length, 0);
    bundler.flush();
    bundler.queue(RELAYS[0], CLIENTS[0], null, true, Buffer.from('four'));
    bundler.flush();
    assert.deepEqual(sent, [
      '10.0.0.1:7000 #0: 203.0.113.7:50000 verified one, [2001:db8::7]:50001 via 10.0.0.2:7000 three',
      '10.0.0.2:7000 #0: 203.0.113.7:50000 two',
      '10.0.0.1:7000 #1: 203.0.113.7:50000 verified four',
    ]);
  });

  it('hands back what the client sent, and marks nothing else by it', () => {
    const { socket, sent } = fakeSocket();
    const bundler = new TrunkBundler({ socket, cookies, towardsClients: true });
    bundler.queue(RELAYS[0], CLIENTS[0], null, true, Buffer.from('one'));
    bundler.handBack(RELAYS[0], CLIENTS[0], null, RELAYS[1], Buffer.from('two'));
    bundler.handBack(RELAYS[0], CLIENTS[1], RELAYS[1], null, Buffer.from('three'));
    bundler.queue(RELAYS[0], CLIENTS[0], null, true, Buffer.from('four'));
    bundler.flush();
    assert.deepEqual(sent, [
      '10.0.0.1:7000 #0: 203.0.113.7:50000 verified one, 203.0.113.7:50000 for 10.0.0.2:7000 handed back two, ' +
        '[2001:db8::7]:50001 via 10.0.0.2:7000 handed back three, 203.0.113.7:50000 verified four',
    ]);
  });

  it('keeps every datagram within the MTU and loses nothing, however much is queued at once', () => {
    const { socket, sent } = fakeSocket();
    const bundler = new TrunkBundler({ socket, cookies, towardsClients: true, mtu: 600 });
    for (let i = 0; i < 500; i++) bundler.queue(RELAYS[i % 2], CLIENTS[0], null, true, Buffer.alloc(400, 'x'));
    bundler.flush();
    assert.equal(sent.length, 500);
    assert.ok(sent.at(-1)?.startsWith('10.0.0.2:7000 #249: '));
  });

  it('counts what the trunk cannot carry', () => {
    const { socket, sent } = fakeSocket();
    const bundler = new TrunkBundler({ socket, cookies, towardsClients: true, mtu: 600 });
    bundler.queue(RELAYS[0], CLIENTS[0], null, true, new Uint8Array(600));
    bundler.queue(CLIENTS[1], CLIENTS[0], null, true, new Uint8Array(1));
    bundler.queue(RELAYS[0], CLIENTS[0], CLIENTS[1], true, new Uint8Array(1));
    bundler.handBack(RELAYS[0], CLIENTS[0], CLIENTS[1], null, new Uint8Array(1));
    bundler.flush();
    assert.equal(bundler.unsendable, 4);
    assert.equal(sent.length, 0);
  });
});

function fakeSocket(): { socket: UdpSocket; sent: string[] } {
  const sent: string[] = [];
  const queued: string[] = [];
  const socket = {
    send(data: Uint8Array, to: TransportAddress) {
      assert.ok(data.length <= 1472);
      queued.push(`${formatAddress(to)} ${dissect(data)}`);
    },
    flush: () => sent.push(...queued.splice(0)),
  };
  return { socket: socket as unknown as UdpSocket, sent };
}

function dissect(data: Uint8Array): string {
  const reader = new TrunkReader(cookies);
  assert.equal(reader.open(data), null);
  assert.equal(reader.towardsClients, true);
  const entries: string[] = [];
  while (reader.next()) {
    const { family, ipOffset, port } = reader;
    const parts = [formatAddress({ family, ip: data.subarray(ipOffset, ipOffset + (family === 4 ? 4 : 16)), port })];
    if (reader.hasVia) parts.push('via', formatAddress(readEndpoint4(data, reader.viaOffset)));
    if (reader.hasTarget) parts.push('for', formatAddress(readEndpoint4(data, reader.targetOffset)));
    if (reader.verified) parts.push('verified');
    if (reader.handedBack) parts.push('handed back');
    parts.push(Buffer.from(data.subarray(reader.payloadOffset, reader.payloadOffset + reader.payloadLength)).toString());
    entries.push(parts.join(' '));
  }
  return `#${reader.sequence}: ${entries.join(', ')}`;
}
