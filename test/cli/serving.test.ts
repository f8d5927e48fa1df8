import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OFFER } from '../signaling/harness.ts';
import { CliProcess, SECRET } from './run.ts';

const ENV = { EARSHOT_SECRET: SECRET };
const DEV = ['dev', '--http', '127.0.0.1:0', '--udp', '127.0.0.1:0'];
const TRANSCEIVER = ['transceiver', '--http', '127.0.0.1:0', '--trunk', '127.0.0.1:7100', '--ingress', '203.0.113.9:3478,[2001:db8::1]:3478'];
const timeout = 30_000;

/** What a fake role printed that it was started with. */
async function startedWith(cli: CliProcess, role: string): Promise<Record<string, unknown>> {
  const [, json] = await cli.printed(new RegExp(`^@${role} (.*)$`, 'm'));
  return JSON.parse(json) as Record<string, unknown>;
}

test('dev starts all parts, prints where to go, takes calls without a key, and stops cleanly', { timeout }, async () => {
  const cli = new CliProcess(DEV);
  const [, url] = await cli.printed(/Talk +(http:\/\/127\.0\.0\.1:\d+)\//);
  const relay = await startedWith(cli, 'relay');
  const transceiver = await startedWith(cli, 'transceiver');
  assert.equal(relay['secret'], transceiver['secret']);
  assert.ok(String(relay['secret']).length >= 32, 'a secret of its own');
  assert.deepEqual(transceiver['ingress'], [{ family: 4, ip: '127.0.0.1', port: 50_000 }], 'the port that the relay got');
  assert.deepEqual(relay['transceivers'], []);
  assert.deepEqual((await startedWith(cli, 'transceivers') as unknown as { port: number }[]).map(({ port }) => port), [7100, 7101], 'one per worker');
  const answer = await fetch(`${url}/v1/realtime/calls`, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: OFFER });
  assert.equal(answer.status, 201);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  for (const line of ['earshot_relay_flows 2', 'earshot_calls 0', 'role="dev"']) assert.ok(metrics.includes(line), line);
  cli.kill('SIGINT');
  const { code, stdout, stderr } = await cli.ended();
  assert.equal(code, 0, stderr);
  assert.match(stdout, /@draining \{"timeoutMs":2000\}\n@closed "transceiver"\n@closed "relay"\n$/);
  assert.doesNotMatch(stdout.replace(/^@.*$/gm, '') + stderr, new RegExp(String(relay['secret']).slice(0, 20).replaceAll(/[+/]/g, '.')));
});

test('dev on all addresses tells callers addresses that exist', { timeout }, async () => {
  const cli = new CliProcess(['dev', '--http', '127.0.0.1:0', '--udp', '0.0.0.0:0']);
  const { ingress } = (await startedWith(cli, 'transceiver')) as { ingress: { ip: string; port: number }[] };
  assert.ok(ingress.some(({ ip }) => ip === '127.0.0.1'));
  assert.ok(ingress.every(({ ip, port }) => ip !== '0.0.0.0' && port === 50_000));
  await cli.printed(/Talk/);
  cli.kill('SIGTERM');
  assert.equal((await cli.ended()).code, 0);
});

test('a transceiver asks for its key, is told its flags, and drains within its time', { timeout }, async () => {
  const cli = new CliProcess([...TRANSCEIVER, '--agent', 'echo', '--workers', '3', '--ticket-lifetime', '5m', '--redis', 'redis://127.0.0.1:1', '--max-calls', '5', '--early-media', 'off', '--drain-timeout', '100ms'], {
    ...ENV,
    EARSHOT_SECRET_PREVIOUS: 'the secret before that one',
    EARSHOT_API_KEY: 'the-api-key',
    EARSHOT_CLUSTER: '9',
    EARSHOT_MAX_CALLS: '6',
    FAKE_LIVE_CALLS: '1',
  });
  const options = await startedWith(cli, 'transceiver');
  assert.deepEqual(options, {
    secret: SECRET,
    previousSecret: 'the secret before that one',
    trunk: { family: 4, ip: '127.0.0.1', port: 7100 },
    ingress: [
      { family: 4, ip: '203.0.113.9', port: 3478 },
      { family: 6, ip: '32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.1', port: 3478 },
    ],
    cluster: 9,
    agents: ['echo'],
    agentSettings: {},
    maxDurationMs: 3_600_000,
    workers: 3,
    maxCalls: 5,
    trunkMtu: 1472,
    earlyMedia: false,
    ticketLifetimeMs: 300_000,
    store: 'redis://127.0.0.1:1',
    logLevel: 'info',
  });
  const [, address] = await cli.printed(/"http":"(127\.0\.0\.1:\d+)"/);
  const offer = (key: string): Promise<Response> =>
    fetch(`http://${address}/v1/realtime/calls`, { method: 'POST', headers: { 'Content-Type': 'application/sdp', Authorization: `Bearer ${key}` }, body: OFFER });
  assert.equal((await offer('wrong')).status, 401);
  assert.equal((await offer('the-api-key')).status, 201);
  cli.kill('SIGTERM');
  const { code, stdout } = await cli.ended();
  assert.equal(code, 0);
  assert.match(stdout, /@draining \{"timeoutMs":100\}\n@closed "transceiver"\n$/);
});

