import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startDev } from '../support/earshot-process.ts';
import { LibdatachannelCaller } from '../support/libdatachannel-caller.ts';
import { RealtimeServer } from '../support/realtime-server.ts';

const KEY = 'sk-upstream';
const LIMIT = { timeout: 60_000 };
let directory: string;
let certificate: string;
let server: RealtimeServer;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'earshot-tls-'));
  certificate = path.join(directory, 'cert.pem');
  const key = path.join(directory, 'key.pem');
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', ...subject, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  server = await RealtimeServer.start(KEY, { cert: await readFile(certificate, 'utf8'), key: await readFile(key, 'utf8') });
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

test('a call is bridged over TLS to a server whose certificate is trusted', LIMIT, async () => {
  assert.match(server.url, /^wss:/);
  await using dev = await startDev(['--agent', 'realtime', '--upstream', server.url], { EARSHOT_UPSTREAM_KEY: KEY, NODE_EXTRA_CA_CERTS: certificate });
  await using caller = await LibdatachannelCaller.call({ endpoint: dev.endpoint });
  const { event } = await caller.events.next('session.created');
  assert.equal((event['session'] as { id: string }).id, 'sess_upstream');
});

test('a certificate that nobody trusts ends the call at once, and is named', LIMIT, async () => {
  await using dev = await startDev(['--agent', 'realtime', '--upstream', server.url], { EARSHOT_UPSTREAM_KEY: KEY });
  await using caller = await LibdatachannelCaller.call({ endpoint: dev.endpoint });
  const { event } = await caller.events.next('error');
  const { code, message } = event['error'] as { code: string; message: string };
  assert.equal(code, 'upstream_unavailable');
  assert.match(message, /DEPTH_ZERO_SELF_SIGNED_CERT/);
  assert.doesNotMatch(message, /127\.0\.0\.1/);
  await caller.ended();
});
