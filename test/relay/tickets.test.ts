import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_CLUSTER } from '../../src/relay/core.ts';
import type { DropReason } from '../../src/relay/drop-reason.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { seededBytes } from '../support/random.ts';
import { bindingRequest } from './support/stun.ts';
import { SECRET, VirtualRelay, VirtualTransceiver, VirtualTrunk, endpoint, hex, trunkDatagram } from './support/virtual-trunk.ts';

const keys = new RoutingKeys(SECRET);
const CLIENT = parseAddress('203.0.113.7:50000');
const RTP = Uint8Array.from([0x80, 111, 0, 1]);
const REPLY = Uint8Array.from([0x80, 111, 9, 9]);
/** A relay, the transceivers that it knows, and a relay elsewhere. */
const R = '10.0.0.9:7000';
const WORKERS = ['10.0.1.1:7100', '10.0.1.2:7100', '10.0.1.3:7100', '10.0.1.4:7100'];
const G = '10.9.0.1:7000';

describe('a check with an unbound ticket', () => {
  it('goes to one transceiver, whoever sends it, and so do the client’s other packets', () => {
    const { relay, heard } = deployment();
    const other = parseAddress('[2001:db8::7]:50001');
    for (let serial = 0; serial < 20; serial++) {
      relay.fromClient(CLIENT, ticket(serial));
      relay.fromClient(CLIENT, RTP);
      relay.fromClient(CLIENT, ticket(serial));
      relay.fromClient(other, ticket(serial));
      const [first, ...others] = heard();
      assert.equal(others.length, 3);
      for (const each of others) assert.equal(each, first);
    }
    assert.equal(relay.counters.get('ticketsChosen'), 40);
    // Once for each ticket of each client: an unchanged token needs no decryption.
    assert.equal(relay.counters.get('tokensDecoded'), 40);
  });

  it('goes to the same one after a restart of the relay, before the call and during it', () => {
    const { network, relay, heard, by } = deployment();
    relay.fromClient(CLIENT, ticket(1));
    const [chosen] = heard();
    for (let restart = 0; restart < 2; restart++) {
      const next = new VirtualRelay(network, { trunk: R, cluster: 0, transceivers: WORKERS });
      next.fromClient(CLIENT, ticket(1));
      dropped(next, 'ticket-unroutable');
      network.run(network.now + 100);
      next.fromClient(CLIENT, ticket(1));
      const [packet] = by(chosen).received;
      assert.deepEqual(heard(), [chosen]);
      by(chosen).answer(packet, REPLY);
    }
  });

  it('goes to another one when that is dead, and stays there when it lives again', () => {
    const { network, relay, heard } = deployment();
    relay.fromClient(CLIENT, ticket(1));
    const [chosen] = heard();
    network.remove(chosen);
    network.run(network.now + 1200);
    relay.fromClient(CLIENT, ticket(1));
    const [second] = heard();
    assert.notEqual(second, chosen);
    relay.fromClient(CLIENT, RTP);
    assert.deepEqual(heard(), [second]);
    assert.equal(new VirtualTransceiver(network, chosen).received.length, 0);
    network.run(network.now + 1000);
    relay.fromClient(CLIENT, ticket(1));
    assert.deepEqual(heard(), [second]);
  });

  it('goes where a transceiver has vouched for the client, as long as that one lives', () => {
    const { network, relay, heard, by } = deployment();
    const [chosen] = chosenFor(1);
    const holder = by(WORKERS.find((worker) => worker !== chosen)!);
    holder.answer({ relay: parseAddress(R), via: null, client: CLIENT }, REPLY);
    for (let i = 0; i < 3; i++) relay.fromClient(CLIENT, ticket(1));
    assert.deepEqual(heard(), [holder.at, holder.at, holder.at]);
    network.remove(holder.at);
    network.run(network.now + 1200);
    relay.fromClient(CLIENT, ticket(1));
    assert.deepEqual(heard(), [chosen]);
  });

  it('of another call, under a spoofed source, moves nothing that is vouched for', () => {
    const { relay, heard, by } = deployment();
    relay.fromClient(CLIENT, ticket(1));
    const [chosen] = heard();
    by(chosen).answer(by(chosen).received[0], REPLY);
    const others = Array.from({ length: 20 }, (_, i) => i + 2);
    for (const serial of others) {
      relay.fromClient(CLIENT, ticket(serial));
      relay.fromClient(CLIENT, RTP);
      relay.fromClient(CLIENT, ticket(1));
    }
    assert.deepEqual(new Set(heard()), new Set([chosen]));
  });

  it('goes where the recovery cache knew the client', () => {
    const { relay, heard } = deployment();
    const [chosen] = chosenFor(1);
    const holder = parseAddress(WORKERS.find((worker) => worker !== chosen)!);
    relay.parts.core.recovered(CLIENT.ip, 0, 4, CLIENT.port, endpoint(holder), 0, 0);
    relay.fromClient(CLIENT, ticket(1));
    relay.fromClient(CLIENT, ticket(1));
    assert.deepEqual(heard(), [formatAddress(holder), formatAddress(holder)]);
  });

  it('is told from a bound token that begins alike', () => {
    const { relay, heard } = deployment();
    relay.fromClient(CLIENT, ticket(1));
    heard();
    relay.fromClient(CLIENT, bindingRequest(`${prefix(1)}:abcd`));
    dropped(relay, 'token-invalid');
    const bound = keys.encodeUfrag({ cluster: 0, locator: { kind: 0, address: parseAddress(WORKERS[0]) }, nonce: 1 });
    relay.fromClient(CLIENT, bindingRequest(`${bound}:abcd`));
    relay.fromClient(CLIENT, bindingRequest(`${bound}AAAA:abcd`));
    assert.deepEqual(heard(), [WORKERS[0]]);
    dropped(relay, 'token-invalid', 2);
  });

  it('is dropped by a relay that knows no transceivers, unless one has vouched for the client', () => {
    const { network, heard, by } = deployment();
    const relay = new VirtualRelay(network, { trunk: R, cluster: 0 });
    relay.fromClient(CLIENT, ticket(1));
    dropped(relay, 'ticket-unroutable');
    assert.equal(relay.parts.core.flows.size, 0);
    by(WORKERS[2]).answer({ relay: parseAddress(R), via: null, client: CLIENT }, REPLY);
    relay.fromClient(CLIENT, ticket(1));
    assert.deepEqual(heard(), [WORKERS[2]]);
  });
});

