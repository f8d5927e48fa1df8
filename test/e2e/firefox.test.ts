/** A whole call of a real Firefox: another ICE (nICEr), another DTLS (NSS), another SCTP (usrsctp) than Chromium's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freeUdpPort, startDev } from '../support/earshot-process.ts';
import { addressForFirefox, Firefox } from '../support/firefox.ts';

/** Calls, and gives what came back once it is a second long. There is no audio device, so the decoder's own figures tell. */
const call = (query: string): string => `(async () => {
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const connection = new RTCPeerConnection();
  const events = [];
  globalThis.hangUp = () => connection.close();
  connection.addTrack(microphone.getAudioTracks()[0], microphone);
  connection.createDataChannel('oai-events').onmessage = ({ data }) => events.push(JSON.parse(data).type);
  await connection.setLocalDescription();
  const response = await fetch('/v1/realtime/calls${query}', {
    method: 'POST',
    headers: { 'Content-Type': 'application/sdp' },
    body: connection.localDescription.sdp,
  });
  await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  for (;;) {
    const inbound = [...(await connection.getStats()).values()].find(({ type }) => type === 'inbound-rtp');
    if (inbound?.totalSamplesReceived >= 48000 && events.includes('session.created')) return { ...inbound };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
})()`;

interface InboundStats {
  /** 0 to 1. */
  readonly audioLevel: number;
  readonly totalSamplesReceived: number;
  readonly silentConcealedSamples: number;
}

test('Firefox speaks DTLS 1.3: audio comes back, events arrive, a hang-up is heard; also when its answer was given ahead', { timeout: 90_000 }, async () => {
  await using dev = await startDev(['--agent', 'echo', '--udp', `${addressForFirefox()}:${await freeUdpPort()}`]);
  await using firefox = await Firefox.launch();
  await firefox.open(`${dev.url}/favicon.svg`);
  for (const [query, printed] of [['', /"reason":"closed-by-peer"/], ['?instant', /"reason":"closed-by-peer"[^]*"reason":"closed-by-peer"/]] as const) {
    const inbound = await firefox.evaluate<InboundStats>(call(query));
    assert.ok(inbound.audioLevel > 0.03, `the microphone's hum came back at a level of ${inbound.audioLevel}`);
    assert.ok(inbound.silentConcealedSamples < inbound.totalSamplesReceived / 2, JSON.stringify(inbound));
    await firefox.evaluate('hangUp() ?? null');
    await dev.process.printed(printed);
  }
  assert.match(dev.process.output, /"dtlsVersion":"1\.3"/);
});
