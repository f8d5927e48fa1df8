import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { RelayCore, type RelayCoreOptions } from '../../src/relay/core.ts';
import { CounterBlock, RELAY_COUNTERS } from '../../src/relay/counters.ts';
import { DROP_REASONS, DROP_REASON_LIST, type DropReason } from '../../src/relay/drop-reason.ts';
import { explain } from '../../src/relay/explain.ts';
import { SourceLimit } from '../../src/relay/source-limit.ts';
import { NetworkList } from '../../src/relay/networks.ts';
import { counterBlock, makeShared } from '../../src/relay/worker-setup.ts';
import { type TransportAddress, formatAddress, parseAddress } from '../../src/wire/address.ts';
import { readEndpoint4, writeEndpoint4 } from '../../src/wire/locator.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { TrunkCookies, TrunkEntry, writeTrunkHeader } from '../../src/wire/trunk.ts';
import { bindingRequest, stunMessage } from './support/stun.ts';

const SECRET = 'a secret for tests';
const keys = new RoutingKeys(SECRET);
const cookies = new TrunkCookies(SECRET);
const A = parseAddress('10.0.0.1:7100');
const B = parseAddress('10.0.0.2:7100');
const CLIENT = parseAddress('203.0.113.7:50000');
const CLIENT_6 = parseAddress('[2001:db8::7]:50000');
const RTP = Uint8Array.from([0x80, 111, 0, 1]);
const DTLS = Uint8Array.from([22, 254, 253]);

/** One packet into a relay that has just started: what is in it, and what becomes of it. */
const CLIENT_TABLE: readonly [string, Uint8Array, string][] = [
  ['a check with a token for A', check(A), 'forward to 10.0.0.1:7100'],
  ['a check with a token under the previous secret', check(A, new RoutingKeys('previous')), 'forward to 10.0.0.1:7100'],
  ['a check with a token under a secret of before that', check(A, new RoutingKeys('older')), 'token-invalid'],
  ['a check for a peer that is no Earshot', bindingRequest('abcdef:ghij'), 'token-invalid'],
  ['a check for another cluster', checkUfrag(keys.encodeUfrag({ cluster: 9, locator: { kind: 0, address: A }, nonce: 0 })), 'token-cluster'],
  ['a check for a node id', checkUfrag(keys.encodeUfrag({ cluster: 0, locator: { kind: 1, nodeId: new Uint8Array(6) }, nonce: 0 })), 'token-node'],
  ['a check with an unbound ticket', checkUfrag(`${keys.encodeTicketToken({ cluster: 0, issuedAt: 1 }, () => undefined)}sealed`), 'ticket-unroutable'],
  ['a check that leads to the open internet', check(parseAddress('8.8.8.8:53')), 'target-not-allowed'],
  ['a check without USERNAME', bindingRequest(null), 'stun-no-ufrag'],
  ['a check whose USERNAME has no colon', bindingRequest('abcd'), 'stun-no-ufrag'],
  ['STUN cut short', check(A).subarray(0, 30), 'stun-malformed'],
  ['a binding response from a stranger', stunMessage(0x0101, new Uint8Array(0)), 'unknown-flow'],
  ['voice from a stranger', RTP, 'unknown-flow'],
  ['DTLS from a stranger', DTLS, 'unknown-flow'],
  ['an empty datagram', new Uint8Array(0), 'not-webrtc'],
  ['TURN channel data', Uint8Array.from([64, 0, 0, 0]), 'not-webrtc'],
  ['ZRTP', Uint8Array.from([16, 0, 0, 0]), 'not-webrtc'],
];

describe('relay core, one packet from a client', () => {
  for (const [name, packet, verdict] of CLIENT_TABLE) {
    it(`${name}: ${verdict}`, () => {
      assert.equal(fromClient(makeCore(), packet), verdict);
      const sentence = explain({ secret: SECRET, previousSecret: 'previous' }, packet, CLIENT);
      const reason = verdict as DropReason;
      if (verdict.startsWith('forward')) assert.match(sentence, /^Forwarded to the transceiver at 10\.0\.0\.1:7100, /);
      else assert.equal(sentence, `Dropped as ${reason}: ${DROP_REASONS[reason]}.`);
    });
  }
});

