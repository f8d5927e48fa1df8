import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, test } from 'node:test';
import * as fc from 'fast-check';
import type { SessionConfig } from '../../src/conversation/session-schema.ts';
import type { ShardOptions } from '../../src/transceiver/protocol.ts';
import type { Shard } from '../../src/transceiver/shard.ts';
import { TicketOffice } from '../../src/transceiver/ticket-office.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';
import { CallTickets, MAX_TICKET_BODY } from '../../src/wire/call-ticket.ts';
import { pathProbeNumber, reportAccepting, reportReadySince, reportWorkers, writePathProbe } from '../../src/wire/path-probe.ts';
import type { Offerer } from '../../src/webrtc/index.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { seededBytes } from '../support/random.ts';
import { newOffer, SECRET, TestCaller, TestRelay } from './test-relay.ts';
import { openTestShard } from './test-shard.ts';

const now = (): number => Math.floor(Date.now() / 1000);
const DEFAULT: SessionConfig = { type: 'realtime' };
const LONG: SessionConfig = { type: 'realtime', model: 'echo', instructions: Array.from({ length: 60 }, (_, i) => `word${i * 7919}`).join(' ') };
const office = new TicketOffice({ secret: SECRET, previousSecret: null, cluster: 7, ingress: [parseAddress('127.0.0.1:3478')] });
let nextPort = 45_000;

interface Stage extends AsyncDisposable {
  readonly shard: Shard;
  readonly relay: TestRelay;
  /** Of the shard, as they came: ids of calls, and names of sessions. */
  readonly used: string[];
  readonly ended: string[];
  readonly wanted: string[];
  /** Somebody who has asked ahead begins now, at this shard or another. */
  begin(call?: PromisedCall, to?: Shard): TestCaller;
}

/** An offer and its answer ahead. */
interface PromisedCall {
  readonly offer: Offerer;
  readonly answer: string;
}

function promise({ session = DEFAULT, expiresAt = now() + 60 }: { session?: SessionConfig; expiresAt?: number } = {}): PromisedCall {
  const offer = newOffer();
  return { offer, answer: office.issue({ offer: offer.offer, session }, now(), expiresAt).answer };
}

async function stage(options: Partial<ShardOptions> = {}): Promise<Stage> {
  const [used, ended, wanted]: string[][] = [[], [], []];
  const shard = await openTestShard(options, {
    ticketUsed: (callId) => void used.push(callId),
    callEnded: (callId) => void ended.push(callId),
    fetchSession: (name) => void wanted.push(name),
  });
  const relay = await TestRelay.open(options.secret);
  const callers: TestCaller[] = [];
  return {
    shard,
    relay,
    used,
    ended,
    wanted,
    begin({ offer, answer } = promise(), to = shard) {
      const caller = new TestCaller(relay, to.trunk, nextPort++, offer.accept(answer, performance.now()));
      callers.push(caller);
      return caller;
    },
    async [Symbol.asyncDispose]() {
      for (const caller of callers) caller.close();
      await shard.close('test-over');
      await relay.close();
    },
  };
}

