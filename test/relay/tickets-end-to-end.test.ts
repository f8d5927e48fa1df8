import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Relay, type RelayOptions, startRelay as startRelayForGood } from '../../src/relay/index.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { seededBytes } from '../support/random.ts';
import { TestClient } from './support/client.ts';
import { FakeTransceiver, type ReceivedEntry } from './support/fake-transceiver.ts';
import { bindingRequest } from './support/stun.ts';

const SECRET = 'a secret for tests';
const RTP = Buffer.from([0x80, 111, 0, 1]);

for (const engine of ['mmsg', 'dgram'] as const) {
  describe(`unbound tickets, ${engine} engine`, { timeout: 20_000 }, () => {
    let transceivers: FakeTransceiver[];
    let options: RelayOptions;
    let closing: { close(): Promise<void> }[];
    beforeEach(async () => {
      transceivers = await Promise.all(Array.from({ length: 3 }, () => FakeTransceiver.open(SECRET)));
      closing = [...transceivers];
      const free = parseAddress('127.0.0.1:0');
      options = { udp: free, trunk: free, secret: SECRET, engine, workers: 1, transceivers: transceivers.map(({ address }) => address) };
    });
    afterEach(() => Promise.all(closing.map((each) => each.close())));

    async function startRelay(changes: Partial<RelayOptions> = {}): Promise<Relay> {
      const relay = await startRelayForGood({ ...options, ...changes });
      closing.push(relay);
      return relay;
    }

    async function openClient(relay: Relay): Promise<TestClient> {
      const client = await TestClient.open(relay.udp);
      closing.push(client);
      return client;
    }

    /** Sends a check until somebody gets it, as clients do; says who. */
    async function whoGets(client: TestClient, check: Uint8Array): Promise<{ transceiver: FakeTransceiver; entry: ReceivedEntry }> {
      for (;;) {
        client.send(check);
        await delay(10);
        for (const transceiver of transceivers) {
          if (transceiver.unread === 0) continue;
          const entry = await transceiver.next();
          while (transceiver.unread > 0) await transceiver.next();
          assert.deepEqual(entry.payload, Buffer.from(check));
          return { transceiver, entry };
        }
      }
    }

    it('go to one transceiver, and to the same one after a restart of the relay, whether the call is there or not', async () => {
      let relay = await startRelay();
      const [caller, ahead] = [await openClient(relay), await openClient(relay)];
      const bound = await whoGets(caller, ticket(1));
      bound.transceiver.send(bound.entry.relay, bound.entry.client, RTP, true);
      assert.deepEqual(await caller.next(), RTP);
      const unbound = await whoGets(ahead, ticket(2));
      for (let restart = 0; restart < 2; restart++) {
        const { udp, trunk } = relay;
        await relay.close();
        relay = await startRelay({ udp, trunk: trunk[0] });
        assert.equal((await whoGets(caller, ticket(1))).transceiver, bound.transceiver);
        assert.equal((await whoGets(ahead, ticket(2))).transceiver, unbound.transceiver);
      }
      caller.send(RTP);
      assert.deepEqual((await bound.transceiver.next()).payload, RTP);
    });

    it('go on to the next or to the one that is named, with all that the client sends then, when they are handed back', async () => {
      const relay = await startRelay();
      const client = await openClient(relay);
      const first = await whoGets(client, ticket(1));
      const [second, third] = transceivers.filter((each) => each !== first.transceiver);
      first.transceiver.handBack(first.entry, third.address);
      const named = await third.next();
      assert.deepEqual([named.payload, named.client], [first.entry.payload, first.entry.client]);
      client.send(RTP);
      assert.deepEqual((await third.next()).payload, RTP);
      // Not by name a second time: to the one after it, or to nobody.
      third.handBack(named, second.address);
      while (second.unread === 0 && first.transceiver.unread === 0 && relay.counters()['drop:ticket-refused'] === 0) await delay(2);
      assert.equal(relay.counters().ticketsNamed, 1);
      assert.equal(client.unread, 0);
    });

    it('leave a transceiver that dies within about a second, and the figures say so', async () => {
      const relay = await startRelay();
      const client = await openClient(relay);
      const first = await whoGets(client, ticket(1));
      const dead = formatAddress(first.transceiver.address);
      await first.transceiver.close();
      closing.splice(closing.indexOf(first.transceiver), 1);
      transceivers.splice(transceivers.indexOf(first.transceiver), 1);
      assert.notEqual((await whoGets(client, ticket(1))).transceiver, first.transceiver);
      while (!relay.transceivers().some(({ address, condition }) => address === dead && condition === 'dead')) await delay(10);
      assert.deepEqual(relay.dump().transceivers.filter(({ condition }) => condition === 'accepting').length, 2);
    });

    // The sockets of the other cannot change hands.
    if (engine === 'mmsg') it('are carried on by a successor, without one check more than before', async () => {
      const handover = `@earshot-tickets-${process.pid}`;
      const relay = await startRelay({ handover });
      const [caller, ahead] = [await openClient(relay), await openClient(relay)];
      const bound = await whoGets(caller, ticket(1));
      bound.transceiver.send(bound.entry.relay, bound.entry.client, RTP, true);
      assert.deepEqual(await caller.next(), RTP);
      const unbound = await whoGets(ahead, ticket(2));
      const successor = await startRelay({ handover, udp: relay.udp });
      await relay.handedOver;
      await relay.close();
      for (const [client, { transceiver }, serial] of [[caller, bound, 1], [ahead, unbound, 2]] as const) {
        client.send(ticket(serial));
        assert.deepEqual((await transceiver.next()).payload, Buffer.from(ticket(serial)));
      }
      assert.equal(successor.counters()['drop:ticket-unroutable'], 0);
      await whoGets(await openClient(successor), ticket(3));
    });

    it('find the transceivers that the relay is told of later', async () => {
      const relay = await startRelay({ transceivers: [] });
      const client = await openClient(relay);
      client.send(ticket(1));
      while (relay.counters()['drop:ticket-unroutable'] === 0) await delay(2);
      relay.updateTransceivers([parseAddress('8.8.8.8:7100'), transceivers[1].address]);
      assert.equal((await whoGets(client, ticket(1))).transceiver, transceivers[1]);
      while (relay.transceivers().length === 0) await delay(10);
      assert.deepEqual(relay.transceivers().map(({ address }) => address), [formatAddress(transceivers[1].address)]);
    });
  });
}

describe('addresses of transceivers that cannot be', () => {
  const free = parseAddress('127.0.0.1:0');
  const options = { udp: free, trunk: free, secret: SECRET };
  for (const address of ['8.8.8.8:7100', '[::1]:7100', '10.0.0.1:0']) {
    it(`${address} is refused in one sentence`, () => assert.rejects(
      startRelayForGood({ ...options, transceivers: [parseAddress(address)] }),
      new RangeError(`The transceiver ${address} is not IPv4, with a port, in one of the networks of --allow-targets`),
    ));
  }

  it('and none has a relay that belongs to no cluster', () => assert.rejects(
    startRelayForGood({ ...options, clusters: { list: [], byId: new Map(), ingress: [] }, transceivers: [] }),
    /A relay of no cluster has no transceivers: give --cluster beside --transceivers/,
  ));
});

function ticket(serial: number): Uint8Array {
  const token = new RoutingKeys(SECRET).encodeTicketToken({ cluster: 0, issuedAt: 1000 }, seededBytes(serial));
  return bindingRequest(`${token}${'sealed'.repeat(20)}:abcd`);
}
