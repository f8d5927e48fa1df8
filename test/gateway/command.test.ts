import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { CliProcess, runAll, SECRET } from '../cli/run.ts';

const ENV = { EARSHOT_SECRET: SECRET };
const GATEWAY = ['gateway', '--http', '127.0.0.1:0', '--clusters'];
const CLUSTERS = 'clusters: [{ id: 1, name: one, latitude: 0, longitude: 0, signaling: "http://127.0.0.1:1" }]';

test('a gateway that cannot start says in one sentence what is wrong', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'earshot-command-'));
  const good = path.join(folder, 'good.yaml');
  const bad = path.join(folder, 'bad.yaml');
  await writeFile(good, CLUSTERS);
  await writeFile(bad, CLUSTERS.replace('latitude: 0', 'latitude: 100'));
  const cases: [args: string[], env: Record<string, string>, words: RegExp][] = [
    [['gateway', '--http', '127.0.0.1:0'], ENV, /--clusters <file> is required: give the flag or set EARSHOT_CLUSTERS\./],
    [[...GATEWAY, path.join(folder, 'none.yaml')], ENV, /none\.yaml cannot be read \(ENOENT\)/],
    [[...GATEWAY, bad], ENV, /bad\.yaml: clusters\[0\]\.latitude: /],
    [[...GATEWAY, good, '--geoip', bad], ENV, /--geoip .*bad\.yaml cannot be used: it is no database in MMDB format/],
    [[...GATEWAY, good, '--trust-headers', 'all'], ENV, /Allowed choices are cloudflare, cloudfront, generic/],
    [[...GATEWAY, good, '--trust-proxies', '10.0.0.0/8,cdn'], ENV, /"cdn" is not a network/],
    [[...GATEWAY, good], {}, /EARSHOT_SECRET is not set/],
  ];
  const outcomes = await runAll(cases.map(([args, env]) => ({ args, env })));
  for (const [i, [args, , words]] of cases.entries()) {
    assert.equal(outcomes[i].code, 1, args.join(' '));
    assert.match(outcomes[i].stderr, /^earshot[^\n]*\n$/);
    assert.match(outcomes[i].stderr, words);
  }
  await rm(folder, { recursive: true });
});

test('a gateway without a living cluster is not ready, serves metrics, and ends on SIGTERM', { timeout: 30_000 }, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'earshot-command-'));
  const file = path.join(folder, 'clusters.yaml');
  await writeFile(file, CLUSTERS);
  const cli = new CliProcess([...GATEWAY, file, '--drain-timeout', '0s'], ENV);
  const [, address] = await cli.printed(/"http":"(127\.0\.0\.1:\d+)"/);
  assert.equal((await fetch(`http://${address}/readyz`)).status, 503);
  const metrics = await (await fetch(`http://${address}/metrics`)).text();
  assert.match(metrics, /^earshot_gateway_cluster_condition\{cluster="one",condition="unreachable"\} 1$/m);
  cli.kill('SIGTERM');
  assert.equal((await cli.ended()).code, 0);
  await rm(folder, { recursive: true });
});
