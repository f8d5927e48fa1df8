import assert from 'node:assert/strict';
import path from 'node:path';
import { after, test } from 'node:test';
import type { CallError, CallRequest } from '../../src/signaling/call-service.ts';
import type { Transceiver } from '../../src/transceiver/index.ts';
import { formatAddress, type TransportAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { PROJECT } from '../support/paths.ts';
import { start } from './start.ts';
import { newOffer, SECRET, TestCaller, TestRelay } from './test-relay.ts';

const FRAME = new Uint8Array(40).fill(0xf8, 0, 1);
const keys = new RoutingKeys(SECRET);
const relay = await TestRelay.open();
after(() => relay.close());
let nextPort = 30_000;

async function call(transceiver: Transceiver, session: Partial<CallRequest['session']> = {}): Promise<{ caller: TestCaller; id: string; shard: TransportAddress }> {
  const offer = newOffer();
  const { id, answer } = await transceiver.createCall({ offer: offer.offer, session: { type: 'realtime', ...session } });
  const token = keys.decodeUfragText(/a=ice-ufrag:(\S+)/.exec(answer)![1])!;
  assert.ok('locator' in token && token.locator.kind === 0);
  const shard = token.locator.address;
  const caller = new TestCaller(relay, shard, nextPort++, offer.accept(answer, performance.now()));
  return { caller, id, shard };
}

test('observers of calls on different shards each see and steer their own, several at once', async (t) => {
  const transceiver = await start(t, { workers: 2, agents: ['parrot'] });
  const calls = [await call(transceiver), await call(transceiver)];
  assert.notEqual(formatAddress(calls[0].shard), formatAddress(calls[1].shard));
  const logs = [[], [], []] as { type: string; session?: { instructions: string }; error?: { event_id: string } }[][];
  const ended: string[] = [];
  const follow = (id: string, log: (typeof logs)[number]): ReturnType<Transceiver['observe']> =>
    transceiver.observe(id, { event: (json) => log.push(JSON.parse(json) as (typeof log)[number]), ended: (reason) => ended.push(reason) });
  const [first, second, third] = [await follow(calls[0].id, logs[0]), await follow(calls[1].id, logs[1]), await follow(calls[1].id, logs[2])];
  first.send('{"type":"session.update","session":{"type":"realtime","instructions":"one"}}');
  second.send('{"type":"session.update","session":{"type":"realtime","instructions":"two"}}');
  third.send('{"type":"response.cancel","event_id":"mine"}');
  while (logs[0].length < 2 || logs[1].length < 2 || logs[2].length < 3) await new Promise(setImmediate);
  assert.deepEqual(logs.map((log) => log.find(({ type }) => type === 'session.updated')?.session?.instructions), ['one', 'two', 'two']);
  assert.deepEqual(logs.map((log) => log.filter(({ type }) => type === 'error').map(({ error }) => error?.event_id)), [[], [], ['mine']]);
  await transceiver.hangup(calls[1].id, 'test');
  while (ended.length < 2) await new Promise(setImmediate);
  assert.deepEqual(ended, ['test', 'test'], 'and the call on the other shard goes on');
  await assert.rejects(follow(calls[1].id.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')), []), (error: CallError) => error.status === 404);
  for (const { caller } of calls) caller.close();
});

test('calls are spread over the shards, each reached through its own trunk port, and any is found by its id', async (t) => {
  const transceiver = await start(t, { workers: 2 });
  const calls: Awaited<ReturnType<typeof call>>[] = [];
  for (let i = 0; i < 4; i++) {
    const next = await call(transceiver);
    await next.caller.until('connected');
    calls.push(next);
  }
  const perShard = transceiver.trunk.map((trunk) => calls.filter(({ shard }) => formatAddress(shard) === formatAddress(trunk)).length);
  assert.deepEqual(perShard, [2, 2]);
  assert.equal(transceiver.calls, 4);
  for (const { caller, id } of calls) {
    assert.equal(((await transceiver.dump(id)) as { id: string }).id, id);
    assert.equal(await transceiver.hangup(id, 'test'), true);
    if (caller.closeReason === null) await caller.until('closed');
    caller.close();
  }
  assert.equal(await transceiver.hangup(calls[0].id, 'test'), true, 'ending is idempotent');
  assert.equal(await transceiver.hangup('rtc_forged', 'test'), false);
  await transceiver.close();
});

test('a full server answers 503 with a time to come back, and takes calls again when one has ended', async (t) => {
  const transceiver = await start(t, { maxCalls: 1 });
  const { caller, id } = await call(transceiver);
  await caller.until('connected');
  await assert.rejects(call(transceiver), (error: CallError) => error.status === 503 && error.retryAfter !== null && error.code === 'server_full');
  await transceiver.hangup(id, 'test');
  if (caller.closeReason === null) await caller.until('closed');
  caller.close();
  await transceiver.drain(5_000);
  await transceiver.close();
});

test('draining refuses new calls and waits for the live ones', async (t) => {
  const transceiver = await start(t);
  const { caller } = await call(transceiver);
  await caller.until('connected');
  const drained = transceiver.drain(30_000);
  assert.equal(transceiver.ready, false);
  await assert.rejects(call(transceiver), { status: 503, code: 'draining' });
  caller.sendAudio(FRAME, 0);
  await caller.until('audio');
  caller.close();
  await drained;
  assert.equal(transceiver.calls, 0);
  await transceiver.close();
  await transceiver.close();
});

test('an agent that fails ends its own call with an error event, and no other', async (t) => {
  const transceiver = await start(t, { agents: [path.join(PROJECT, 'test/fixtures/agents/faulty.js')] });
  const healthy = await call(transceiver, { instructions: 'work' });
  await healthy.caller.until('connected');
  for (const how of ['open', 'audio', 'later', 'promise']) {
    const { caller } = await call(transceiver, { instructions: how });
    await caller.until('connected');
    caller.session.openChannel({ label: 'oai-events' }, performance.now());
    caller.sendAudio(FRAME, 0);
    caller.drain();
    if (caller.closeReason === null) await caller.until('closed');
    assert.equal(caller.closeReason, 'closed-by-peer', how);
    const errors = caller.messages.map((text) => JSON.parse(text) as { type: string; error?: { code: string } }).filter(({ type }) => type === 'error');
    assert.deepEqual(errors.map(({ error }) => error?.code), ['agent_error'], how);
    caller.close();
  }
  healthy.caller.sendAudio(FRAME, 0);
  await healthy.caller.until('audio');
  healthy.caller.close();
  await transceiver.drain(5_000);
  await transceiver.close();
});

test('a caller chooses among several agents by the model, and any other model is for the first of them', async (t) => {
  const transceiver = await start(t, { agents: ['parrot', 'echo'] });
  assert.deepEqual(transceiver.agents, ['parrot', 'echo']);
  for (const [model, answering] of [[undefined, 'parrot'], ['echo', 'echo'], ['parrot', 'parrot'], ['gpt-realtime', 'parrot']] as const) {
    const { id, caller } = await call(transceiver, model === undefined ? {} : { model });
    const { conversation } = (await transceiver.dump(id)) as { conversation: { agent: string } };
    assert.equal(conversation.agent, answering, model);
    await transceiver.hangup(id, 'test');
    caller.close();
  }
  await transceiver.close();
});

test('a taken port and an agent that does not load are one sentence each', async (t) => {
  const first = await start(t);
  await assert.rejects(start(t, { trunk: first.trunk[0] }), { code: 'EADDRINUSE' });
  await first.close();
  await assert.rejects(start(t, { workers: 2, agents: ['./no-such-agent.js'] }), /the agent file .*no-such-agent\.js does not exist/);
});
