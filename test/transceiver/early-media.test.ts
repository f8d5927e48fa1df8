/** `--early-media`, through a shard: what a caller gets that has not shown its certificate. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { newOffer, TestCaller, TestRelay } from './test-relay.ts';
import { openTestShard } from './test-shard.ts';

const TALKER = fileURLToPath(new URL('../e2e/eager-talker.js', import.meta.url));
const CHANNEL = { label: 'oai-events', negotiated: true, id: 0 };

/** A caller whose last flight is held back until `letGo`, and with it the proof of who it is. */
async function unprovenCaller({ earlyMedia }: { earlyMedia: boolean }): Promise<{
  caller: TestCaller;
  /** Resolves when the server has sent its flight once more, since nothing answers it. */
  flightRepeated: () => Promise<unknown>;
  letGo: () => void;
  [Symbol.asyncDispose]: () => Promise<void>;
}> {
  const shard = await openTestShard({ agents: [TALKER], earlyMedia });
  const relay = await TestRelay.open();
  let held = true;
  const send = relay.send.bind(relay);
  relay.send = (to, client, data) => {
    if (!held || !isHandshake13(data)) send(to, client, data);
  };
  const offer = newOffer({ channels: [CHANNEL] });
  const { answer } = shard.createCall({ offer: offer.offer, session: { type: 'realtime' }, eventsChannelId: CHANNEL.id });
  const caller = new TestCaller(relay, shard.trunk, 41_000, offer.accept(answer, performance.now()));
  const flights = new EventEmitter();
  const receive = caller.receive.bind(caller);
  caller.receive = (data) => {
    if (isServerHello(data)) flights.emit('flight');
    receive(data);
  };
  return {
    caller,
    flightRepeated: () => once(flights, 'flight', { signal: AbortSignal.timeout(10_000) }),
    letGo: () => (held = false),
    [Symbol.asyncDispose]: async () => {
      caller.close();
      await shard.close('test-over');
      await relay.close();
    },
  };
}

/** A record of epoch 2 with a unified header: of a client's only its last flight is. */
function isHandshake13([first]: Uint8Array): boolean {
  return (first & 0b1110_0011) === 0b0010_0010;
}

function isServerHello(data: Uint8Array): boolean {
  return data[0] === 22 && data[13] === 2;
}

test('on: the agent and session.created do not wait for the caller’s certificate', async () => {
  await using call = await unprovenCaller({ earlyMedia: true });
  const { caller } = call;
  while (caller.heard === 0 || caller.messages.length === 0) await Promise.race([caller.until('audio'), caller.until('message')]);
  assert.equal((JSON.parse(caller.messages[0]) as { type: string }).type, 'session.created');
});

test('off: neither sound nor events before the certificate has come, both after', async () => {
  await using call = await unprovenCaller({ earlyMedia: false });
  const { caller } = call;
  // The flight itself, and two repetitions: half a second in which the agent would have spoken.
  for (let i = 0; i < 3; i++) await call.flightRepeated();
  assert.deepEqual([caller.heard, caller.messages], [0, []]);
  call.letGo();
  while (caller.heard === 0 || caller.messages.length === 0) await Promise.race([caller.until('audio'), caller.until('message')]);
  assert.equal((JSON.parse(caller.messages[0]) as { type: string }).type, 'session.created');
});
