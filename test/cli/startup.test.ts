import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { warnOfWeakSecret } from '../../src/cli/environment.ts';
import { createLogger } from '../../src/observe/log.ts';
import { runAll, runReal, SECRET, type Outcome } from './run.ts';

const RELAY = ['relay', '--udp', '127.0.0.1:0', '--trunk', '127.0.0.1:0'];
const TRANSCEIVER = ['transceiver', '--http', '127.0.0.1:0', '--trunk', '127.0.0.1:0', '--ingress', '127.0.0.1:3478'];

const ENV = { EARSHOT_SECRET: SECRET };

/** One line on stderr, exit code 1: what a person or a supervisor can act on. */
function assertOneSentence({ code, stderr }: Outcome, words: RegExp): void {
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^earshot[^\n]*\n$/);
  assert.match(stderr, words);
}

test('a wrong command line ends with one sentence that names what is wrong', async () => {
  const cases: [args: string[], words: RegExp][] = [
    [['relay', '--foo'], /unknown option '--foo'/],
    [['relay', '--htp', '127.0.0.1:1'], /unknown option '--htp' \(Did you mean --http\?\)/],
    [['bogus'], /unknown command 'bogus'/],
    [['relay'], /--udp <addr> is required: give the flag or set EARSHOT_UDP\./],
    [[...RELAY, 'extra'], /too many arguments/],
    [[...RELAY, '--udp', 'nonsense'], /'nonsense' is invalid\. Write host:port/],
    [[...RELAY, '--udp', '127.0.0.1:70000'], /Write host:port/],
    [[...RELAY, '--udp', '300.1.1.1:1'], /Write host:port/],
    [[...RELAY, '--transceivers', '10.0.0.1:7100,10.0.0.2'], /'10\.0\.0\.1:7100,10\.0\.0\.2' is invalid\. Write host:port/],
    [[...RELAY, '--workers', '0'], /Write a whole number from 1 to 256/],
    [[...RELAY, '--workers', '1e3'], /Write a whole number/],
    [[...RELAY, '--engine', 'fast'], /Allowed choices are auto, mmsg, dgram/],
    [[...RELAY, '--idle-timeout', 'soon'], /Write a time as 500ms, 30s, 5m or 1h/],
    [[...RELAY, '--log-level', 'loud'], /Allowed choices/],
    [[...TRANSCEIVER, '--ingress', '127.0.0.1:1,x'], /Write host:port/],
    [[...TRANSCEIVER, '--trunk', '0.0.0.0:7100'], /0\.0\.0\.0:7100 is no address that anybody can send to: say with --advertise-trunk/],
    [[...TRANSCEIVER, '--ingress', '0.0.0.0:3478'], /--ingress/],
    [[...TRANSCEIVER, '--ingress', 'no-such-host.invalid:3478'], /host name "no-such-host\.invalid".*cannot be resolved/],
    [['token', 'encode'], /--locator <addr> is required: give the flag\./],
    [['token', 'encode', '--locator', '[::1]:7100'], /must be an IPv4 address/],
    [['token', 'decode', 'bad'], /"bad" is no routing token/],
  ];
  const outcomes = await runAll(cases.map(([args]) => ({ args, env: ENV })));
  for (const [i, [, words]] of cases.entries()) assertOneSentence(outcomes[i], words);
});