const TRUNK_TABLE: readonly [string, Uint8Array, TransportAddress, string[]][] = [
  ['an entry for a client', trunk([{}]), A, ['client']],
  ['entries for several clients', trunk([{}, { client: CLIENT_6 }, {}]), A, ['client', 'client', 'client']],
  ['an entry with a via', trunk([{ via: B }, {}]), A, ['via', 'client']],
  ['an entry whose via is on the open internet', trunk([{ via: parseAddress('8.8.8.8:53') }, {}]), A, ['via-not-allowed', 'client']],
  ['an entry for port 0', trunk([{ client: { ...CLIENT, port: 0 } }, {}]), A, ['client-unreachable', 'client']],
  ['an entry that is handed back', trunk([{ handedBack: true }, {}]), A, ['ticket-refused', 'client']],
  ['a good entry before a broken one', trunk([{}, {}]).subarray(0, -1), A, ['client', 'trunk-malformed']],
  ['no trunk datagram', RTP, A, ['trunk-malformed']],
  ['a later version', trunk([{}]).with(2, 9), A, ['trunk-version']],
  ['a wrong cookie', trunk([{}]).with(8, 0).with(9, 0), A, ['trunk-cookie']],
  ['voice of an unknown client through another relay', trunk([{}], false), A, ['unknown-flow']],
  ['what came through two relays', trunk([{ via: B }], false), A, ['relay-loop']],
  ['a sender on the open internet', trunk([{}]), parseAddress('8.8.8.8:53'), ['trunk-source']],
];

describe('relay core, one datagram from the trunk', () => {
  for (const [name, datagram, source, verdicts] of TRUNK_TABLE) {
    it(`${name}: ${verdicts.join(', ')}`, () => assert.deepEqual(fromTrunk(makeCore(), datagram, source), verdicts));
  }

  it('an IPv6 client cannot be reached from an IPv4 port', () => {
    const core = makeCore({ publicFamily: 4 });
    assert.deepEqual(fromTrunk(core, trunk([{ client: CLIENT_6 }]), A), ['client-unreachable']);
  });
});

describe('relay core, flows', () => {
  it('a known flow needs no token', () => {
    const core = makeCore();
    fromClient(core, check(A));
    for (const packet of [RTP, DTLS, stunMessage(0x0011, new Uint8Array(0))]) {
      assert.equal(fromClient(core, packet), 'forward to 10.0.0.1:7100');
    }
    assert.equal(fromClient(core, RTP, { ...CLIENT, port: 50_001 }), 'unknown-flow');
  });

  it('an unchanged token is decrypted once', () => {
    const counters = counterBlock(makeShared());
    const core = makeCore({ counters });
    for (let i = 0; i < 5; i++) assert.equal(fromClient(core, check(A)), 'forward to 10.0.0.1:7100');
    assert.equal(counters.get('tokensDecoded'), 1);
    assert.equal(fromClient(core, check(B)), 'forward to 10.0.0.2:7100');
    assert.equal(counters.get('tokensDecoded'), 2);
  });

  it('a client that calls anew before it was answered goes to its new call', () => {
    const core = makeCore();
    fromClient(core, check(A));
    fromClient(core, check(B));
    assert.equal(fromClient(core, RTP), 'forward to 10.0.0.2:7100');
  });

  it('STUN with another valid token under a spoofed source does not move a verified flow', () => {
    const core = makeCore();
    fromClient(core, check(A));
    fromTrunk(core, trunk([{ verified: true }]), A);
    assert.equal(fromClient(core, check(B)), 'forward to 10.0.0.2:7100');
    assert.equal(fromClient(core, RTP), 'forward to 10.0.0.1:7100');
    assert.equal(fromClient(core, check(A)), 'forward to 10.0.0.1:7100');
  });

  it('a verified entry moves a flow to the transceiver that sent it', () => {
    const counters = counterBlock(makeShared());
    const core = makeCore({ counters });
    fromClient(core, check(A));
    fromTrunk(core, trunk([{ verified: true }]), B);
    assert.equal(fromClient(core, RTP), 'forward to 10.0.0.2:7100');
    assert.equal(counters.get('flowsMoved'), 1);
  });

  it('an entry that is not verified teaches nothing', () => {
    const core = makeCore();
    fromTrunk(core, trunk([{ verified: false }, { verified: false, via: B }]), A);
    assert.equal(fromClient(core, RTP), 'unknown-flow');
    fromTrunk(core, trunk([{ verified: true }]), A);
    assert.equal(fromClient(core, RTP), 'forward to 10.0.0.1:7100');
  });

  it('a flow is forgotten after its idle time, and not while packets pass either way', () => {
    const counters = counterBlock(makeShared());
    const core = makeCore({ counters, idleTimeoutMs: 1000 });
    fromClient(core, check(A), CLIENT, 0);
    fromClient(core, check(A), CLIENT_6, 0);
    fromTrunk(core, trunk([{ verified: true }]), A, 900);
    core.tick(1500);
    assert.equal(counters.flows, 1);
    assert.equal(fromClient(core, RTP, CLIENT_6, 1500), 'unknown-flow');
    assert.equal(fromClient(core, RTP, CLIENT, 1500), 'forward to 10.0.0.1:7100');
    assert.equal(counters.get('flowsExpired'), 1);
  });

  it('a flood of new clients evicts those that were quiet longest', () => {
    const core = makeCore({ maxFlows: 10 });
    fromClient(core, check(A));
    // A packet each 20 ms, and as many new flows meanwhile: the order of use is right to within a tenth of a second.
    let now = 0;
    for (let port = 1; port <= 100; port++) {
      fromClient(core, check(A), { ...CLIENT_6, port }, now);
      fromClient(core, RTP, CLIENT, (now += 20));
    }
    assert.equal(core.flows.size, 10);
    assert.equal(fromClient(core, RTP, CLIENT, now), 'forward to 10.0.0.1:7100');
    assert.equal(fromClient(core, RTP, { ...CLIENT_6, port: 50 }, now), 'unknown-flow');
    assert.equal(fromClient(core, RTP, { ...CLIENT_6, port: 99 }, now), 'forward to 10.0.0.1:7100');
  });

  it('a slot that is used again remembers nothing of the flow before', () => {
    const core = makeCore({ maxFlows: 1 });
    fromClient(core, check(A));
    fromTrunk(core, trunk([{ verified: true }]), A);
    assert.equal(fromClient(core, check(B), CLIENT_6), 'forward to 10.0.0.2:7100');
    assert.equal(fromClient(core, RTP, CLIENT_6), 'forward to 10.0.0.2:7100');
  });
});