test('while it drains, a transceiver is not ready, takes no call, and a second signal ends it at once', { timeout }, async () => {
  const cli = new CliProcess([...TRANSCEIVER, '--drain-timeout', '1h'], { ...ENV, FAKE_LIVE_CALLS: '1' });
  const [, address] = await cli.printed(/"http":"(127\.0\.0\.1:\d+)"/);
  assert.equal((await fetch(`http://${address}/readyz`)).status, 200);
  cli.kill('SIGTERM');
  await cli.printed(/@draining/);
  assert.equal((await fetch(`http://${address}/readyz`)).status, 503);
  const refused = await fetch(`http://${address}/v1/realtime/calls`, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: OFFER });
  assert.equal(refused.status, 503);
  cli.kill('SIGTERM');
  const { code, stdout } = await cli.ended();
  assert.equal(code, 128 + 15);
  assert.doesNotMatch(stdout, /@closed/);
});

test('the Ctrl+C that npm repeats does not cut the drain short', { timeout }, async () => {
  const cli = new CliProcess([...DEV, '--drain-timeout', '300ms'], { FAKE_LIVE_CALLS: '1' });
  await cli.printed(/Talk/);
  cli.kill('SIGINT');
  await cli.printed(/a second signal ends at once/);
  cli.kill('SIGINT');
  const { code, stdout } = await cli.ended();
  assert.equal(code, 0);
  assert.match(stdout, /@closed "relay"/);
});

test('a relay serves probes and metrics, is told its flags, and forwards on while it drains', { timeout }, async () => {
  const cli = new CliProcess(
    ['relay', '--udp', '[::]:3478', '--trunk', 'localhost:7000', '--http', '127.0.0.1:0', '--drain-timeout', '1h'],
    { ...ENV, EARSHOT_ALLOW_TARGETS: '10.0.0.0/8, 192.0.2.0/24', EARSHOT_WORKERS: '2', EARSHOT_IDLE_TIMEOUT: '2m', EARSHOT_ENGINE: 'dgram', EARSHOT_TRANSCEIVERS: 'voice:7100, 10.0.0.7:7200' },
  );
  assert.deepEqual(await startedWith(cli, 'relay'), {
    secret: SECRET,
    udp: { family: 6, ip: new Array(16).fill(0).join('.'), port: 3478 },
    trunk: { family: 4, ip: '127.0.0.1', port: 7000 },
    allowTargets: ['10.0.0.0/8', '192.0.2.0/24'],
    cluster: 0,
    transceivers: ['voice:7100', '10.0.0.7:7200'],
    engine: 'dgram',
    workers: 2,
    maxFlows: 65_536,
    idleTimeoutMs: 120_000,
    trunkMtu: 1472,
    gatherUs: 200,
  });
  const [, address] = await cli.printed(/Server listening at http:\/\/(127\.0\.0\.1:\d+)/);
  await cli.printed(/relay started/);
  assert.equal((await fetch(`http://${address}/readyz`)).status, 200);
  assert.match(await (await fetch(`http://${address}/metrics`)).text(), /^earshot_relay_flows 2$/m);
  cli.kill('SIGTERM');
  await cli.printed(/@relay-draining \{"timeoutMs":3600000\}/);
  assert.equal((await fetch(`http://${address}/readyz`)).status, 503);
  assert.equal((await fetch(`http://${address}/healthz`)).status, 200);
  assert.doesNotMatch(cli.stdout, /@closed/);
  cli.kill('SIGINT');
  assert.equal((await cli.ended()).code, 128 + 2);
});

test('a relay needs no HTTP and ends with its drain', { timeout }, async () => {
  const cli = new CliProcess(['relay', '--udp', '127.0.0.1:0', '--trunk', '127.0.0.1:0', '--drain-timeout', '0s'], ENV);
  await cli.printed(/relay started/);
  cli.kill('SIGTERM');
  const { code, stdout } = await cli.ended();
  assert.equal(code, 0);
  assert.match(stdout, /@closed "relay"\n$/);
});
