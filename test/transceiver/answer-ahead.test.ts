import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import type { CallError, CallRequest } from '../../src/signaling/call-service.ts';
import { MemoryStore } from '../../src/store/index.ts';
import type { Transceiver } from '../../src/transceiver/index.ts';
import { formatAddress } from '../../src/wire/address.ts';
import { start } from './start.ts';
import { newOffer, TestCaller, TestRelay } from './test-relay.ts';

const relay = await TestRelay.open();
after(() => relay.close());
let nextPort = 50_000;

const LONG: CallRequest['session'] = { type: 'realtime', instructions: Array.from({ length: 60 }, (_, i) => `word${i * 7919}`).join(' ') };
const now = (): number => Math.floor(Date.now() / 1000);

/** What the client has asked for ahead, and how it begins its call, through which transceiver ever. */
async function ahead(from: Transceiver, session: CallRequest['session'] = { type: 'realtime' }): Promise<{ expiresAt: number; begin: (at: Transceiver) => TestCaller }> {
  const offer = newOffer();
  const { answer, expiresAt } = await from.answerAhead({ offer: offer.offer, session });
  return { expiresAt, begin: (at) => new TestCaller(relay, at.trunk[0], nextPort++, offer.accept(answer, performance.now())) };
}

test('an answer ahead reserves nothing, and the call that it becomes counts as any: a drain waits for it', async (t) => {
  const [one, other] = [await start(t), await start(t, { ticketLifetimeMs: 5000 })];
  const { begin, expiresAt } = await ahead(other);
  assert.ok(expiresAt >= now() && expiresAt <= now() + 5);
  assert.deepEqual([one.calls, other.calls], [0, 0]);
  const caller = begin(one);
  await caller.until('connected');
  while (one.calls === 0) await new Promise(setImmediate);
  assert.equal(other.calls, 0);
  const draining = one.drain(10_000);
  await assert.rejects(ahead(one), (error: CallError) => error.status === 503 && error.code === 'draining');
  caller.close();
  await draining;
  assert.equal(one.calls, 0);
});

test('an answer expires no later than it is told to', async (t) => {
  const transceiver = await start(t);
  const { expiresAt } = await transceiver.answerAhead({ offer: newOffer().offer, session: { type: 'realtime' } }, now() + 3);
  assert.ok(expiresAt <= now() + 3);
});

test('a session that no ticket holds is kept where the other transceivers find it', async (t) => {
  const store = new MemoryStore();
  const [one, other] = [await start(t, { store }), await start(t, { store })];
  const caller = (await ahead(one, LONG)).begin(other);
  await caller.until('connected');
  caller.session.openChannel({ label: 'oai-events' }, performance.now());
  await caller.until('message');
  assert.equal((JSON.parse(caller.messages[0]) as { session: { instructions: string } }).session.instructions, LONG['instructions']);
  caller.close();
});

test('without such a place it is refused, and the message says what to do', async (t) => {
  const transceiver = await start(t);
  await assert.rejects(ahead(transceiver, LONG), (error: CallError) => error.status === 400 && error.code === 'instant_not_possible' && /--redis/.test(error.message));
});

test('a store that does not answer costs the answer, not the call of a ticket that needs nothing of it', async (t) => {
  const away = (): Promise<never> => Promise.reject(new Error('away'));
  const transceiver = await start(t, { store: { read: away, write: away, claim: away, close: async () => undefined } });
  await assert.rejects(ahead(transceiver, LONG), (error: CallError) => error.status === 503 && error.code === 'cache_unavailable');
  const caller = (await ahead(transceiver)).begin(transceiver);
  await caller.until('connected');
  caller.close();
});

test('a ticket that comes to two transceivers stays with the first, and the second leads there', async (t) => {
  const store = new MemoryStore();
  const [owner, other] = [await start(t, { store }), await start(t, { store })];
  const { begin } = await ahead(owner);
  const first = begin(owner);
  await first.until('connected');
  while (owner.calls === 0) await new Promise(setImmediate);
  const second = begin(other);
  await once(relay.told, 'handed-back');
  assert.equal(relay.handedBack.at(-1)!.port, second.address.port);
  assert.equal(relay.handedBack.at(-1)!.target, formatAddress(owner.trunk[0]));
  while (other.calls > 0) await new Promise(setImmediate);
  assert.equal(owner.calls, 1);
  for (const caller of [first, second]) caller.close();
});

test('offers that cannot be answered ahead are told apart from those that cannot be answered', async (t) => {
  const transceiver = await start(t);
  const { offer } = newOffer();
  const sha512 = offer.replace(/a=fingerprint:.*/g, `a=fingerprint:sha-512 ${Array.from({ length: 64 }, () => 'AB').join(':')}`);
  const cases = [
    [sha512, 'instant_not_possible', /SHA-256/],
    [offer.replaceAll(/a=ice-ufrag:\S+/g, `a=ice-ufrag:${'u'.repeat(33)}`), 'instant_not_possible', /ICE ufrag/],
    ['v=1\r\n', 'not_sdp', /line 1/],
  ] as const;
  for (const [text, code, message] of cases) {
    await assert.rejects(
      transceiver.answerAhead({ offer: text, session: { type: 'realtime' } }),
      (error: CallError) => error.status === 400 && error.code === code && message.test(`${error.message} ${error.param}`),
    );
  }
  await assert.rejects(
    transceiver.answerAhead({ offer: newOffer({ data: false }).offer, session: { type: 'realtime' }, eventsChannelId: 1 }),
    (error: CallError) => error.code === 'no_data_channel',
  );
});
