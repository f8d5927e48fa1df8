import assert from 'node:assert/strict';
import { once, EventEmitter } from 'node:events';
import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ClustersFile } from '../../src/clusters/clusters-file.ts';
import { createLogger } from '../../src/observe/log.ts';

const timeout = 10_000;

function yaml(...names: string[]): string {
  return `clusters:\n${names.map((name, id) => `  - { id: ${id}, name: ${name}, latitude: 0, longitude: 0, signaling: "http://127.0.0.1:1" }\n`).join('')}`;
}

/** A folder, a log to wait for lines of, and nothing left afterwards. */
async function setUp(): Promise<{ folder: string; logged: (words: string) => Promise<void>; lines: string[]; logger: ReturnType<typeof createLogger> } & AsyncDisposable> {
  const folder = await mkdtemp(path.join(tmpdir(), 'earshot-clusters-'));
  const lines: string[] = [];
  const events = new EventEmitter();
  const write = (line: string): void => {
    lines.push(line);
    events.emit('line');
  };
  return {
    folder,
    lines,
    logger: createLogger({ level: 'info', pretty: false, write }),
    async logged(words) {
      while (!lines.some((line) => line.includes(words))) await once(events, 'line');
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

test('a new version comes into force, a bad one is refused with one line and the old one stays', { timeout }, async () => {
  await using set = await setUp();
  const file = path.join(set.folder, 'clusters.yaml');
  await writeFile(file, yaml('one'));
  const clusters = await ClustersFile.open(file, set.logger);
  const seen: string[] = [];
  clusters.onChange(({ list }) => seen.push(list.map(({ name }) => name).join()));
  const changed = setInterval(() => {}, 1000); // The watcher alone keeps nothing alive.

  await writeFile(file, yaml('one', 'two'));
  await set.logged('clusters file reloaded');
  assert.deepEqual(clusters.current.list.map(({ name }) => name), ['one', 'two']);

  await writeFile(file, yaml('one', 'one'));
  await set.logged('is refused');
  assert.equal(clusters.current.list.length, 2);
  const refusal = JSON.parse(set.lines.find((line) => line.includes('refused'))!) as { reason: string; level: string };
  assert.equal(refusal.level, 'error');
  assert.match(refusal.reason, /clusters\[1\]\.name/);

  await writeFile(`${file}.new`, yaml('three'));
  await rename(`${file}.new`, file);
  await set.logged('three');
  assert.deepEqual(seen, ['one,two', 'three']);
  assert.equal(set.lines.filter((line) => line.includes('refused')).length, 1, 'one line for one bad version');
  clusters.close();
  clusters.close();
  clearInterval(changed);
});

test('a version that is swapped in by a link, as volume mounts do, is noticed', { timeout }, async () => {
  await using set = await setUp();
  const file = path.join(set.folder, 'clusters.yaml');
  await writeFile(path.join(set.folder, 'a'), yaml('before'));
  await writeFile(path.join(set.folder, 'b'), yaml('after'));
  await symlink('a', path.join(set.folder, '..data'));
  await symlink('..data', file);
  const clusters = await ClustersFile.open(file, set.logger);
  const keepAlive = setInterval(() => {}, 1000);
  await symlink('b', path.join(set.folder, '..data_tmp'));
  await rename(path.join(set.folder, '..data_tmp'), path.join(set.folder, '..data'));
  await set.logged('after');
  assert.equal(clusters.current.list[0].name, 'after');
  clusters.close();
  clearInterval(keepAlive);
});

test('a file that is not there, or says nothing usable, stops the start with its name', async () => {
  await using set = await setUp();
  const file = path.join(set.folder, 'clusters.yaml');
  await assert.rejects(ClustersFile.open(file, set.logger), /clusters\.yaml cannot be read \(ENOENT\)/);
  await writeFile(file, 'clusters: 3');
  await assert.rejects(ClustersFile.open(file, set.logger), /clusters\.yaml: clusters: /);
});