describe('relay core, recovery', () => {
  it('asks once for an unknown client, and follows the answer', () => {
    const asked: string[] = [];
    const core = makeCore({ recovery: recorder(asked) });
    for (let i = 0; i < 3; i++) assert.equal(fromClient(core, RTP), 'flow-recovering');
    assert.deepEqual(asked, ['lookup 203.0.113.7:50000']);
    core.recovered(CLIENT.ip, 0, 4, CLIENT.port, endpoint(A), 0, 1);
    assert.equal(fromClient(core, RTP), 'forward to 10.0.0.1:7100');
  });

  it('asks at a bounded rate', () => {
    const asked: string[] = [];
    const core = makeCore({ recovery: recorder(asked) });
    const verdicts = Array.from({ length: 3000 }, (_, port) => fromClient(core, RTP, { ...CLIENT, port }));
    assert.equal(asked.length, 2000);
    assert.equal(verdicts.filter((verdict) => verdict === 'unknown-flow').length, 1000);
    fromClient(core, RTP, { ...CLIENT, port: 2999 }, 1000);
    assert.equal(asked.length, 2001);
  });

  it('does not follow an answer outside the allowed networks, or one that comes too late', () => {
    const core = makeCore({ recovery: recorder([]) });
    core.recovered(CLIENT.ip, 0, 4, CLIENT.port, endpoint(parseAddress('8.8.8.8:53')), 0, 0);
    assert.equal(fromClient(core, RTP), 'flow-recovering');
    fromClient(core, check(A));
    core.recovered(CLIENT.ip, 0, 4, CLIENT.port, endpoint(B), 0, 0);
    assert.equal(fromClient(core, RTP), 'forward to 10.0.0.1:7100');
  });

  it('tells of every live verified flow again within the refresh time, and of no other', () => {
    const told: string[] = [];
    const core = makeCore({ recovery: recorder(told), idleTimeoutMs: 600_000 });
    fromTrunk(core, trunk([{ verified: true }]), A);
    fromTrunk(core, trunk([{ client: CLIENT_6, verified: true }]), B);
    fromClient(core, check(A), { ...CLIENT, port: 1 });
    told.length = 0;
    for (let now = 1000; now <= 60_000; now += 1000) {
      fromClient(core, RTP, CLIENT, now);
      core.tick(now);
    }
    const of = (line: string): number => told.filter((other) => other === line).length;
    const talks = of('learned 203.0.113.7:50000 10.0.0.1:7100');
    const fellSilent = of('learned [2001:db8::7]:50000 10.0.0.2:7100');
    assert.ok(talks >= 2 && talks <= 3, `told ${talks} times in 60 s`);
    assert.ok(fellSilent >= 1 && fellSilent < talks, `told ${fellSilent} times of a flow that is silent`);
    assert.equal(told.length, talks + fellSilent);
  });

  it('tells what it learns, once', () => {
    const told: string[] = [];
    const core = makeCore({ recovery: recorder(told) });
    fromClient(core, check(A));
    for (let i = 0; i < 3; i++) fromTrunk(core, trunk([{ verified: true }]), A);
    fromTrunk(core, trunk([{ verified: true }]), B);
    assert.deepEqual(told, ['learned 203.0.113.7:50000 10.0.0.1:7100', 'learned 203.0.113.7:50000 10.0.0.2:7100']);
  });
});

