import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Agent, AgentCall, AgentSession } from '../../src/agents/agent.ts';
import { echo } from '../../src/agents/echo.ts';
import { parrot } from '../../src/agents/parrot.ts';
import { containAgentFaults } from '../../src/conversation/agent-host.ts';
import { OPUS_SILENCE } from '../../src/media/opus.ts';
import { encodeWav, padded, readWav } from '../media/wav.ts';
import { settled, TestCall } from './harness.ts';
import { seededRandom } from '../support/random.ts';

const speech = encodeWav(padded(readWav('interrupt.wav'), 200, 900));
const boom = (): never => {
  throw new Error('boom');
};
const reject = (): Promise<never> => Promise.reject(new Error('boom'));

function agentWith(session: AgentSession, open?: Agent['open']): Agent {
  return { name: 'faulty', format: { codec: 'pcm16', rate: 8000 }, open: open ?? (() => session) };
}

const FAULTS: Record<string, Agent> = {
  'open throws': agentWith({}, boom),
  'open rejects': agentWith({}, reject),
  'open gives nothing': agentWith({}, () => undefined as unknown as AgentSession),
  'audio throws': agentWith({ audio: boom }),
  'audio rejects': agentWith({ audio: reject }),
  'opus throws': { name: 'faulty', format: { codec: 'opus' }, open: () => ({ opus: boom }) },
  'speechStarted throws': agentWith({ speechStarted: boom }),
  'speechStopped rejects': agentWith({ speechStopped: reject }),
  'answer throws': agentWith({ answer: boom }),
  'answer rejects': agentWith({ answer: reject }),
  'answer plays the wrong format': agentWith({ answer: (response) => response.play(new Uint8Array(10)) }),
  'answer plays without end': agentWith({
    answer: (response) => {
      for (;;) response.play(new Int16Array(80_000));
    },
  }),
  'event throws': agentWith({ event: boom }),
  'interrupted throws': agentWith({ interrupted: boom, answer: (response) => response.play(new Int16Array(80_000)) }),
  'an event is no object': agentWith({}, (call) => ({ audio: () => call.send('hello' as never) })),
  'an event cannot be JSON': agentWith({}, (call) => ({ audio: () => call.send({ type: 'x', big: 1n }) })),
};

for (const [name, agent] of Object.entries(FAULTS)) {
  test(`${name}: the call ends with an error event, and only once`, async () => {
    const call = await new TestCall(agent).start();
    call.send({ type: 'session.update', session: {} });
    await call.say(speech);
    await call.say(speech);
    assert.deepEqual(call.hangups, ['agent_error']);
    const errors = call.events.filter(({ type }) => type === 'error');
    assert.equal(errors.length, 1);
    assert.equal(errors[0]['error'].type, 'server_error');
    assert.equal(errors[0]['error'].code, 'agent_error');
    assert.equal(call.events.at(-1)!.type, 'error', 'nothing follows');
    const created = call.types().filter((type) => type === 'response.created').length;
    assert.equal(call.types().filter((type) => type === 'response.done').length, created, 'no answer is left open');
    assert.ok(call.logged[0] instanceof Error);
    assert.equal(call.conversation.wantsTick, false);
    call.conversation.close('agent_error', call.now);
  });
}

test('an agent that fails in close, or after it, harms nobody', async () => {
  for (const close of [boom, reject]) {
    const call = await new TestCall(agentWith({ close })).start();
    call.conversation.close('bye', call.now);
    await settled();
    assert.deepEqual(call.hangups, []);
    assert.equal(call.logged.length, 1);
  }
});

