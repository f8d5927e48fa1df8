import assert from 'node:assert/strict';
import { test } from 'node:test';
import { babble, similarity, slice, type Sound } from './audio.ts';
import { Chromium, heardAtLeast, recording } from './chromium.ts';
import { ReferenceServer } from './reference-server.ts';

/** Calls as any page would, without a line of Earshot's. */
const CALLER_PAGE = `<!doctype html><title>caller</title><link rel="icon" href="data:,"><script type="module">
  const microphone = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const connection = new RTCPeerConnection();
  connection.addTrack(microphone.getAudioTracks()[0]);
  connection.createDataChannel('oai-events');
  await connection.setLocalDescription();
  const response = await fetch('/v1/realtime/calls', { method: 'POST', body: connection.localDescription.sdp });
  await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
</script>`;

test('a browser is heard and recorded, and every UDP destination of it is known', { timeout: 40_000 }, async () => {
  await using server = await ReferenceServer.start({ pages: { '/': CALLER_PAGE } });
  const words = babble(4, 31);
  await using chromium = await Chromium.launch({ microphone: words });
  const { page, watch } = await chromium.open(`${server.url}/`);
  const heard = await heardAtLeast(page, 3);
  const sent = await recording(page, 'sent');
  assert.deepEqual(watch.problems, []);

  // Past the first moments, in which the browser stretches sound to fill its jitter buffer.
  const match = similarity(slice(sent, 0.8, 2.8), heard);
  // A busy machine makes the browser stretch more of it; a stranger's voice stays below a quarter all the same.
  assert.ok(match.found > 0.4, `found ${match.found}`);
  assert.ok(similarity(slice(words, 0, 1.5), sent).found > 0.9, 'the microphone did not deliver the file');
  const delay = match.lag - 0.8 + heard.startedAt - sent.startedAt;
  assert.ok(delay > 0 && delay < 1, `heard ${delay} s after it was sent`);
  const stranger: Sound = babble(2, 32);
  assert.ok(similarity(stranger, heard).found < 0.25, 'any sound would have done');

  const answer = await server.calls[0].answer;
  const candidates = [...answer.matchAll(/^a=candidate:\S+ 1 UDP \d+ (\S+) (\d+)/gm)].map((m) => `${m[1]}:${m[2]}`);
  const destinations = await chromium.closeAndListUdpDestinations();
  assert.ok(destinations.size > 0, 'the network log shows no datagram: it would prove nothing');
  for (const destination of destinations) assert.ok(candidates.includes(destination), `${destination} is not in ${candidates.join()}`);
});
