import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { similarity } from '../support/audio.ts';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../support/earshot-process.ts';
import { decodeHeard, LibdatachannelCaller } from '../support/libdatachannel-caller.ts';
import { follow } from './sideband.ts';
import { metric } from './relay-deployment.ts';
import { startGateway } from './gateway-process.ts';
import { utterance } from './voices.ts';

const SECRET = { EARSHOT_SECRET: 'a secret that all roles of this test share' };
/** Where no relay is: what an answer would name if the transceiver did not heed the gateway. */
const NOWHERE = '127.0.0.1:9';

interface Cluster extends AsyncDisposable {
  readonly relay: EarshotProcess;
  readonly relayHttp: string;
  readonly transceiver: EarshotProcess;
  readonly udp: string;
  readonly http: string;
}

async function startCluster(id: number): Promise<Cluster> {
  const udp = `127.0.0.1:${await freeUdpPort()}`;
  const [http, relayHttp] = [`127.0.0.1:${await freeTcpPort()}`, `127.0.0.1:${await freeTcpPort()}`];
  const [relayTrunk, trunk] = [`127.0.0.1:${await freeUdpPort(2)}`, `127.0.0.1:${await freeUdpPort(2)}`];
  const cluster = ['--cluster', String(id), '--workers', '1'];
  const relay = new EarshotProcess(['relay', '--udp', udp, '--trunk', relayTrunk, '--http', relayHttp, ...cluster], SECRET);
  const transceiver = new EarshotProcess(
    ['transceiver', '--http', http, '--trunk', trunk, '--ingress', NOWHERE, '--agent', 'echo', ...cluster],
    SECRET,
  );
  await Promise.all([relay.ready(`http://${relayHttp}`), transceiver.ready(`http://${http}`)]);
  return {
    relay,
    relayHttp,
    transceiver,
    udp,
    http,
    async [Symbol.asyncDispose]() {
      await Promise.all([relay.kill(), transceiver.kill()]);
    },
  };
}

async function assertEchoes(endpoint: string, udp: string): Promise<void> {
  const hello = await utterance('hello');
  await using caller = await LibdatachannelCaller.call({ endpoint });
  await caller.events.next('session.created');
  assert.equal(caller.remoteAddress(), udp, 'the relay that the gateway chose');
  const spoken = await caller.speak(hello);
  await caller.hears((heard) => (heard.at(-1)?.at ?? 0) > spoken.to + 300);
  const { found } = similarity(hello, decodeHeard(caller.heard));
  assert.ok(found > 0.8, `found ${found} of what was said`);
  assert.equal(await caller.hangUp(), 200, 'the hang-up finds the cluster by the call id');
  await caller.ended();
}

test('a caller is brought to the first cluster, and when that dies to the second, by the same address', { timeout: 90_000 }, async () => {
  await using first = await startCluster(1);
  await using second = await startCluster(2);
  const clusters = Object.entries({ first, second }).map(([name, { http, udp }], i) => ({ id: i + 1, name, signaling: `http://${http}`, udp }));
  await using gateway = await startGateway(clusters, SECRET);
  const { endpoint } = gateway;

  await assertEchoes(endpoint, first.udp);
  await first.transceiver.kill();
  await assertEchoes(endpoint, second.udp);

  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  assert.match(metrics, /earshot_gateway_decisions_total\{cluster="first",reason="first-listed"\} 1/);
  assert.match(metrics, /earshot_gateway_decisions_total\{cluster="second",reason="fail-over"\} 1/);
});

test('a gateway dies: the other one takes new calls, and hang-up and sideband of those that the first one placed', { timeout: 90_000 }, async () => {
  await using cluster = await startCluster(1);
  const clusters = [{ id: 1, name: 'only', signaling: `http://${cluster.http}`, udp: cluster.udp }];
  await using first = await startGateway(clusters, SECRET);
  await using second = await startGateway(clusters, SECRET);
  await using caller = await LibdatachannelCaller.call({ endpoint: first.endpoint });
  await caller.events.next('session.created');
  await first.kill();

  const spoken = await caller.speak(await utterance('hello'));
  await caller.hears((heard) => (heard.at(-1)?.at ?? 0) > spoken.to + 300);
  const { socket, events } = follow(second.url, caller.location);
  await events.next('session.created');
  const closed = once(socket, 'close');
  assert.equal((await fetch(`${second.endpoint}/${caller.location.split('/').at(-1)}`, { method: 'DELETE' })).status, 200);
  await closed;
  await caller.ended();
  await assertEchoes(second.endpoint, cluster.udp);
});

test('a relay dies for good: the gateway notices, and callers are told another one first', { timeout: 90_000 }, async () => {
  await using cluster = await startCluster(1);
  const [udp, http, trunk] = [`127.0.0.1:${await freeUdpPort()}`, `127.0.0.1:${await freeTcpPort()}`, `127.0.0.1:${await freeUdpPort(2)}`];
  await using other = new EarshotProcess(['relay', '--udp', udp, '--trunk', trunk, '--http', http, '--cluster', '1', '--workers', '1'], SECRET);
  await other.ready(`http://${http}`);
  const ingress = [{ address: cluster.udp, http: `http://${cluster.relayHttp}` }, { address: udp, http: `http://${http}` }];
  await using gateway = await startGateway([{ id: 1, name: 'only', signaling: `http://${cluster.http}`, udp, ingress }], SECRET);
  await assertEchoes(gateway.endpoint, cluster.udp);

  await cluster.relay.kill();
  while ((await metric(gateway.url, `earshot_gateway_ingress_condition{ingress="${cluster.udp}",condition="unreachable"}`)) !== 1) await pause(50);
  await assertEchoes(gateway.endpoint, udp);
});