test('errors that an agent left behind end its own call: timers, forgotten promises, abort listeners', async () => {
  const later: Record<string, (call: AgentCall) => void> = {
    timer: () => void setTimeout(boom, 1),
    promise: () => void reject(),
    'promise after a while': () => void new Promise((resolve) => setTimeout(resolve, 1)).then(boom),
    'abort listener': (call) => {
      call.respond(() => new Promise(() => {})).signal.addEventListener('abort', boom);
      call.respond(() => {});
    },
  };
  // The test runner listens too, and would fail the test for what is contained here.
  const listeners = { unhandledRejection: process.listeners('unhandledRejection'), uncaughtException: process.listeners('uncaughtException') };
  process.removeAllListeners('unhandledRejection');
  process.removeAllListeners('uncaughtException');
  const unowned: unknown[] = [];
  const restore = containAgentFaults((error) => unowned.push(error));
  try {
    for (const [name, start] of Object.entries(later)) {
      const healthy = await new TestCall(parrot).start();
      const call = new TestCall(agentWith({}, (handle) => (start(handle), {})));
      const ended = new Promise<void>((resolve) => {
        const push = call.hangups.push.bind(call.hangups);
        call.hangups.push = (...reasons) => (resolve(), push(...reasons));
      });
      await call.start();
      await ended;
      assert.deepEqual([...call.hangups], ['agent_error'], name);
      assert.deepEqual(healthy.hangups, []);
    }
    assert.deepEqual(unowned, []);
    const seen = new Promise((resolve) => (unowned.push = (error) => (resolve(error), 1)));
    void reject();
    assert.match(String(await seen), /boom/, 'what belongs to no agent is the program\'s own');
  } finally {
    restore();
    for (const listener of listeners.unhandledRejection) process.on('unhandledRejection', listener);
    for (const listener of listeners.uncaughtException) process.on('uncaughtException', listener);
  }
});

test('close is told once, with the reason, also to a session that opens later', async () => {
  const reasons: string[] = [];
  const session: AgentSession = { close: (reason) => void reasons.push(reason) };
  const call = await new TestCall(agentWith(session)).start();
  call.conversation.close('hangup', call.now);
  call.conversation.close('again', call.now);
  assert.deepEqual(reasons, ['hangup']);

  let open: (session: AgentSession) => void = () => {};
  const slow = await new TestCall(agentWith({}, () => new Promise((resolve) => (open = resolve)))).start();
  slow.conversation.close('too slow', slow.now);
  open(session);
  await settled();
  assert.deepEqual(reasons, ['hangup', 'too slow']);
});

test('the agent is told that the server stops, also one that opens later: with the time that is left', async () => {
  const told: number[] = [];
  const session: AgentSession = { draining: ({ withinMs }) => void told.push(withinMs) };
  const call = await new TestCall(agentWith(session)).start();
  call.conversation.drain(60_000, call.now);
  assert.deepEqual(told, [60_000]);

  let open: (session: AgentSession) => void = () => {};
  const slow = await new TestCall(agentWith({}, () => new Promise((resolve) => (open = resolve)))).start();
  slow.conversation.drain(60_000, slow.now);
  slow.send({ type: 'input_audio_buffer.clear' });
  slow.now += 500;
  open(session);
  await settled();
  assert.deepEqual(told, [60_000, 59_500]);
  await new TestCall(agentWith({})).start().then((other) => other.conversation.drain(1000, other.now));
});

test('after the end an agent can do nothing any more', async () => {
  let handle: AgentCall | undefined;
  const call = await new TestCall(agentWith({}, (given) => ((handle = given), {}))).start();
  const events = call.events.length;
  call.conversation.close('bye', call.now);
  assert.equal(handle!.signal.aborted, true);
  assert.equal(handle!.respond((response) => response.play(new Int16Array(8000))).signal.aborted, true);
  handle!.send({ type: 'x' });
  handle!.clear();
  handle!.forward({ packet: new Uint8Array(3), timestamp: 0, duration: 960 });
  handle!.hangup();
  call.conversation.handleAudio(speech[0], 1, 1, call.now);
  call.send({ type: 'session.update', session: {} });
  call.conversation.tick(call.now);
  assert.equal(call.events.length, events);
  assert.deepEqual([call.frames.length, call.hangups.length], [0, 0]);
});

