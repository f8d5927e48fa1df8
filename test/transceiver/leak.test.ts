import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { newOffer, TestCaller, TestRelay } from './test-relay.ts';
import { openTestShard } from './test-shard.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const WARM_UP = 1_000;
const CALLS = 10_000;
/** Every so many calls is a whole one: ICE, DTLS, audio to the parrot and back, data channel. */
const WHOLE_EVERY = 40;
const FRAME = new Uint8Array(40).fill(0xf8, 0, 1);

test('10,000 calls leave nothing behind: heap, handles and tables are back where they were', async () => {
  const ended = new Set<string>();
  const shard = await openTestShard({ agents: ['parrot'] }, { callEnded: (callId) => void ended.add(callId) });
  const relay = await TestRelay.open();
  const offer = newOffer();

  async function openAndClose(first: number, count: number): Promise<void> {
    for (let i = first; i < first + count; i++) {
      const { id, answer } = shard.createCall({ offer: offer.offer, session: { type: 'realtime' } });
      if (i % WHOLE_EVERY === 0) {
        const caller = new TestCaller(relay, shard.trunk, 10_000 + (i % 50_000), offer.accept(answer, performance.now()));
        await caller.until('connected');
        caller.session.openChannel({ label: 'oai-events' }, performance.now());
        for (let frame = 0; frame < 5; frame++) caller.sendAudio(FRAME, frame * 960);
        if (!caller.messages.some((message) => message.includes('session.created'))) await caller.until('message');
        caller.close();
      } else {
        shard.hangup(id, 'test');
      }
      while (!ended.has(id)) await new Promise(setImmediate);
    }
    ended.clear();
  }

  await openAndClose(0, WARM_UP);
  const before = snapshot();
  await openAndClose(WARM_UP, CALLS);
  const after = snapshot();
  const { callCount, pathCount } = shard.sizes();
  assert.deepEqual({ callCount, pathCount }, { callCount: 0, pathCount: 0 });
  assert.deepEqual(after.resources, before.resources);
  const growth = after.heap - before.heap;
  // A call that stays behind holds some 100 KiB; one in ten thousand would go unseen, one in three hundred would not.
  assert.ok(growth < 3 * 2 ** 20, `the heap has grown by ${(growth / 2 ** 20).toFixed(1)} MiB`);
  await shard.close('test-over');
  await relay.close();
});

function snapshot(): { heap: number; resources: string[] } {
  collectGarbage();
  collectGarbage();
  return { heap: process.memoryUsage().heapUsed, resources: process.getActiveResourcesInfo().filter((name) => name !== 'Immediate' && name !== 'Timeout').sort() };
}