describe('a ticket that is handed back', () => {
  it('is offered to the next, where the client’s packets go from then on', () => {
    const { relay, heard, by } = deployment();
    const [chosen, second] = chosenFor(1);
    by(chosen).handsBack = null;
    relay.fromClient(CLIENT, ticket(1));
    assert.deepEqual(heard(), [chosen, second]);
    for (const packet of [RTP, ticket(1)]) relay.fromClient(CLIENT, packet);
    assert.deepEqual(heard(), [second, second]);
    const [offered] = by(second).received;
    assert.deepEqual([formatAddress(offered.client), offered.via, hex(offered.payload)], [formatAddress(CLIENT), null, hex(ticket(1))]);
    assert.equal(relay.counters.get('ticketsPassedOn'), 1);
    assert.deepEqual(relay.toClients, [], 'what is handed back is for no client');
  });

  it('is offered once to each, then dropped; the next check begins anew', () => {
    const { relay, heard, by, workers } = deployment();
    const order = chosenFor(1);
    for (const worker of workers) worker.handsBack = null;
    relay.fromClient(CLIENT, ticket(1));
    assert.deepEqual(heard(), order);
    dropped(relay, 'ticket-refused');
    relay.fromClient(CLIENT, RTP);
    dropped(relay, 'unknown-flow');
    by(order[3]).handsBack = undefined;
    relay.fromClient(CLIENT, ticket(1));
    assert.deepEqual(heard(), order);
  });

  it('goes past those that take no calls', () => {
    const { network, relay, heard, workers } = deployment();
    const order = chosenFor(1);
    for (const worker of workers) if (worker.at !== order[3]) Object.assign(worker, { handsBack: null, accepting: false });
    network.run(network.now + 300);
    relay.fromClient(CLIENT, ticket(1));
    assert.deepEqual(heard(), [order[0], order[3]]);
  });

  it('goes to the one that is named', () => {
    const { relay, heard, by } = deployment();
    const [chosen, , , last] = chosenFor(1);
    by(chosen).handsBack = last;
    relay.fromClient(CLIENT, ticket(1));
    relay.fromClient(CLIENT, ticket(1));
    assert.deepEqual(heard(), [chosen, last, last]);
    assert.equal(relay.counters.get('ticketsNamed'), 1);
  });

  it('goes to one that is named and not on the list, but to none that is dead or may be none', () => {
    const { network, relay, heard, by } = deployment();
    const order = chosenFor(1);
    const late = new VirtualTransceiver(network, '10.0.1.99:7100');
    by(order[0]).handsBack = '10.0.1.99:7100';
    relay.fromClient(CLIENT, ticket(1));
    assert.equal(late.received.length, 1);
    heard();
    by(order[0]).handsBack = order[1];
    network.remove(order[1]);
    network.run(network.now + 1200);
    relay.fromClient({ ...CLIENT, port: 2 }, ticket(1));
    assert.deepEqual(heard(), [order[0]]);
    dropped(relay, 'ticket-refused');
    by(order[0]).handsBack = '8.8.8.8:53';
    relay.fromClient({ ...CLIENT, port: 3 }, ticket(1));
    dropped(relay, 'target-not-allowed');
  });

  for (const [name, back] of [
    ['two that name each other, nor to one that names itself', [1, 0, 2, null]],
    ['those of which one names another one, by way of one that names nobody', [1, null, 0, null]],
  ] as const) {
    it(`does not go round between ${name}`, () => {
      const { network, relay, by } = deployment();
      const order = chosenFor(1);
      for (const [i, named] of back.entries()) by(order[i]).handsBack = named === null ? null : order[named];
      const before = network.carried;
      for (let i = 0; i < 5; i++) relay.fromClient(CLIENT, ticket(1));
      assert.ok(network.carried - before < 60, `${network.carried - before} datagrams`);
      for (const worker of order) assert.ok(by(worker).received.length > 0, 'each is asked');
    });
  }

  it('moves no flow that another transceiver has vouched for', () => {
    const { relay, heard, by } = deployment();
    const [, holder, , named] = chosenFor(1);
    by(holder).answer({ relay: parseAddress(R), via: null, client: CLIENT }, REPLY);
    by(holder).handsBack = named;
    relay.fromClient(CLIENT, ticket(1));
    relay.fromClient(CLIENT, ticket(1));
    by(holder).handsBack = undefined;
    relay.fromClient(CLIENT, RTP);
    assert.deepEqual(heard(), [holder, named, holder, named, holder]);
  });

  it('is believed of transceivers of this cluster alone, and of tickets alone', () => {
    const { network, relay, heard, by } = deployment();
    const handBack = (from: string, payload: Uint8Array): void => {
      network.send(parseAddress(from), R, trunkDatagram({ towardsClients: true, client: CLIENT, payload, handedBack: true, target: parseAddress(WORKERS[1]) }));
      network.run();
    };
    handBack('8.8.8.8:7100', ticket(1));
    dropped(relay, 'trunk-source');
    const bound = keys.encodeUfrag({ cluster: 0, locator: { kind: 0, address: parseAddress(WORKERS[0]) }, nonce: 1 });
    for (const payload of [bindingRequest(`${bound}:abcd`), ticket(1, 9), RTP, ticket(1).subarray(0, 30)]) handBack(WORKERS[0], payload);
    dropped(relay, 'ticket-refused', 4);
    assert.equal(relay.parts.core.flows.size, 0);
    assert.deepEqual(heard(), []);
    by(WORKERS[0]).handBack({ relay: parseAddress(R), via: parseAddress('8.8.8.8:7000'), client: CLIENT, payload: ticket(1) }, null);
    network.run();
    dropped(relay, 'via-not-allowed');
  });
});