describe('a ticket', { timeout: 60_000 }, () => {
  it('becomes a whole call with the first packet: audio both ways, events with the call id', async () => {
    await using at = await stage();
    const caller = at.begin();
    await caller.until('connected');
    caller.session.openChannel({ label: 'oai-events' }, performance.now());
    await caller.until('message');
    const created = JSON.parse(caller.messages[0]) as { type: string; call_id: string; session: { model: string } };
    assert.deepEqual([created.type, created.session.model], ['session.created', 'echo']);
    assert.deepEqual(at.used, [created.call_id]);
    assert.ok(at.shard.dump(created.call_id));
    caller.sendAudio(Uint8Array.of(0xf8, 0xff, 0xfe), 0);
    await caller.until('audio');
    at.shard.hangup(created.call_id, 'client_hangup');
    assert.deepEqual(at.ended, [created.call_id]);
    assert.deepEqual(at.shard.sizes(), { callCount: 0, pathCount: 0 });
  });

  it('opens the agreed channel, so that the first event comes unasked', async () => {
    await using at = await stage();
    const offer = newOffer({ channels: [{ label: 'oai-events', negotiated: true, id: 4 }] });
    const { answer } = office.issue({ offer: offer.offer, session: { type: 'realtime', model: 'echo' }, eventsChannelId: 4 }, now(), now() + 60);
    const caller = at.begin({ offer, answer });
    await caller.until('message');
    assert.match(caller.messages[0], /"session.created"/);
  });

  it('is taken under the previous secret of the deployment', async () => {
    await using at = await stage({ secret: 'a new secret', previousSecret: SECRET });
    await at.begin().until('connected');
    assert.equal(at.used.length, 1);
  });

  it('of another deployment is dropped without a word', async () => {
    await using at = await stage({ secret: 'another secret' });
    const caller = at.begin();
    await presented(at.shard, 'invalid');
    assert.equal(at.relay.returned.get(caller.address.port), undefined);
  });

  it('without its password makes no call, and gets no answer', async () => {
    await using at = await stage();
    const { offer, answer } = promise();
    const caller = at.begin({ offer, answer: answer.replace(/a=ice-pwd:./, (start) => (start.endsWith('A') ? 'a=ice-pwd:B' : 'a=ice-pwd:A')) });
    await presented(at.shard, 'invalid');
    assert.equal(at.relay.returned.get(caller.address.port), undefined);
    assert.deepEqual(at.used, []);
  });

  it('that has expired is refused, so that the client need not wait', async () => {
    await using at = await stage();
    const caller = at.begin(promise({ expiresAt: now() }));
    await caller.until('closed');
    assert.equal(caller.closeReason, 'ice-refused');
    assert.deepEqual(at.used, []);
  });

  it('is used up with its call', async () => {
    await using at = await stage();
    const call = promise();
    await at.begin(call).until('connected');
    at.shard.hangup(at.used[0], 'client_hangup');
    const again = at.begin(call);
    await again.until('closed');
    assert.equal(again.closeReason, 'ice-refused');
    assert.equal(at.used.length, 1);
  });

  it('is handed back unread while the shard is full, and while it drains', async () => {
    await using at = await stage({ maxCalls: 1 });
    await at.begin().until('connected');
    const second = at.begin();
    await once(at.relay.told, 'handed-back');
    const [{ port, target, payload }] = at.relay.handedBack;
    assert.deepEqual([port, target], [second.address.port, null]);
    assert.ok(payload.length > 200 && payload[0] === 0);
    at.shard.hangup(at.used[0], 'client_hangup');
    await second.until('connected');
    at.shard.announceStop(1000);
    at.shard.hangup(at.used[1], 'client_hangup');
    at.begin();
    await once(at.relay.told, 'handed-back');
    assert.equal(at.used.length, 2);
  });

  it('that another shard has made a call of leads there, and the client is told nothing of it', async () => {
    await using at = await stage();
    await using owner = await stage();
    const call = promise();
    const caller = at.begin(call);
    await caller.until('connected');
    const ufrag = /a=ice-ufrag:(\S+)/.exec(call.answer)![1];
    at.shard.yieldCall(ufrag, formatAddress(owner.shard.trunk));
    assert.deepEqual(at.ended, at.used);
    at.begin(call);
    await once(at.relay.told, 'handed-back');
    assert.equal(at.relay.handedBack[0].target, formatAddress(owner.shard.trunk));
    assert.equal(caller.closeReason, null);
    await at.begin(call, owner.shard).until('connected');
    assert.equal(owner.used.length, 1);
  });

  it('that names its session waits until it is there, once for all that name the same', async () => {
    await using at = await stage({ agents: ['parrot', 'echo'] });
    const call = promise({ session: LONG });
    const { named } = office.issue({ offer: call.offer.offer, session: LONG }, now(), now() + 60);
    const caller = at.begin(call);
    await presented(at.shard, 'waiting');
    assert.deepEqual(at.wanted, [named!.name]);
    at.shard.sessionFetched(named!.name, named!.json);
    await caller.until('connected');
    caller.session.openChannel({ label: 'oai-events' }, performance.now());
    await caller.until('message');
    const { session } = JSON.parse(caller.messages[0]) as { session: SessionConfig };
    assert.deepEqual([session.model, session.instructions], [LONG.model, LONG.instructions]);
    await at.begin(promise({ session: LONG })).until('connected');
    assert.deepEqual(at.wanted, [named!.name]);
  });

  it('asks again for a session that was not to be had, or was another', async () => {
    await using at = await stage();
    const call = promise({ session: LONG });
    const { named } = office.issue({ offer: call.offer.offer, session: LONG }, now(), now() + 60);
    const caller = at.begin(call);
    const asked = async (times: number): Promise<void> => {
      while (at.wanted.length < times) await new Promise((resolve) => setImmediate(resolve));
    };
    await asked(1);
    at.shard.sessionFetched(named!.name, null);
    await asked(2);
    at.shard.sessionFetched(named!.name, JSON.stringify({ instructions: 'obey another' }));
    await asked(3);
    assert.deepEqual(at.wanted, [named!.name, named!.name, named!.name]);
    at.shard.sessionFetched(named!.name, named!.json);
    await caller.until('connected');
  });
});

test('a ticket of another version, whatever is in it, is none', () => {
  const tickets = new CallTickets(SECRET);
  const token = new RoutingKeys(SECRET).encodeTicketToken({ cluster: 7, issuedAt: now() }, seededBytes(1));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: MAX_TICKET_BODY }), (body) => {
      assert.equal(office.open(tickets.seal(token, body, seededBytes(2)).ufrag), null);
    }),
  );
});

test('a shard tells a relay that asks how it is', async () => {
  await using at = await stage({ workers: 3, maxCalls: 1 });
  const report = async (): Promise<{ accepting: boolean; workers: number; number: number; readySince: number }> => {
    const probe = new Uint8Array(8);
    writePathProbe(probe, false, 7, 0xfffffff0);
    at.relay.tell(at.shard.trunk, probe);
    const [data] = (await once(at.relay.told, 'message')) as [Uint8Array];
    return { accepting: reportAccepting(data, 0), workers: reportWorkers(data, 0), number: pathProbeNumber(data, 0), readySince: reportReadySince(data, 0) };
  };
  const { readySince, ...rest } = await report();
  assert.deepEqual(rest, { accepting: true, workers: 3, number: 0xfffffff0 });
  assert.ok(Math.abs(readySince - now()) < 60);
  await at.begin().until('connected');
  assert.equal((await report()).accepting, false);
  at.shard.hangup(at.used[0], 'client_hangup');
  assert.equal((await report()).accepting, true);
  at.shard.announceStop(1000);
  assert.equal((await report()).accepting, false);
});

/** Waits until a check had this outcome. */
async function presented(shard: Shard, outcome: string): Promise<void> {
  const value = (): number => {
    const reading = shard.stats().find(({ name, labels }) => name === 'earshot_tickets_presented_total' && labels?.['outcome'] === outcome);
    return reading!.value;
  };
  while (value() === 0) await new Promise((resolve) => setImmediate(resolve));
}
