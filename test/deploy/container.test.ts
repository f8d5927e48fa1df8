import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { PROJECT } from '../support/paths.ts';
import { ownContainers, workloads } from './pods.ts';
import { render } from './helm.ts';

const recipe = readFileSync(path.join(PROJECT, 'deploy/container/Dockerfile'), 'utf8');
const manifest = JSON.parse(readFileSync(path.join(PROJECT, 'package.json'), 'utf8')) as { bin: { earshot: string }; engines: { node: string }; files: string[] };

test('what the image is made of exists and is let through to the build', () => {
  const allowed = readFileSync(path.join(PROJECT, '.dockerignore'), 'utf8').split('\n').filter((line) => line.startsWith('!')).map((line) => line.slice(1));
  const copied = Array.from(recipe.matchAll(/^COPY (?!--from)(.+) \S+$/gm), ([, sources]) => sources.split(' ')).flat();
  assert.ok(copied.length > 5);
  for (const source of copied) {
    assert.ok(existsSync(path.join(PROJECT, source)), source);
    assert.ok(allowed.includes(source), `${source} is in .dockerignore`);
  }
});

test('the image has what the package has to run, and starts it', () => {
  const final = recipe.slice(recipe.lastIndexOf('\nFROM'));
  // The documentation is of no use to a process.
  for (const file of manifest.files.filter((each) => each !== 'docs')) assert.match(final, new RegExp(`^COPY .*\\./${file}$`, 'm'), file);
  assert.ok(final.includes(`ENTRYPOINT ["node", "/app/${manifest.bin.earshot}"]`));
  assert.match(recipe, /npm ci --omit=dev/);
});

test('the image has a version of Node that the package supports', () => {
  const [, major] = /^FROM node:(\d+)-/m.exec(recipe) ?? [];
  const [, least] = />=(\d+)/.exec(manifest.engines.node) ?? [];
  assert.ok(Number(major) > Number(least));
});

test('the image runs as the user that the chart runs it as', () => {
  const [, user] = /^USER (\d+):\d+$/m.exec(recipe) ?? [];
  const manifests = render(['minimal.yaml']);
  assert.equal(ownContainers(manifests).length, 3);
  for (const { spec } of workloads(manifests)) assert.equal(spec.template.spec.securityContext.runAsUser, Number(user));
});