describe('drop reasons', () => {
  it('are the same in the code, the counters and the docs', () => {
    const docs = readFileSync(new URL('../../../docs/wire.md', import.meta.url), 'utf8');
    const table = docs.slice(docs.indexOf('## Why a relay drops'));
    const documented = [...table.matchAll(/^\| `([a-z-]+)` \| (.*) \|$/gm)].map(([, reason, text]) => [reason, text]);
    assert.deepEqual(documented, Object.entries(DROP_REASONS));
    const counted = RELAY_COUNTERS.filter(({ name }) => name === 'dropped').map(({ labels }) => labels['reason']);
    assert.deepEqual(counted, DROP_REASON_LIST);
  });

  it('can all be reached', () => {
    const reached = new Set<string>([...CLIENT_TABLE.map(([, , verdict]) => verdict), ...TRUNK_TABLE.flatMap(([, , , verdicts]) => verdicts)]);
    // Where datagrams are composed (packet-path.test.ts), above and below, and where there are clusters (clusters.test.ts).
    const elsewhere: readonly DropReason[] = ['oversize', 'flow-recovering', 'source-limit', 'trunk-direction', 'cluster-unreachable'];
    for (const reason of DROP_REASON_LIST) assert.ok(reached.has(reason) || elsewhere.includes(reason), `nothing is dropped as ${reason}`);
  });
});

