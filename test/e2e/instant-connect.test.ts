/**
 * A real Chromium that asks for its answer ahead, and begins its call without another request: as it comes, and with
 * everything that shortens a set-up. Then what it does when its ticket is of no use any more.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { babble } from '../support/audio.ts';
import { Chromium, heardAtLeast } from '../support/chromium.ts';
import { startDev } from '../support/earshot-process.ts';
import { ReferenceServer } from '../support/reference-server.ts';
import { metric } from './relay-deployment.ts';

/** Asks ahead when it is opened; `call.begin()` begins. */
function patientPage(endpoint: string): string {
  return `<!doctype html><title>caller</title><link rel="icon" href="data:,"><script type="module">
    const connection = new RTCPeerConnection();
    const { sender } = connection.addTransceiver('audio', { direction: 'sendrecv' });
    const channel = connection.createDataChannel('oai-events', { negotiated: true, id: 1 });
    const call = { events: [], state: () => connection.connectionState, requests: () => performance.getEntriesByType('resource').length };
    channel.onmessage = ({ data }) => call.events.push(JSON.parse(data));
    await connection.setLocalDescription();
    const response = await fetch('${endpoint}?instant&dcid=1', {
      method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: connection.localDescription.sdp,
    });
    call.status = response.status;
    call.expires = Date.parse(response.headers.get('Expires'));
    const sdp = await response.text();
    call.begin = async () => {
      const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
      await sender.replaceTrack(microphone.getAudioTracks()[0]);
      await connection.setRemoteDescription({ type: 'answer', sdp });
    };
    globalThis.call = call;
  </script>`;
}

const WARP = '--force-fieldtrials=WebRTC-IceHandshakeDtls/Enabled/WebRTC-Sctp-Snap/Enabled/';

for (const { name, args } of [
  { name: 'Chromium begins a call that it has asked for ahead: audio comes back, events arrive, nothing is requested', args: [] },
  { name: 'the same with the handshake inside of STUN and SCTP set up by the SDP', args: [WARP] },
]) {
  test(name, { timeout: 60_000 }, async () => {
    await using dev = await startDev(['--agent', 'echo']);
    await using pages = await ReferenceServer.start({ pages: { '/': patientPage(dev.endpoint) } });
    await using chromium = await Chromium.launch({ microphone: babble(6, 5), args });
    const { page, watch } = await chromium.open(`${pages.url}/`);
    await page.waitForFunction('globalThis.call !== undefined');
    assert.equal(await page.evaluate('call.status'), 200);
    assert.ok((await page.evaluate<number>('call.expires')) > Date.now() + 500_000);
    assert.equal(await metric(dev.url, 'earshot_calls_started_total'), 0);
    const requests = await page.evaluate('call.requests()');

    await page.evaluate('call.begin()');
    await heardAtLeast(page, 0.5);
    await page.waitForFunction('call.events.length > 0');
    const created = await page.evaluate<{ type: string; call_id: string }>('call.events[0]');
    assert.equal(created.type, 'session.created');
    assert.equal(await page.evaluate('call.requests()'), requests);
    assert.equal(await metric(dev.url, 'earshot_calls_started_total'), 1);
    assert.deepEqual(watch.problems, []);

    assert.equal((await fetch(`${dev.endpoint}/${created.call_id}`, { method: 'DELETE' })).status, 200);
    while ((await metric(dev.url, 'earshot_calls{shard="0"}')) > 0) await new Promise(setImmediate);
  });
}

test('Chromium is told at once when its ticket has expired', { timeout: 60_000 }, async () => {
  await using dev = await startDev(['--agent', 'echo', '--ticket-lifetime', '1s']);
  await using pages = await ReferenceServer.start({ pages: { '/': patientPage(dev.endpoint) } });
  await using chromium = await Chromium.launch({ microphone: babble(1, 5) });
  const { page } = await chromium.open(`${pages.url}/`);
  await page.waitForFunction('globalThis.call !== undefined && Date.now() > call.expires');
  await page.evaluate('call.begin()');
  await page.waitForFunction('call.state() === "failed"');
  assert.equal(await metric(dev.url, 'earshot_tickets_presented_total{outcome="accepted"}'), 0);
});
