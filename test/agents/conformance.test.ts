import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadAgent } from '../../src/agents/load.ts';
import { opusPacketDuration } from '../../src/media/opus.ts';
import { settled, TestCall } from '../conversation/harness.ts';
import { encodeWav, padded, readWav } from '../media/wav.ts';

const root = new URL('../../../', import.meta.url);
const hello = encodeWav(padded(readWav('hello.wav'), 200, 900));
const interrupt = encodeWav(padded(readWav('interrupt.wav'), 0, 900));

/** What any agent must do; one that is added is named here. */
for (const name of ['echo', 'parrot', './examples/tone-agent.js']) {
  test(`${name} answers a spoken turn with valid Opus, in media time that never goes back`, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const call = await new TestCall(await loadAgent(name, { directory: root.pathname })).start();
    for (const packet of hello) {
      await call.say([packet]);
      t.mock.timers.tick(20);
    }
    for (let i = 0; i < 150; i++) {
      await call.step();
      t.mock.timers.tick(20);
    }
    assert.ok(call.frames.length > 20);
    for (const [i, frame] of call.frames.entries()) {
      assert.equal(opusPacketDuration(frame.opus), frame.duration);
      if (i > 0) assert.ok(frame.mediaTime >= call.frames[i - 1].mediaTime + call.frames[i - 1].duration);
    }
    assert.deepEqual(call.hangups, []);
    assert.equal(call.conversation.wantsTick, false, 'nothing goes on for ever');
  });

  test(`${name} goes through two turns with interruptions, and closes at any moment`, async () => {
    const agent = await loadAgent(name, { directory: root.pathname });
    for (const end of [0, 3, 60, 140, 260]) {
      const call = await new TestCall(agent).start();
      await call.say([...hello, ...interrupt, ...hello].slice(0, end));
      call.send({ type: 'response.create' });
      call.conversation.close('test', call.now);
      const { length } = call.frames;
      await call.wait(200);
      await settled();
      assert.equal(call.frames.length, length, 'nothing leaves after the end');
      assert.deepEqual(call.logged, []);
    }
  });
}
