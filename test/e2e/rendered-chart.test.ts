import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../support/earshot-process.ts';
import { find, render } from '../deploy/helm.ts';
import { commandLine, type Container, ownContainers, portNumber } from '../deploy/pods.ts';

const SECRETS = { EARSHOT_SECRET: 'a secret of the chart tests', EARSHOT_API_KEY: 'key' };
const OFFER = { method: 'POST', headers: { 'Content-Type': 'application/sdp', Authorization: 'Bearer key' }, body: 'v=0\r\n' };

/**
 * There is no cluster here, so this does what one would: it takes the containers as rendered, gives them the addresses of
 * this machine and the files of their volumes, starts them and asks their own probes.
 */
test('the rendered containers start, become ready as their probes ask, and find each other', async () => {
  const ports = { relay: await freeTcpPort(), transceiver: await freeTcpPort(), gateway: await freeTcpPort(), udp: await freeUdpPort() };
  const trunks = { relay: await freeUdpPort(), transceiver: await freeUdpPort() };
  const manifests = render(['minimal.yaml'], [
    `ingress={127.0.0.1:${ports.udp}}`,
    `relay.port=${ports.udp},relay.httpPort=${ports.relay},relay.trunkPort=${trunks.relay},relay.bind=127.0.0.1`,
    `transceiver.httpPort=${ports.transceiver},transceiver.trunkPort=${trunks.transceiver},transceiver.workers=1`,
    `gateway.httpPort=${ports.gateway}`,
    'redis.url=redis://127.0.0.1:1',
  ]);
  const folder = mkdtempSync(path.join(tmpdir(), 'earshot-chart-'));
  const { 'clusters.yaml': clusters } = find(manifests, 'ConfigMap', '-clusters')['data'] as { 'clusters.yaml': string };
  const service = 'edge-earshot-transceiver';
  writeFileSync(path.join(folder, 'clusters.yaml'), clusters.replaceAll(service, '127.0.0.1'));
  const started: EarshotProcess[] = [];
  try {
    const containers = ownContainers(manifests);
    // A gateway is ready when its cluster is.
    for (const role of ['relay', 'transceiver', 'gateway']) {
      const container = containers.find(({ name }) => name === role);
      assert.ok(container, role);
      const process = new EarshotProcess(onThisMachine(container, folder), environment(container));
      started.push(process);
      await process.ready(probed(container));
    }
    // An offer that is none, through the gateway: the transceiver itself refuses it, with the key of the chart.
    const refused = await fetch(`http://127.0.0.1:${ports.gateway}/v1/realtime/calls`, OFFER);
    assert.equal(refused.status, 400, await refused.text());
    await Promise.all(started.map((each) => each.stop()));
  } finally {
    await Promise.all(started.map((each) => each.kill()));
    rmSync(folder, { recursive: true });
  }
});

test('a relay of a DaemonSet with handover passes its sockets to the next pod, waits, and the next does the same', async () => {
  const ports = { http: await freeTcpPort(), udp: await freeUdpPort(), trunk: await freeUdpPort() };
  const manifests = render(['host-network.yaml'], [
    `relay.port=${ports.udp},relay.httpPort=${ports.http},relay.trunkPort=${ports.trunk},relay.bind=127.0.0.1,relay.drainSeconds=1`,
    // The name of the socket is one of the machine.
    `fullnameOverride=test-${process.pid}`,
  ]);
  const container = ownContainers(manifests).find(({ name }) => name === 'relay')!;
  const started: EarshotProcess[] = [];
  const start = async (): Promise<EarshotProcess> => {
    const relay = new EarshotProcess(onThisMachine(container, tmpdir()), environment(container));
    started.push(relay);
    await relay.printed(/relay started/);
    await relay.ready(probed(container));
    return relay;
  };
  try {
    let before = await start();
    for (let update = 0; update < 2; update++) {
      const next = await start();
      assert.match(next.output, /took over from the relay before/);
      await before.printed(/waiting for the signal to end/);
      await before.stop();
      before = next;
    }
    await before.stop();
  } finally {
    await Promise.all(started.map((each) => each.kill()));
  }
});

/** The origin that the kubelet would ask. */
function probed(container: Container): string {
  const { httpGet } = container['readinessProbe'] as { httpGet: { path: string; port: string | number } };
  assert.equal(httpGet.path, '/readyz', 'what EarshotProcess asks');
  return `http://127.0.0.1:${portNumber(container, httpGet.port)}`;
}

/** As in the container, but for the volume's path and for addresses that others could reach. */
function onThisMachine(container: Container, folder: string): string[] {
  return commandLine(container, { POD_IP: '127.0.0.1' })
    .map((arg) => arg.replace('/etc/earshot', folder).replace('0.0.0.0', '127.0.0.1'))
    .map((arg) => (arg.startsWith('--drain-timeout=') ? '--drain-timeout=200ms' : arg));
}

function environment({ env = [] }: Container): Record<string, string> {
  const entries = env.flatMap(({ name, value }) => {
    const given = value ?? SECRETS[name as keyof typeof SECRETS];
    return given === undefined ? [] : [[name, given] as const];
  });
  return Object.fromEntries(entries);
}
