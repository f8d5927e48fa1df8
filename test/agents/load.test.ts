import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { echo } from '../../src/agents/echo.ts';
import { AgentLoadError, loadAgent, loadAgents } from '../../src/agents/load.ts';
import { parrot } from '../../src/agents/parrot.ts';

const directory = mkdtempSync(join(tmpdir(), 'earshot-agents-'));
after(() => rmSync(directory, { recursive: true }));

test('built-in agents have names', async () => {
  assert.equal(await loadAgent('echo'), echo);
  assert.equal(await loadAgent('parrot'), parrot);
});

test('a module is loaded from the directory given, or by its whole path', async () => {
  writeFileSync(join(directory, 'good.mjs'), 'export default { name: "good", format: { codec: "opus" }, open: () => ({}) };');
  assert.equal((await loadAgent('./good.mjs', { directory })).name, 'good');
  assert.equal((await loadAgent(join(directory, 'good.mjs'))).name, 'good');
});

const FAULTY: [file: string, source: string, message: RegExp][] = [
  ['syntax.mjs', 'export default {', /does not load: SyntaxError/],
  ['throws.mjs', 'throw new Error("no licence\\nsecond line")', /does not load: Error: no licence$/],
  ['missing-import.mjs', 'import "./nowhere.mjs"', /does not load: Error: Cannot find module/],
  ['no-default.mjs', 'export const agent = {}', /is no agent: its default export must be an object/],
  ['no-name.mjs', 'export default { open() {}, format: { codec: "opus" } }', /"name" must be/],
  ['no-open.mjs', 'export default { name: "x", format: { codec: "opus" } }', /"open" must be/],
  ['no-format.mjs', 'export default { name: "x", open() {} }', /"format" must be/],
  ['bad-rate.mjs', 'export default { name: "x", open() {}, format: { codec: "pcm16", rate: 44100 } }', /"format.rate" must be/],
  ['bad-turns.mjs', 'export default { name: "x", open() {}, format: { codec: "opus" }, turns: 1 }', /"turns" must be/],
];

for (const [file, source, message] of FAULTY) {
  test(`${file} gives one clear sentence`, async () => {
    writeFileSync(join(directory, file), source);
    await assert.rejects(loadAgent(`./${file}`, { directory }), (error) => {
      assert.ok(error instanceof AgentLoadError);
      assert.match(error.message, message);
      assert.equal(error.message.includes('\n'), false);
      return true;
    });
  });
}

test('an unknown name tells what there is', async () => {
  await assert.rejects(loadAgent('parot'), /there is no agent "parot": use parrot, echo, realtime, cascade, or the path/);
});

test('several agents are told apart by their names', async () => {
  writeFileSync(join(directory, 'second.mjs'), 'export default { name: "echo", format: { codec: "opus" }, open: () => ({}) };');
  assert.deepEqual(await loadAgents(['parrot', 'echo']), [parrot, echo]);
  await assert.rejects(loadAgents(['echo', './second.mjs'], { directory }), /two agents have the name "echo"/);
  await assert.rejects(loadAgents([]), /there is no agent/);
});

test('a file that is not there, or a directory, is named', async () => {
  await assert.rejects(loadAgent('./none.js', { directory }), /none\.js does not exist/);
  await assert.rejects(loadAgent('./', { directory }), /does not exist/);
});