describe('an unbound ticket of another cluster', () => {
  const ROUTES = [{ cluster: 0, direct: false, trunk: [parseAddress(R)] }];

  it('goes through a relay of that cluster, which chooses; handed back, it still returns the same way', () => {
    const { network, relay, heard, by } = deployment();
    const ingress = new VirtualRelay(network, { trunk: G, cluster: NO_CLUSTER, routes: ROUTES });
    network.run(network.now + 100);
    const [chosen, second] = chosenFor(1);
    by(chosen).handsBack = null;
    for (const packet of [ticket(1), RTP, ticket(1)]) ingress.fromClient(CLIENT, packet);
    assert.deepEqual(heard(), [chosen, second, second, second]);
    for (const { via } of by(second).received) assert.equal(formatAddress(via!), G);
    by(second).answer(by(second).received[0], REPLY);
    assert.deepEqual(ingress.toClients, [`${formatAddress(CLIENT)} ${hex(REPLY)}`]);
    assert.deepEqual(relay.toClients, []);
    for (const packet of [RTP, ticket(1), RTP]) ingress.fromClient(CLIENT, packet);
    assert.deepEqual(heard(), [second, second, second]);
    assert.equal(ingress.counters.get('forwardedToCluster'), 6);
  });

  it('is handed back by no relay of that cluster, and told no owner, for none is known', () => {
    const network = new VirtualTrunk();
    const ingress = new VirtualRelay(network, { trunk: G, cluster: 7, routes: ROUTES, transceivers: WORKERS });
    const elsewhere = new VirtualTransceiver(network, R);
    const own = new VirtualTransceiver(network, WORKERS[0]);
    for (const packet of [ticket(1), RTP, ticket(1, 7)]) ingress.fromClient(CLIENT, packet);
    assert.deepEqual(elsewhere.received.map(({ payload }) => hex(payload)), [hex(ticket(1)), hex(RTP)]);
    dropped(ingress, 'ticket-unroutable');
    elsewhere.handBack({ relay: parseAddress(G), via: null, client: CLIENT, payload: ticket(1, 7) }, WORKERS[0]);
    network.run();
    dropped(ingress, 'ticket-refused');
    assert.equal(own.received.length, 0);
  });

  it('has no way where there are no relays to ask, and none through a third relay', () => {
    const { network, relay } = deployment();
    const direct = new VirtualRelay(network, { trunk: G, cluster: NO_CLUSTER, routes: [{ cluster: 0, direct: true, trunk: [] }] });
    direct.fromClient(CLIENT, ticket(1));
    dropped(direct, 'ticket-unroutable');
    direct.fromClient(CLIENT, ticket(1, 5));
    dropped(direct, 'token-cluster');
    relay.fromClient(CLIENT, ticket(1, 5));
    dropped(relay, 'token-cluster');
    network.send(parseAddress(G), R, trunkDatagram({ towardsClients: false, client: CLIENT, payload: ticket(1, 5) }));
    network.run();
    dropped(relay, 'token-cluster', 2);
  });
});