describe('relay core, new flows of one network', () => {
  const sourceLimit = (): SourceLimit => new SourceLimit({ perSecond: 10, burst: 5 });
  const from = (ip: string, port: number): TransportAddress => parseAddress(ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
  const table: readonly [string, (i: number) => TransportAddress, number][] = [
    ['one address', (i) => from('203.0.113.7', 1000 + i), 5],
    ['a /24', (i) => from(`203.0.113.${i}`, 1000), 5],
    ['a /56', (i) => from(`2001:db8:0:${i.toString(16)}::1`, 1000), 5],
    ['many /24', (i) => from(`203.0.${i}.7`, 1000), 20],
    ['many /56', (i) => from(`2001:db8:0:${i.toString(16)}00::1`, 1000), 20],
  ];
  for (const [name, source, made] of table) {
    it(`20 flows of ${name} at once: ${made} are made`, () => {
      const core = makeCore({ sourceLimit: sourceLimit() });
      const verdicts = Array.from({ length: 20 }, (_, i) => fromClient(core, check(A), source(i)));
      assert.equal(verdicts.filter((verdict) => verdict === 'source-limit').length, 20 - made);
      assert.equal(core.flows.size, made);
    });
  }

  it('a network at its limit keeps its flows, and gets new ones at the rate', () => {
    const core = makeCore({ sourceLimit: sourceLimit() });
    for (let i = 0; i < 20; i++) fromClient(core, check(A), from('203.0.113.7', 1000 + i));
    assert.equal(fromClient(core, check(B), from('203.0.113.7', 1000)), 'forward to 10.0.0.2:7100');
    assert.equal(fromClient(core, RTP, from('203.0.113.7', 1004)), 'forward to 10.0.0.1:7100');
    assert.equal(fromClient(core, check(A), from('203.0.113.7', 2000), 99), 'source-limit');
    assert.equal(fromClient(core, check(A), from('203.0.113.7', 2000), 200), 'forward to 10.0.0.1:7100');
  });

  it('tokens that are not ours use up nothing of the network they are said to come from', () => {
    const core = makeCore({ sourceLimit: sourceLimit() });
    for (let i = 0; i < 50; i++) assert.equal(fromClient(core, check(A, new RoutingKeys('guess')), from('203.0.113.7', i + 1)), 'token-invalid');
    assert.equal(fromClient(core, check(A), CLIENT), 'forward to 10.0.0.1:7100');
  });
});

describe('relay core, arbitrary input', () => {
  it('survives 100,000 datagrams on either side', () => {
    const core = makeCore();
    const good = check(A);
    const header = trunk([]);
    const mutants = fc.tuple(fc.constantFrom(good, trunk([{}, { via: B }])), fc.nat(100), fc.nat(255)).map(([packet, at, value]) => {
      const copy = new Uint8Array(packet);
      copy[at % copy.length] = value;
      return copy;
    });
    const bodies = fc.uint8Array({ maxLength: 60 });
    fc.assert(
      fc.property(fc.oneof(mutants, bodies, bodies.map((body) => Buffer.concat([header, body]))), (data) => {
        fromClient(core, data);
        fromTrunk(core, data, A);
      }),
      { numRuns: 100_000 },
    );
    assert.ok(core.flows.size <= 100);
  });
});

function makeCore(overrides: Partial<RelayCoreOptions> = {}): RelayCore {
  return new RelayCore({
    keys: new RoutingKeys(SECRET, 'previous'),
    cookies: new TrunkCookies(SECRET, 'previous'),
    cluster: 0,
    paths: null,
    transceivers: null,
    allowTargets: new NetworkList(['10.0.0.0/8', '127.0.0.0/8']),
    maxFlows: 100,
    idleTimeoutMs: 60_000,
    publicFamily: 6,
    counters: new CounterBlock(makeShared(), 8),
    recovery: null,
    sourceLimit: null,
    ...overrides,
  });
}

function fromClient(core: RelayCore, data: Uint8Array, from = CLIENT, now = 0): string {
  const verdict = core.fromClient(data, 0, data.length, from.family, from.ip, 0, from.port, now);
  return verdict === 'forward' ? `forward to ${formatAddress(readEndpoint4(core.target, core.targetOffset))}` : verdict;
}

function fromTrunk(core: RelayCore, data: Uint8Array, source: TransportAddress, now = 0): string[] {
  const fault = core.openTrunk(data, 0, data.length, source.ip, 0, source.port);
  if (fault !== null) return [fault];
  const verdicts: string[] = [];
  for (let verdict = core.nextEntry(now); verdict !== null; verdict = core.nextEntry(now)) verdicts.push(verdict);
  return verdicts;
}

function check(target: TransportAddress, by = keys): Uint8Array {
  return checkUfrag(by.encodeUfrag({ cluster: 0, locator: { kind: 0, address: target }, nonce: 7 }));
}

function checkUfrag(ufrag: string): Uint8Array {
  return bindingRequest(`${ufrag}:abcd`);
}

function trunk(
  entries: { client?: TransportAddress; verified?: boolean; handedBack?: boolean; via?: TransportAddress }[],
  towardsClients = true,
): Uint8Array {
  const data = new Uint8Array(1472);
  let end = writeTrunkHeader(data, 0, towardsClients, 0, cookies);
  for (const { client = CLIENT, verified = false, handedBack = false, via } of entries) {
    const entry = Object.assign(new TrunkEntry(), client, { verified, handedBack, payload: RTP, payloadLength: RTP.length });
    entry.via = via ? endpoint(via) : null;
    end = entry.write(data, end);
  }
  return data.slice(0, end);
}

function endpoint(address: TransportAddress): Uint8Array {
  const bytes = new Uint8Array(6);
  writeEndpoint4(bytes, 0, address.ip, 0, address.port);
  return bytes;
}

function recorder(calls: string[]): RelayCoreOptions['recovery'] {
  const text = (ip: Uint8Array, at: number, family: 4 | 6, port: number): string => {
    const isMapped = family === 6 && ip[at + 10] === 0xff && ip[at + 11] === 0xff;
    if (family === 4 || isMapped) return formatAddress({ family: 4, ip: ip.slice(isMapped ? at + 12 : at, isMapped ? at + 16 : at + 4), port });
    return formatAddress({ family, ip: ip.slice(at, at + 16), port });
  };
  return {
    lookup: (ip, at, family, port) => calls.push(`lookup ${text(ip, at, family, port)}`),
    learned: (ip, at, family, port, target, targetAt) =>
      calls.push(`learned ${text(ip, at, family, port)} ${formatAddress(readEndpoint4(target, targetAt))}`),
  };
}
