import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DelayedPath } from '../../bench/setup-parts/delayed-path.ts';
import { concat } from '../support/audio.ts';
import { Chromium } from '../support/chromium.ts';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../support/earshot-process.ts';
import { ReferenceServer } from '../support/reference-server.ts';
import { callingPage } from './calling-page.ts';
import { metric } from './relay-deployment.ts';
import { utterance } from './voices.ts';

const SECRETS = { EARSHOT_SECRET: 'a secret that both roles of this test share' };
const LOSS = 0.12;
/** Packets that arrive while it is measured: seven seconds of them. */
const MEASURED_PACKETS = 350;

/** What `getStats` says of the audio that came. */
interface Inbound {
  readonly packetsReceived: number;
  readonly packetsLost: number;
  readonly fecPacketsReceived: number;
  readonly totalSamplesReceived: number;
  readonly concealedSamples: number;
  readonly silentConcealedSamples: number;
}

/** Keeps what `getStats` says in `globalThis.inbound`. */
const WATCH = `setInterval(async () => {
  const stats = (await globalThis.connection?.getStats()) ?? new Map();
  globalThis.inbound = { ...[...stats.values()].find(({ type }) => type === 'inbound-rtp') };
}, 50)`;

test('redundancy both ways: on a path that loses an eighth, a browser and its agent miss little of each other', { timeout: 60_000 }, async () => {
  const hello = await utterance('hello');
  const udp = `127.0.0.1:${await freeUdpPort()}`;
  const [admin, http] = [`127.0.0.1:${await freeTcpPort()}`, `127.0.0.1:${await freeTcpPort()}`];
  const path = await DelayedPath.open(udp);
  await using relay = new EarshotProcess(['relay', '--udp', udp, '--http', admin, '--trunk', '127.0.0.1:0', '--workers', '1'], SECRETS);
  await using transceiver = new EarshotProcess(
    ['transceiver', '--http', http, '--ingress', path.address, '--agent', 'echo', '--trunk', '127.0.0.1:0', '--workers', '1'],
    SECRETS,
  );
  await relay.ready(`http://${admin}`);
  await transceiver.ready(`http://${http}`);
  await using pages = await ReferenceServer.start({ pages: { '/': callingPage(`http://${http}/v1/realtime/calls`) } });
  await using chromium = await Chromium.launch({ microphone: concat(...Array.from({ length: 40 }, () => hello)) });
  try {
    const { page } = await chromium.open(`${pages.url}/`);
    await page.evaluate(WATCH);
    const inbound = (): Promise<Inbound> => page.evaluate<Inbound>('inbound');
    await page.waitForFunction('globalThis.inbound?.packetsReceived > 20');
    path.impose({ roundTripMs: 40, loss: LOSS, seed: 12 });
    const imposedAt = performance.now();
    // The browser has reported what it lost, and the answer to that has begun.
    await page.waitForFunction('inbound.fecPacketsReceived > 10');
    const before = await inbound();
    await page.waitForFunction(`inbound.packetsReceived >= ${before.packetsReceived + MEASURED_PACKETS}`);
    const after = await inbound();
    const lossyMs = performance.now() - imposedAt;
    const grown = (field: keyof Inbound): number => after[field] - before[field];

    assert.match(await page.evaluate<string>('connection.remoteDescription.sdp'), /a=rtpmap:\d+ red\/48000\/2/);
    const lost = grown('packetsLost') / (grown('packetsLost') + grown('packetsReceived'));
    assert.ok(lost > LOSS / 2, `the path lost ${lost}`);
    assert.ok(grown('fecPacketsReceived') > grown('packetsReceived') / 2, 'the server sends redundancy');
    const concealed = (grown('concealedSamples') - grown('silentConcealedSamples')) / grown('totalSamplesReceived');
    assert.ok(concealed < lost / 2, `${concealed} concealed, ${lost} lost`);

    const recovered = await metric(`http://${http}`, 'earshot_audio_frames_recovered_total');
    const expected = (lossyMs / 20) * LOSS;
    assert.ok(recovered > expected / 2, `${recovered} frames of lost packets came in later ones, of ${expected} or so`);
  } finally {
    path.close();
  }
});