test('a relay or transceiver without a good secret says how to make one', async () => {
  const cases: [args: string[], env: Record<string, string>, words: RegExp][] = [
    ...[RELAY, TRANSCEIVER, ['token', 'decode', 'x']].map((args): [string[], Record<string, string>, RegExp] => [
      args,
      {},
      /EARSHOT_SECRET is not set: make one with `openssl/,
    ]),
    [RELAY, { EARSHOT_SECRET: '' }, /EARSHOT_SECRET is not set/],
  ];
  const outcomes = await runAll(cases.map(([args, env]) => ({ args, env })));
  for (const [i, [, , words]] of cases.entries()) assertOneSentence(outcomes[i], words);
});

test('HTTP beyond loopback without an API key is refused before anything starts', async () => {
  const cases = ['0.0.0.0:0', '[::]:0'].flatMap((http) => [
    { args: [...TRANSCEIVER, '--http', http], env: ENV },
    { args: ['dev', '--http', http], env: ENV },
    { args: [...TRANSCEIVER, '--http', http], env: { ...ENV, EARSHOT_API_KEY: '' } },
  ]);
  for (const outcome of await runAll(cases)) {
    assertOneSentence(outcome, /needs an API key: set --api-key KEY or EARSHOT_API_KEY/);
    assert.equal(outcome.stdout, '');
  }
});

test('an HTTP port in use is named', async () => {
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  const http = `127.0.0.1:${(squatter.address() as AddressInfo).port}`;
  try {
    const outcomes = await runAll([RELAY, TRANSCEIVER, ['dev']].map((args) => ({ args: [...args, '--http', http], env: ENV })));
    for (const outcome of outcomes) assertOneSentence(outcome, new RegExp(`--http ${http} cannot be listened on: another program uses the port`));
  } finally {
    squatter.close();
  }
});

test('a role that cannot start is quoted in one sentence, with its stack only when debugging', async () => {
  const env = { ...ENV, FAKE_RELAY_ERROR: 'Cannot listen on UDP 127.0.0.1:3478: taken' };
  const [relay, agent, debugged] = await runAll([
    { args: RELAY, env },
    { args: [...TRANSCEIVER, '--agent', './no.js'], env: { ...ENV, FAKE_AGENT_ERROR: '1' } },
    { args: [...RELAY, '--log-level', 'debug'], env },
  ]);
  assertOneSentence(relay, /^earshot relay: Cannot listen on UDP 127\.0\.0\.1:3478: taken$/m);
  assertOneSentence(agent, /agent "\.\/no\.js" does not load/);
  assert.equal(debugged.code, 1);
  assert.match(debugged.stderr, /^earshot relay: Cannot listen[^\n]*\n/);
  assert.match(debugged.stderr, /\n +at .*\nCaused by: Error: the cause\n/s);
});

test('a relay whose worker dies ends with a failure, so that a supervisor starts it again', async () => {
  const [outcome] = await runAll([{ args: [...RELAY, '--log-level', 'warn'], env: { ...ENV, FAKE_RELAY_DIES: '1' } }]);
  assertOneSentence(outcome, /^earshot relay: A relay worker has died\.$/m);
});

test('the executable of the package runs', async () => {
  const version = await runReal(['--version']);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  assertOneSentence(await runReal(['transceiver', '--http', '127.0.0.1:0', '--trunk', '127.0.0.1:0', '--ingress', '127.0.0.1:1']), /EARSHOT_SECRET is not set/);
  const stray = await runReal(['relay', '--udp', '127.0.0.1:0', '--trunk', '127.0.0.1:0', '--transceivers', '8.8.8.8:7100'], ENV);
  assertOneSentence(stray, /The transceiver 8\.8\.8\.8:7100 is not IPv4, with a port, in one of the networks of --allow-targets/);
});

test('without arguments the commands are shown', async () => {
  const [{ code, stderr }] = await runAll([{ args: [], env: {} }]);
  assert.equal(code, 1);
  assert.match(stderr, /Commands:/);
});

test('token encode passes its flags on and token decode prints what a relay reads', async () => {
  const [encoded, decoded, ticket] = await runAll([
    { args: ['token', 'encode', '--cluster', '7', '--locator', '127.0.0.1:7100', '--nonce', '5'], env: ENV },
    { args: ['token', 'decode', 'good:client'], env: ENV },
    { args: ['token', 'decode', 'ticket'], env: ENV },
  ]);
  assert.equal(encoded.code, 0);
  assert.match(encoded.stdout, /cluster7.*127.*port7100.*nonce5/);
  assert.deepEqual(decoded, { code: 0, stdout: 'cluster  3\nlocator  127.0.0.1:7100\nnonce    9\n', stderr: '' });
  assert.deepEqual(ticket, { code: 0, stdout: 'cluster  3\nissued   2026-01-01T00:00:00.000Z, for any transceiver of the cluster\n', stderr: '' });
});

test('a short secret is taken, with a warning', () => {
  const lines: string[] = [];
  const logger = createLogger({ level: 'warn', pretty: false, write: (line) => lines.push(line) });
  warnOfWeakSecret({ secret: 'x'.repeat(16) }, logger);
  assert.equal(lines.length, 0);
  warnOfWeakSecret({ secret: 'x'.repeat(16), previousSecret: 'short' }, logger);
  warnOfWeakSecret({ secret: 'short' }, logger);
  assert.equal(lines.length, 2);
  assert.match(lines[0], /fewer than 16 characters/);
});