test('audio packets of arbitrary bytes, numbers and times harm nothing', async () => {
  for (const agent of [echo, parrot]) {
    const call = await new TestCall(agent).start();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.oneof(fc.nat(500), fc.maxSafeInteger()), fc.oneof(fc.nat(500_000), fc.maxSafeInteger()), fc.nat(50), (bytes, sequence, timestamp, wait) => {
        call.now += wait;
        call.conversation.handleAudio(bytes, sequence, timestamp, call.now);
        if (call.conversation.wantsTick) call.conversation.tick(call.now);
        call.frames.length = 0;
        call.events.length = 0;
      }),
      { numRuns: 10_000, seed: 2 },
    );
    assert.deepEqual(call.hangups, []);
    assert.deepEqual(call.logged, []);
  }
});

const MESSAGES = [
  { type: 'session.update', event_id: 'e1', session: { type: 'realtime', instructions: 'Be kind.', tools: [{ type: 'function', name: 'f' }], audio: { input: { turn_detection: { type: 'server_vad', threshold: 0.5 } }, output: { voice: 'marin' } } } },
  { type: 'session.update', session: { audio: { input: { turn_detection: null } } } },
  { type: 'conversation.item.create', previous_item_id: 'root', item: { id: 'i1', type: 'message', role: 'user', content: [{ type: 'input_text', text: 'hi' }] } },
  { type: 'conversation.item.retrieve', item_id: 'i1' },
  { type: 'conversation.item.delete', item_id: 'i1' },
  { type: 'response.create', response: { instructions: 'Short.' } },
  { type: 'response.cancel', response_id: 'resp_1' },
  { type: 'input_audio_buffer.commit' },
  { type: 'output_audio_buffer.clear' },
].map((message) => JSON.stringify(message));

test('100,000 messages, real ones cut and garbled, get at most an error', async () => {
  const answer: AgentSession['answer'] = (response) => response.play(OPUS_SILENCE);
  const agent: Agent = { name: 'brief', format: { codec: 'opus' }, open: () => ({ answer }) };
  const random = seededRandom(100_000);
  const pick = (count: number): number => Math.floor(random() * count);
  const alphabet = '{}[]",:0.-e\\u\u0000é null true __proto__';
  let call = await new TestCall(agent).start();
  let rejected = 0;
  for (let i = 0; i < 100_000; i++) {
    // Garbled field names are kept in the session: a new call now and then keeps it small.
    if (i % 500 === 499) {
      rejected += call.conversation.counters.eventsRejected;
      assert.deepEqual([call.hangups, call.logged], [[], []]);
      call = await new TestCall(agent).start();
    }
    let text = MESSAGES[pick(MESSAGES.length)];
    for (let edits = pick(4); edits > 0; edits--) {
      const at = pick(text.length + 1);
      const end = at + pick(6);
      const junk = alphabet.slice(pick(alphabet.length)).slice(0, pick(5));
      text = text.slice(0, at) + junk + text.slice(end);
    }
    if (pick(10) === 0) text = text.slice(0, pick(text.length));
    call.events.length = 0;
    call.now += 20;
    call.conversation.handleEvent(text, call.now);
    if (call.conversation.wantsTick) call.conversation.tick(call.now);
    assert.ok(call.events.length <= 16, text);
  }
  assert.ok(rejected > 20_000 && rejected < 90_000, `${rejected}`);
});

test('messages of arbitrary JSON get at most an error, and pollute no prototype', async () => {
  const call = await new TestCall(parrot).start();
  const types = ['session.update', 'conversation.item.create', 'conversation.item.retrieve', 'response.create', '__proto__', 'toString'];
  const value = fc.jsonValue({ maxDepth: 2 });
  const field = fc.constantFrom('session', 'item', 'item_id', 'event_id', 'response', 'previous_item_id', '__proto__', 'constructor');
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.array(fc.tuple(field, value), { maxLength: 3 }), (type, fields) => {
      const body = fields.map(([name, content]) => `${JSON.stringify(name)}:${JSON.stringify(content)}`);
      call.conversation.handleEvent(`{${[`"type":"${type}"`, ...body].join(',')}}`, call.now);
      call.events.length = 0;
    }),
    { numRuns: 5000, seed: 3 },
  );
  assert.deepEqual([call.hangups, call.logged], [[], []]);
  assert.deepEqual(Object.keys(Object.prototype), []);
});
