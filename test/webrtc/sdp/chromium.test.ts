import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { createAnswer } from '../../../src/webrtc/sdp/answer.ts';
import { createOffer, parseAnswer } from '../../../src/webrtc/sdp/client.ts';
import { parseOffer } from '../../../src/webrtc/sdp/offer.ts';
import { LOCAL } from './fixtures.ts';

const CHROMIUM = '/usr/bin/chromium';
const skip = existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed`;

/** Sections in the order they are added: audio, audio to receive only, video, data channel. */
const OFFERS = ['audio', 'data', 'audio data', 'audio video data', 'video audio data', 'recvonly data', 'audio audio data', 'data audio'];

test('Chromium takes our answer to each of its offers, and our offer', { skip, timeout: 60_000 }, async () => {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    for (const kinds of OFFERS) {
      for (const red of [false, true]) {
        const answer = createAnswer(parseOffer(await page.evaluate(offerOf, kinds.split(' ')), { red }), LOCAL);
        const result = await page.evaluate(takeAnswer, answer);
        assert.equal(result, 'stable', `${kinds}: ${result}\n${answer}`);
      }
    }
    const own = createOffer({ ...LOCAL, audio: { ...LOCAL, direction: 'sendrecv' }, data: { init: null } });
    const { negotiated } = parseAnswer(await page.evaluate(answerTo, own));
    assert.deepEqual(negotiated.bundleMids, ['0', '1']);
    assert.equal(negotiated.audio?.payloadType, 111);
    assert.equal(negotiated.data?.sctpPort, 5000);
  } finally {
    await browser.close();
  }
});

// The functions below run in the page; its types are not those of Node.
interface PeerConnection {
  addTransceiver(kind: string, init?: object): void;
  createDataChannel(label: string): void;
  createAnswer(): Promise<{ sdp: string }>;
  setLocalDescription(): Promise<void>;
  setRemoteDescription(description: { type: string; sdp: string }): Promise<void>;
  close(): void;
  readonly localDescription: { sdp: string };
  readonly signalingState: string;
}
declare const RTCPeerConnection: new () => PeerConnection;
/** What `offerOf` leaves in the page for `takeAnswer`. */
declare const connection: PeerConnection;

async function offerOf(kinds: readonly string[]): Promise<string> {
  const offerer = new RTCPeerConnection();
  for (const kind of kinds) {
    if (kind === 'data') offerer.createDataChannel('oai-events');
    else if (kind === 'recvonly') offerer.addTransceiver('audio', { direction: 'recvonly' });
    else offerer.addTransceiver(kind);
  }
  await offerer.setLocalDescription();
  Object.assign(globalThis, { connection: offerer });
  return offerer.localDescription.sdp;
}

async function takeAnswer(sdp: string): Promise<string> {
  try {
    await connection.setRemoteDescription({ type: 'answer', sdp });
    return connection.signalingState;
  } catch (error) {
    return String(error);
  } finally {
    connection.close();
  }
}

async function answerTo(sdp: string): Promise<string> {
  const answerer = new RTCPeerConnection();
  await answerer.setRemoteDescription({ type: 'offer', sdp });
  const answer = await answerer.createAnswer();
  answerer.close();
  return answer.sdp;
}
