import assert from 'node:assert/strict';
import { test } from 'node:test';
import { babble, concat, silence, similarity, slice } from '../support/audio.ts';
import { Chromium, heardAtLeast, recording } from '../support/chromium.ts';
import { startDev } from '../support/earshot-process.ts';
import { ReferenceServer } from '../support/reference-server.ts';
import { utterance } from './voices.ts';

/** Plain WebRTC on a page of another origin, as anybody would write it; what happened is left in `globalThis.call`. */
function callerPage(endpoint: string): string {
  return `<!doctype html><title>caller</title><link rel="icon" href="data:,"><script type="module">
    const microphone = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    const connection = new RTCPeerConnection();
    connection.addTrack(microphone.getAudioTracks()[0], microphone);
    const channel = connection.createDataChannel('oai-events');
    globalThis.call = { events: [], location: null, answer: null };
    channel.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      call.events.push(event);
      if (event.type === 'session.created') {
        channel.send(JSON.stringify({ type: 'session.update', session: { type: 'realtime', instructions: 'Be brief.' } }));
      }
    };
    await connection.setLocalDescription();
    const response = await fetch('${endpoint}', {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: connection.localDescription.sdp,
    });
    call.location = response.headers.get('Location');
    call.answer = await response.text();
    await connection.setRemoteDescription({ type: 'answer', sdp: call.answer });
  </script>`;
}

test('a browser hears itself through the relay, and sends to no other UDP port', { timeout: 60_000 }, async () => {
  const hello = await utterance('hello');
  // The microphone plays from the moment it is opened: a moment for the connection, then speech, twice.
  const spoken = concat(silence(1.2), hello, silence(0.3), hello);
  await using dev = await startDev(['--agent', 'echo']);
  await using pages = await ReferenceServer.start({ pages: { '/': callerPage(dev.endpoint) } });
  await using chromium = await Chromium.launch({ microphone: spoken });
  const { page, watch } = await chromium.open(`${pages.url}/`);

  const heard = await heardAtLeast(page, 2.5);
  const sent = await recording(page, 'sent');
  const match = similarity(slice(sent, 1.2, 3), heard);
  // A busy machine makes the browser stretch more of it; a stranger's voice stays below a quarter all the same.
  assert.ok(match.found > 0.4, `found ${match.found} of what was sent`);
  assert.ok(similarity(babble(2, 71), heard).found < 0.25, 'any sound would have done');

  await page.waitForFunction('call.events.some((event) => event.type === "session.updated")');
  const events = await page.evaluate<{ type: string; session?: { instructions?: string } }[]>('call.events');
  assert.deepEqual(events.slice(0, 2).map((event) => event.type), ['session.created', 'session.updated']);
  assert.equal(events[1].session?.instructions, 'Be brief.');
  assert.match(await page.evaluate<string>('call.location'), /\/v1\/realtime\/calls\/rtc_/);
  assert.deepEqual(watch.problems, []);

  // It sends each frame twice because redundancy comes first in the answer; what it hears came once, on a clean path.
  const answer = await page.evaluate<string>('call.answer');
  assert.match(answer, /^m=audio \d+ \S+ 63 111\r$/m);
  const metrics = await (await fetch(`${dev.url}/metrics`)).text();
  const counter = (name: string): number => Number(new RegExp(`^earshot_${name} (\\d+)`, 'm').exec(metrics)?.[1]);
  assert.ok(counter('audio_packets_redundant_total') > 50, metrics);

  const candidates = [...answer.matchAll(/^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) /gim)].map((m) => `${m[1]}:${m[2]}`);
  assert.deepEqual([...new Set(candidates)], [dev.udp]);
  assert.deepEqual([...(await chromium.closeAndListUdpDestinations())], [dev.udp]);
});
