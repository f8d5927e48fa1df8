import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { NO_CLUSTER } from '../../src/relay/core.ts';
import type { DropReason } from '../../src/relay/drop-reason.ts';
import { type TransportAddress, formatAddress, parseAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { bindingRequest } from './support/stun.ts';
import { SECRET, VirtualRelay, VirtualTransceiver, VirtualTrunk, hex, trunkDatagram } from './support/virtual-trunk.ts';

const keys = new RoutingKeys(SECRET);
const CLIENT = parseAddress('203.0.113.7:50000');
const CLIENT_6 = parseAddress('[2001:db8::7]:50000');
const RTP = Uint8Array.from([0x80, 111, 0, 1]);
const REPLY = Uint8Array.from([0x80, 111, 9, 9]);
/** The ingress, two relays of cluster 2, and a transceiver there. */
const G = '10.9.0.1:7000';
const C1 = '10.2.0.1:7000';
const C2 = '10.2.0.2:7000';
const T = '10.2.1.1:7100';
const ROUTES = [{ cluster: 2, direct: false, trunk: [parseAddress(C1), parseAddress(C2)] }];

describe('a call of another cluster', () => {
  for (const client of [CLIENT, CLIENT_6]) {
    it(`goes through a relay of that cluster, and back the same way: ${formatAddress(client)}`, () => {
      const { g, c1, c2, t, via } = deployment();
      g.fromClient(client, check(T));
      g.fromClient(client, RTP);
      assert.deepEqual(t.received.map(({ payload }) => hex(payload)), [hex(check(T)), hex(RTP)]);
      for (const packet of t.received) assert.equal(formatAddress(packet.via!), G);
      assert.equal(via(t), via(t, 0), 'a flow keeps to one path');
      t.answer(t.received[1], REPLY);
      assert.deepEqual(g.toClients, [`${formatAddress(client)} ${hex(REPLY)}`]);
      assert.deepEqual([...c1.toClients, ...c2.toClients], [], 'only the ingress sends to the client');
      assert.equal(g.counters.get('forwardedToCluster'), 2);
    });
  }

  it('the clients are shared out among the relays', () => {
    const { g, t } = deployment();
    for (let port = 1; port <= 50; port++) g.fromClient({ ...CLIENT, port }, check(T));
    const byC1 = t.received.filter(({ relay }) => formatAddress(relay) === C1).length;
    assert.ok(byC1 > 10 && byC1 < 40, `${byC1} of 50 through one of two`);
  });

  it('with direct: straight to the transceiver, and back without a via', () => {
    const network = new VirtualTrunk();
    const g = new VirtualRelay(network, { trunk: G, cluster: NO_CLUSTER, routes: [{ cluster: 2, direct: true, trunk: [] }] });
    const t = new VirtualTransceiver(network, T);
    g.fromClient(CLIENT, check(T));
    g.fromClient(CLIENT, RTP);
    assert.deepEqual(t.received.map(({ relay, via }) => [formatAddress(relay), via]), [[G, null], [G, null]]);
    t.answer(t.received[0], REPLY);
    assert.equal(g.toClients.length, 1);
  });

  it('of the relay’s own cluster needs no other relay', () => {
    const network = new VirtualTrunk();
    const relay = new VirtualRelay(network, { trunk: C1, cluster: 2, routes: [{ cluster: 3, direct: false, trunk: [parseAddress(G)] }] });
    const t = new VirtualTransceiver(network, T);
    relay.fromClient(CLIENT, check(T));
    assert.equal(t.received[0].via, null);
  });
});

describe('a path that dies', () => {
  it('is left within a second by a call under way, of which not one packet more is lost', () => {
    const { network, g, t, via } = deployment();
    g.fromClient(CLIENT, check(T));
    const dead = via(t);
    network.remove(dead);
    const killedAt = network.now;
    const heardAt: number[] = [];
    while (network.now < killedAt + 3000) {
      const before = t.received.length;
      g.fromClient(CLIENT, RTP);
      if (t.received.length > before) heardAt.push(network.now);
      network.run(network.now + 20);
    }
    assert.ok(heardAt[0] - killedAt < 1000, `left after ${heardAt[0] - killedAt} ms`);
    assert.equal(heardAt.length, Math.ceil((killedAt + 3000 - heardAt[0]) / 20), 'every packet since');
    assert.notEqual(via(t), dead);
    t.answer(t.received.at(-1)!, REPLY);
    assert.equal(g.toClients.length, 1, 'the way back goes through the other relay');
  });

  it('is left within a second from far away too, and without any answer from there in between', () => {
    const { network, g, t, via } = deployment((network_) => (network_.delayMs = () => 150));
    g.fromClient(CLIENT, check(T));
    network.run(network.now + 1000);
    const dead = via(t);
    network.cut = (from, to) => from === dead || to === dead;
    const cutAt = network.now;
    while (via(t) === dead) {
      g.fromClient(CLIENT, RTP);
      network.run(network.now + 20);
      assert.ok(network.now - cutAt < 1000 + 300, `still on it after ${network.now - cutAt} ms`);
    }
  });

  it('one direction cut is dead as well', () => {
    const { network, g, t, via } = deployment();
    g.fromClient(CLIENT, check(T));
    const dead = via(t);
    network.cut = (from, to) => from === G && to === dead;
    network.run(network.now + 1000);
    g.fromClient(CLIENT, RTP);
    assert.notEqual(via(t), dead);
  });

  it('is taken again when it is back, and the flow goes there again', () => {
    const { network, g, t, via } = deployment();
    g.fromClient(CLIENT, check(T));
    const first = via(t);
    network.cut = (_from, to) => to === first;
    network.run(network.now + 5000);
    network.cut = () => false;
    network.run(network.now + 2000);
    g.fromClient(CLIENT, RTP);
    assert.equal(via(t), first);
  });

  it('when all are dead packets still go out, in case one is not', () => {
    const { network, g } = deployment();
    network.remove(C1);
    network.remove(C2);
    network.run(network.now + 5000);
    g.fromClient(CLIENT, check(T));
    assert.equal(g.counters.get('forwardedToCluster'), 1);
  });

  it('a relay of the wrong cluster behind an address is never used', () => {
    const { network, g, t, via } = deployment();
    network.remove(C1);
    const wrong = new VirtualRelay(network, { trunk: C1, cluster: 7 });
    network.run(network.now + 5000);
    for (let port = 1; port <= 20; port++) {
      g.fromClient({ ...CLIENT, port }, check(T));
      assert.equal(via(t), C2);
    }
    assert.equal(wrong.counters.get('relayedReceived'), 0);
    assert.deepEqual(g.parts.paths!.reports(network.now).map(({ condition }) => condition), ['misdirected', 'up']);
  });
});

describe('a relay that was killed and is new', () => {
  it('of the cluster: knows what to do with the first packet, told by the ingress', () => {
    const { network, g, t, via, restart } = deployment();
    g.fromClient(CLIENT, check(T));
    const relay = restart(via(t));
    g.fromClient(CLIENT, RTP);
    assert.equal(hex(t.received.at(-1)!.payload), hex(RTP));
    assert.equal(relay.counters.get('flowsHinted'), 1);
    t.answer(t.received.at(-1)!, REPLY);
    assert.equal(g.toClients.length, 1);
    network.run();
  });

  it('of the cluster: forwards the way back without knowing anything', () => {
    const { g, t, via, restart } = deployment();
    g.fromClient(CLIENT, check(T));
    restart(via(t));
    t.answer(t.received[0], REPLY);
    assert.deepEqual(g.toClients, [`203.0.113.7:50000 ${hex(REPLY)}`]);
  });

  it('the ingress: heals by the way back, and goes on through the relays of the cluster', () => {
    const { network, g: dead, t } = deployment();
    dead.fromClient(CLIENT, check(T));
    const g = new VirtualRelay(network, { trunk: G, cluster: NO_CLUSTER, routes: ROUTES });
    g.fromClient(CLIENT, RTP);
    assert.equal(g.counters.get('drop:unknown-flow'), 1);
    t.answer(t.received[0], REPLY);
    assert.equal(g.toClients.length, 1);
    g.fromClient(CLIENT, RTP);
    assert.equal(hex(t.received.at(-1)!.payload), hex(RTP));
    assert.equal(g.counters.get('flowsReturned'), 1);
    assert.equal(g.counters.get('forwardedToCluster'), 1);
  });

  it('the ingress: what it learned on the way back follows a path that changes, too', () => {
    const { network, g: dead, t, via } = deployment();
    dead.fromClient(CLIENT, check(T));
    const g = new VirtualRelay(network, { trunk: G, cluster: NO_CLUSTER, routes: ROUTES });
    network.run(network.now + 1000);
    t.answer(t.received[0], REPLY);
    const first = via(t);
    network.remove(first);
    network.run(network.now + 1000);
    g.fromClient(CLIENT, check(T));
    g.fromClient(CLIENT, RTP);
    assert.notEqual(via(t), first);
    assert.equal(hex(t.received.at(-1)!.payload), hex(RTP));
  });

  it('a call that has moved within the cluster is not sent back by what the ingress says', () => {
    const { network, g, t, via } = deployment();
    g.fromClient(CLIENT, check(T));
    const other = new VirtualTransceiver(network, '10.2.1.2:7100');
    other.answer(t.received[0], REPLY);
    const before = t.received.length;
    g.fromClient(CLIENT, RTP);
    assert.equal(t.received.length, before);
    assert.equal(hex(other.received.at(-1)!.payload), hex(RTP));
    assert.ok(via(other) === C1 || via(other) === C2);
  });
});

describe('a new version of the clusters file', () => {
  it('keeps flows and what is known of paths, and leads flows elsewhere at once', () => {
    const { network, g, t, via } = deployment();
    g.fromClient(CLIENT, check(T));
    g.parts.paths!.update([{ cluster: 2, direct: false, trunk: [parseAddress(C2)] }], network.now);
    g.fromClient(CLIENT, RTP);
    assert.equal(via(t), C2);
    const [report] = g.parts.paths!.reports(network.now);
    assert.equal(report.condition, 'up');
    assert.ok(report.probesSent > 5, 'probes go on where they were');
  });

  it('that knows the cluster no more drops its calls, and takes them again when it is back', () => {
    const { network, g, t } = deployment();
    g.fromClient(CLIENT, check(T));
    g.parts.paths!.update([], network.now);
    assertDrops(g, () => g.fromClient(CLIENT, RTP), 'cluster-unreachable');
    assertDrops(g, () => g.fromClient(CLIENT_6, check(T)), 'token-cluster');
    g.parts.paths!.update(ROUTES, network.now);
    g.fromClient(CLIENT, RTP);
    assert.equal(hex(t.received.at(-1)!.payload), hex(RTP));
  });
});

describe('forged and misdirected packets between relays', () => {
  const FOREIGN = parseAddress('10.66.6.6:7000');
  const forged = (options: Partial<Parameters<typeof trunkDatagram>[0]>): Uint8Array =>
    trunkDatagram({ towardsClients: false, client: CLIENT, payload: RTP, target: parseAddress(T), ...options });
  const table: readonly [string, Uint8Array, string, DropReason][] = [
    ['under another secret', forged({ secret: 'guessed' }), '10.66.6.6:7000', 'trunk-cookie'],
    ['from outside the trunk’s networks', forged({}), '192.0.2.66:7000', 'trunk-source'],
    ['towards a transceiver outside', forged({ target: parseAddress('8.8.8.8:53') }), '10.66.6.6:7000', 'unknown-flow'],
    ['with a via already', forged({ via: FOREIGN }), '10.66.6.6:7000', 'relay-loop'],
    ['with a token of a third cluster', forged({ payload: check(T, 3) }), '10.66.6.6:7000', 'token-cluster'],
    ['to be returned outside', trunkDatagram({ towardsClients: true, client: CLIENT, payload: RTP, via: parseAddress('8.8.8.8:53') }), '10.66.6.6:7000', 'via-not-allowed'],
  ];
  for (const [name, data, source, reason] of table) {
    it(`${name}: ${reason}`, () => {
      const { network, c1, t } = deployment();
      assertDrops(c1, () => {
        network.send(parseAddress(source), C1, data);
        network.run();
      }, reason);
      assert.equal(t.received.length, 0);
    });
  }

  it('a target told by a relay moves no flow that is known', () => {
    const { network, c1, t } = deployment();
    c1.fromClient(CLIENT, check(T));
    network.send(FOREIGN, C1, forged({ target: parseAddress('10.66.6.7:1') }));
    network.run();
    assert.equal(hex(t.received.at(-1)!.payload), hex(RTP));
  });

  it('a relay that belongs to no cluster takes nothing from others', () => {
    const { network, g } = deployment();
    assertDrops(g, () => {
      network.send(FOREIGN, G, forged({}));
      network.run();
    }, 'trunk-direction');
  });

  it('a call that came as a client’s is not passed on for another relay', () => {
    const network = new VirtualTrunk();
    const relay = new VirtualRelay(network, { trunk: C1, cluster: 2, routes: [{ cluster: 3, direct: false, trunk: [parseAddress('10.3.0.1:7000')] }] });
    relay.fromClient(CLIENT, check(T, 3));
    assertDrops(relay, () => {
      network.send(FOREIGN, C1, forged({ target: undefined as never }));
      network.run();
    }, 'relay-loop');
    assertDrops(relay, () => {
      network.send(FOREIGN, C1, forged({ payload: check(T, 3) }));
      network.run();
    }, 'relay-loop');
  });
});

describe('loops', () => {
  it('a via towards the relay itself ends after one turn, and what it teaches does not loop either', () => {
    const { network, c1, t } = deployment();
    t.answer({ relay: parseAddress(C1), via: parseAddress(C1), client: CLIENT }, REPLY);
    assert.equal(c1.toClients.length, 1);
    const before = network.carried;
    c1.fromClient(CLIENT, RTP);
    assert.ok(network.carried - before < 5);
  });

  it('two relays that each list the other for a cluster that neither is of', () => {
    const network = new VirtualTrunk();
    const a = new VirtualRelay(network, { trunk: C1, cluster: 5, routes: [{ cluster: 2, direct: false, trunk: [parseAddress(C2)] }] });
    const b = new VirtualRelay(network, { trunk: C2, cluster: 6, routes: [{ cluster: 2, direct: false, trunk: [parseAddress(C1)] }] });
    a.fromClient(CLIENT, check(T));
    b.fromClient(CLIENT, check(T));
    a.fromClient(CLIENT, RTP);
    assert.ok(network.carried < 10);
  });

  it('none arises of 20,000 datagrams between relays that know each other', () => {
    const network = new VirtualTrunk();
    const relays = [2, 3].map((cluster) =>
      new VirtualRelay(network, {
        trunk: `10.${cluster}.0.1:7000`,
        cluster,
        routes: [{ cluster: 5 - cluster, direct: false, trunk: [parseAddress(`10.${5 - cluster}.0.1:7000`)] }],
      }),
    );
    const addresses = ['10.2.0.1:7000', '10.3.0.1:7000', T].map((text) => parseAddress(text));
    const address = fc.constantFrom(...addresses);
    const datagrams = fc.record({
      towardsClients: fc.boolean(),
      verified: fc.boolean(),
      via: fc.option(address),
      target: address,
      payload: fc.constantFrom(RTP, check('10.2.0.1:7000', 2), check('10.3.0.1:7000', 3), check('10.3.0.1:7000', 2)),
    });
    fc.assert(
      fc.property(datagrams, address, fc.nat(1), fc.boolean(), (datagram, from, to, isClient) => {
        const before = network.carried;
        if (isClient) relays[to].fromClient(CLIENT, datagram.payload);
        else network.send(from, formatAddress(addresses[to]), trunkDatagram({ ...datagram, client: CLIENT }));
        network.run();
        assert.ok(network.carried - before <= 5, `${network.carried - before} datagrams out of one`);
      }),
      { numRuns: 20_000 },
    );
  });
});

interface Deployment {
  readonly network: VirtualTrunk;
  readonly g: VirtualRelay;
  readonly c1: VirtualRelay;
  readonly c2: VirtualRelay;
  readonly t: VirtualTransceiver;
  /** The cluster's relay through which a packet reached the transceiver: the last one, or the one at `index`. */
  readonly via: (transceiver: VirtualTransceiver, index?: number) => string;
  readonly restart: (trunk: string) => VirtualRelay;
}

/** Has run until the paths are known to work. */
function deployment(prepare: (network: VirtualTrunk) => void = () => undefined): Deployment {
  const network = new VirtualTrunk();
  prepare(network);
  const restart = (trunk: string): VirtualRelay => new VirtualRelay(network, { trunk, cluster: 2 });
  const c1 = restart(C1);
  const c2 = restart(C2);
  const t = new VirtualTransceiver(network, T);
  const g = new VirtualRelay(network, { trunk: G, cluster: NO_CLUSTER, routes: ROUTES });
  network.run(2000);
  assert.deepEqual(g.parts.paths!.reports(network.now).map(({ condition }) => condition), ['up', 'up']);
  return { network, g, c1, c2, t, restart, via: (transceiver, index = -1) => formatAddress(transceiver.received.at(index)?.relay ?? parseAddress('0.0.0.0:0')) };
}

function check(target: string, cluster = 2): Uint8Array {
  const address: TransportAddress = parseAddress(target);
  return bindingRequest(`${keys.encodeUfrag({ cluster, locator: { kind: 0, address }, nonce: 7 })}:abcd`);
}

function assertDrops(relay: VirtualRelay, act: () => void, reason: DropReason): void {
  const before = relay.counters.get(`drop:${reason}`);
  act();
  assert.equal(relay.counters.get(`drop:${reason}`), before + 1, `dropped as ${reason}`);
}
