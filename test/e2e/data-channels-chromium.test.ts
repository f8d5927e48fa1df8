/** A real Chromium's data channels: announced in band or agreed beforehand (`?dcid`), with and without SNAP. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silence } from '../support/audio.ts';
import { Chromium } from '../support/chromium.ts';
import { startDev } from '../support/earshot-process.ts';
import { ReferenceServer } from '../support/reference-server.ts';

function callerPage(endpoint: string): string {
  return `<!doctype html><title>caller</title><link rel="icon" href="data:,"><script type="module">
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    globalThis.place = async (label, id) => {
      const connection = new RTCPeerConnection();
      connection.addTrack(microphone.getAudioTracks()[0], microphone);
      const channel = connection.createDataChannel(label, id === null ? {} : { negotiated: true, id });
      const events = [];
      const updated = new Promise((resolve, reject) => {
        channel.onmessage = ({ data }) => {
          const event = JSON.parse(data);
          events.push(event.type);
          if (event.type === 'session.created') channel.send('{"type":"session.update","session":{"type":"realtime"}}');
          if (event.type === 'session.updated') resolve();
        };
        channel.onclose = () => reject(new Error('the channel closed'));
      });
      await connection.setLocalDescription();
      const offer = connection.localDescription.sdp;
      const response = await fetch('${endpoint}' + (id === null ? '' : '?dcid=' + id), {
        method: 'POST',
        headers: { 'Content-Type': 'application/sdp' },
        body: offer,
      });
      const answer = await response.text();
      await connection.setRemoteDescription({ type: 'answer', sdp: answer });
      await updated;
      const states = { channel: channel.readyState, sctp: connection.sctp.state };
      connection.close();
      return { offer, answer, events, ...states };
    };
  </script>`;
}

interface Placed {
  readonly offer: string;
  readonly answer: string;
  readonly events: readonly string[];
  readonly channel: string;
  readonly sctp: string;
}

test('events flow on a channel announced in band and on one agreed beforehand, with and without SNAP', { timeout: 60_000 }, async () => {
  await using dev = await startDev(['--agent', 'echo']);
  await using pages = await ReferenceServer.start({ pages: { '/': callerPage(dev.endpoint) } });
  for (const snap of [true, false]) {
    await using chromium = await Chromium.launch({
      microphone: silence(1),
      netLog: false,
      args: snap ? ['--force-fieldtrials=WebRTC-Sctp-Snap/Enabled/'] : [],
    });
    const { page, watch } = await chromium.open(`${pages.url}/`);
    await page.waitForFunction('globalThis.place !== undefined');
    for (const [label, id] of [['anything', null], ['oai-events', 0], ['', 1023]] as const) {
      const what = `SNAP ${snap}, label "${label}", id ${id}`;
      const { offer, answer, events, channel, sctp } = await page.evaluate<Placed>(`place(${JSON.stringify(label)}, ${id})`);
      assert.deepEqual([offer.includes('a=sctp-init:'), answer.includes('a=sctp-init:')], [snap, snap], what);
      assert.deepEqual(events, ['session.created', 'session.updated'], what);
      assert.deepEqual([channel, sctp], ['open', 'connected'], what);
    }
    assert.deepEqual(watch.problems, []);
  }
});
