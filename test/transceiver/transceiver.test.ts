import assert from 'node:assert/strict';
import path from 'node:path';
import { after, test, type TestContext } from 'node:test';
import type { CallError, CallRequest } from '../../src/signaling/call-service.ts';
import { startTransceiver, type Transceiver, type TransceiverOptions } from '../../src/transceiver/index.ts';
import { formatAddress, parseAddress, type TransportAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { PROJECT } from '../support/paths.ts';
import { newOffer, SECRET, TestCaller, TestRelay } from './test-relay.ts';

const FRAME = new Uint8Array(40).fill(0xf8, 0, 1);
const keys = new RoutingKeys(SECRET);
const relay = await TestRelay.open();
after(() => relay.close());
let nextPort = 30_000;

async function start(t: TestContext, options: Partial<TransceiverOptions> = {}): Promise<Transceiver> {
  const transceiver = await startTransceiver({
    trunk: parseAddress('127.0.0.1:0'),
    ingress: [parseAddress('127.0.0.1:3478')],
    secret: SECRET,
    agents: ['echo'],
    workers: 2,
    logLevel: 'silent',
    ...options,
  });
  t.after(() => transceiver.close());
  return transceiver;
}

async function call(transceiver: Transceiver, session: Partial<CallRequest['session']> = {}): Promise<{ caller: TestCaller; id: string; shard: TransportAddress }> {
  const offer = newOffer();
  const { id, answer } = await transceiver.createCall({ offer: offer.offer, session: { type: 'realtime', ...session } });
  const token = keys.decodeUfragText(/a=ice-ufrag:(\S+)/.exec(answer)![1])!;
  assert.equal(token.locator.kind, 0);
  const shard = (token.locator as { address: TransportAddress }).address;
  const caller = new TestCaller(relay, shard, nextPort++, offer.accept(answer, performance.now()));
  return { caller, id, shard };
}

test('calls are spread over the shards, each reached through its own trunk port, and any is found by its id', async (t) => {
  const transceiver = await start(t);
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
  const transceiver = await start(t, { maxCalls: 1, workers: 1 });
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
  const transceiver = await start(t, { workers: 1 });
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
  const transceiver = await start(t, { workers: 1, agents: [path.join(PROJECT, 'test/fixtures/agents/faulty.js')] });
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
  const transceiver = await start(t, { workers: 1, agents: ['parrot', 'echo'] });
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
  const first = await start(t, { workers: 1 });
  await assert.rejects(start(t, { workers: 1, trunk: first.trunk[0] }), { code: 'EADDRINUSE' });
  await first.close();
  await assert.rejects(start(t, { agents: ['./no-such-agent.js'] }), /the agent file .*no-such-agent\.js does not exist/);
});
