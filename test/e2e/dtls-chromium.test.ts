/**
 * Whole calls of a real Chromium, which offers DTLS 1.3 with a post-quantum key share before 1.2: as it comes, and with
 * the field trials that put the handshake into STUN (SPED) and the SCTP INIT into the SDP (SNAP).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { babble } from '../support/audio.ts';
import { Chromium, heardAtLeast } from '../support/chromium.ts';
import { startDev } from '../support/earshot-process.ts';
import { ReferenceServer } from '../support/reference-server.ts';

function callerPage(endpoint: string): string {
  return `<!doctype html><title>caller</title><link rel="icon" href="data:,"><script type="module">
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    const connection = new RTCPeerConnection();
    connection.addTrack(microphone.getAudioTracks()[0], microphone);
    const channel = connection.createDataChannel('oai-events');
    globalThis.call = { events: [] };
    channel.onmessage = ({ data }) => call.events.push(JSON.parse(data).type);
    call.transport = async () => [...(await connection.getStats()).values()].find(({ type }) => type === 'transport');
    await connection.setLocalDescription();
    const response = await fetch('${endpoint}', {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: connection.localDescription.sdp,
    });
    await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  </script>`;
}

interface TransportStats {
  readonly dtlsState: string;
  readonly tlsVersion: string;
  readonly dtlsCipher: string;
  readonly srtpCipher: string;
}

const SPED = 'WebRTC-IceHandshakeDtls/Enabled/';
const SNAP = 'WebRTC-Sctp-Snap/Enabled/';

for (const { name, trials, sped } of [
  { name: 'Chromium speaks DTLS 1.3: audio comes back, events arrive', trials: '', sped: 'no' },
  { name: 'the same with the handshake inside of STUN', trials: SPED, sped: 'yes' },
  { name: 'the same with SCTP set up by the SDP as well', trials: SPED + SNAP, sped: 'yes' },
]) {
  test(name, { timeout: 60_000 }, () => assertCall(trials, sped));
}

async function assertCall(trials: string, sped: string): Promise<void> {
  await using dev = await startDev(['--agent', 'echo']);
  await using pages = await ReferenceServer.start({ pages: { '/': callerPage(dev.endpoint) } });
  const args = trials === '' ? [] : [`--force-fieldtrials=${trials}`];
  await using chromium = await Chromium.launch({ microphone: babble(6, 5), args });
  const { page, watch } = await chromium.open(`${pages.url}/`);
  await heardAtLeast(page, 0.5);
  await page.waitForFunction('call.events.includes("session.created")');
  const { dtlsState, tlsVersion, dtlsCipher, srtpCipher } = await page.evaluate<TransportStats>('call.transport()');
  assert.deepEqual(
    { dtlsState, tlsVersion, dtlsCipher, srtpCipher },
    { dtlsState: 'connected', tlsVersion: 'FEFC', dtlsCipher: 'TLS_AES_128_GCM_SHA256', srtpCipher: 'SRTP_AEAD_AES_128_GCM' },
  );
  const metrics = await (await fetch(`${dev.url}/metrics`)).text();
  assert.deepEqual(metrics.match(/^earshot_handshakes_total\{.*/gm), [`earshot_handshakes_total{dtls="1.3",sped="${sped}"} 1`]);
  assert.deepEqual(watch.problems, []);
}
