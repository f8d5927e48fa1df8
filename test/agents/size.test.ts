import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { PROJECT } from '../support/paths.ts';

function lines(file: string): number {
  return readFileSync(path.join(PROJECT, file), 'utf8').trimEnd().split('\n').length;
}

/** A page is a hundred lines here; each file of an agent can be read by itself. */
test('built-in agents stay within two pages, as they serve as examples', () => {
  for (const file of readdirSync(path.join(PROJECT, 'src/agents')).filter((name) => name !== 'agent.ts')) {
    assert.ok(lines(`src/agents/${file}`) <= 210, `${file} has ${lines(`src/agents/${file}`)} lines`);
  }
});

test('every example is a complete agent in under 60 lines', () => {
  for (const file of readdirSync(path.join(PROJECT, 'examples'))) assert.ok(lines(`examples/${file}`) < 60, file);
});