interface Deployment {
  readonly network: VirtualTrunk;
  readonly relay: VirtualRelay;
  readonly workers: VirtualTransceiver[];
  readonly by: (address: string) => VirtualTransceiver;
  /** The workers that have got something since the last time, in that order. */
  readonly heard: () => string[];
}

/** A relay that knows its transceivers. */
function deployment(): Deployment {
  const network = new VirtualTrunk();
  const relay = new VirtualRelay(network, { trunk: R, cluster: 0, transceivers: WORKERS });
  const order: string[] = [];
  const workers = WORKERS.map((at) => {
    const worker = new VirtualTransceiver(network, at);
    worker.onPacket = () => order.push(at);
    return worker;
  });
  network.run(300);
  return { network, relay, workers, by: (address) => workers.find(({ at }) => at === address)!, heard: () => order.splice(0) };
}

/** The workers in the order in which they are asked for this ticket. */
function chosenFor(serial: number): string[] {
  const { relay, workers, heard } = deployment();
  for (const worker of workers) worker.handsBack = null;
  relay.fromClient(CLIENT, ticket(serial));
  return heard();
}

function prefix(serial: number, cluster = 0): string {
  return keys.encodeTicketToken({ cluster, issuedAt: 1000 }, seededBytes(serial));
}

function ticket(serial: number, cluster = 0): Uint8Array {
  return bindingRequest(`${prefix(serial, cluster)}${'sealed'.repeat(20)}:abcd`);
}

function dropped(relay: VirtualRelay, reason: DropReason, count = 1): void {
  assert.equal(relay.counters.get(`drop:${reason}`), count);
}
