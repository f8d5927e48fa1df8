/** The agents that the pages show are whole, and run as they stand there. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { loadAgent } from '../../src/agents/load.ts';
import { TestCall } from '../conversation/harness.ts';
import { encodeWav, padded, readWav } from '../media/wav.ts';
import { PROJECT } from '../support/paths.ts';

for (const page of ['README.md', 'docs/agents.md']) {
  test(`the agent in ${page} answers a caller`, async (t) => {
    const directory = await mkdtemp(path.join(tmpdir(), 'earshot-page-'));
    t.after(() => rm(directory, { recursive: true }));
    const text = await readFile(path.join(PROJECT, page), 'utf8');
    const code = [...text.matchAll(/```js\n(.*?)```/gs)].map(([, block]) => block).find((block) => block.includes('export default'));
    await writeFile(path.join(directory, 'agent.mjs'), code!);
    const call = await new TestCall(await loadAgent('./agent.mjs', { directory })).start();
    await call.wait(1000);
    await call.say(encodeWav(padded(readWav('hello.wav'), 200, 900)));
    await call.wait(2000);
    assert.equal(call.last('response.done')['response'].status, 'completed');
    assert.ok(call.frames.length > 20);
    assert.deepEqual(call.hangups, []);
  });
}
