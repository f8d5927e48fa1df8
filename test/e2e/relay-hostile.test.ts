import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { parseAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { TrunkCookies, TrunkEntry, writeTrunkHeader } from '../../src/wire/trunk.ts';
import { bindingRequest } from '../relay/support/stun.ts';
import { Callers, Deployment } from './relay-deployment.ts';

const CALLS = 20;
const FLOOD_MS = 3000;
/** Datagrams of each attacker every 5 ms. */
const BURST = 8;

const FORGER = new RoutingKeys('a secret that the attacker guessed');
const locator = { kind: 0, address: parseAddress('127.0.0.1:9') } as const;

/** What the attackers send to the public port, and what has to count it. */
const ATTACKS: readonly { readonly name: string; readonly make: (i: number) => Uint8Array; readonly drop: RegExp }[] = [
  { name: 'noise', make: () => randomBytes(100), drop: /not-webrtc/ },
  { name: 'voice of nobody', make: () => Buffer.concat([Buffer.from([0x80, 111]), randomBytes(100)]), drop: /unknown-flow/ },
  { name: 'forged tokens', make: (i) => bindingRequest(`${FORGER.encodeUfrag({ cluster: 0, locator, nonce: i & 0xffff })}:x`), drop: /token-invalid/ },
  { name: 'broken STUN', make: (i) => bindingRequest('abcd:efgh').subarray(0, 21 + (i % 12)), drop: /stun-malformed/ },
];

test('a flood of everything that is no call costs the calls nothing, and gets not one byte back', { timeout: 60_000 }, async (context) => {
  await using deployment = await Deployment.start({ agent: 'echo' });
  await using callers = await Callers.place(deployment.endpoint, CALLS);
  const relay = parseAddress(deployment.udp);
  const trunk = parseAddress(deployment.trunk);
  const sockets = await Promise.all(ATTACKS.map(openAttacker));
  let answers = 0;
  for (const socket of sockets) socket.on('message', () => answers++);
  const since = performance.now();
  let sent = 0;
  const until = performance.now() + FLOOD_MS;
  while (performance.now() < until) {
    for (const [i, { make }] of ATTACKS.entries()) {
      for (let n = 0; n < BURST; n++) sockets[i].send(make(sent++), relay.port, '127.0.0.1');
      sockets[i].send(spoofedTrunk(sockets[i].address().port), trunk.port, '127.0.0.1');
    }
    await pause(5);
  }
  const { sent: frames, lost } = await callers.fallSilent(since);
  context.diagnostic(`${sent} hostile datagrams in ${FLOOD_MS / 1000} s; ${lost} of ${frames} frames of ${CALLS} calls lost`);
  assert.ok(lost <= frames / 1000, `${lost} of ${frames} frames lost`);
  assert.deepEqual(callers.lines.flatMap(({ ended }) => ended ?? []), []);
  assert.equal(answers, 0);
  assert.equal(await deployment.relayMetric('flows'), CALLS, 'no flow was made');
  for (const { name, drop } of ATTACKS) {
    const reason = drop.source;
    assert.ok((await deployment.relayMetric(`dropped_total{reason="${reason}"}`)) > 0, `${name} is not counted as ${reason}`);
  }
  assert.ok((await deployment.relayMetric('dropped_total{reason="trunk-cookie"}')) > 0, 'spoofed trunk datagrams are not counted');
  for (const socket of sockets) socket.close();
});

/** On a port of its own; a test that fails leaves it without keeping the process alive. */
async function openAttacker(): Promise<Socket> {
  const socket = createSocket('udp4').unref();
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** What would have the relay send to `port`, and learn it as a flow, if it came from a transceiver. */
function spoofedTrunk(port: number): Uint8Array {
  const data = new Uint8Array(200);
  const start = writeTrunkHeader(data, 0, true, 0, new TrunkCookies('a secret that the attacker guessed'));
  const payload = randomBytes(20);
  const entry = Object.assign(new TrunkEntry(), parseAddress(`127.0.0.1:${port}`), { verified: true, payload, payloadLength: 20 });
  return data.slice(0, entry.write(data, start));
}
