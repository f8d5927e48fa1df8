import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnswer } from '../../../src/webrtc/sdp/answer.ts';
import { parseAnswer } from '../../../src/webrtc/sdp/client.ts';
import { SdpError } from '../../../src/webrtc/sdp/error.ts';
import { parseFragment } from '../../../src/webrtc/sdp/fragment.ts';
import { MAX_SDP_LENGTH, MAX_SDP_LINES } from '../../../src/webrtc/sdp/lines.ts';
import { parseOffer } from '../../../src/webrtc/sdp/offer.ts';
import { LOCAL, OFFERS, offer } from './fixtures.ts';
import { seededRandom } from '../../support/random.ts';

const SEED = 8866;
const next = seededRandom(SEED);
const below = (n: number): number => Math.floor(next() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)];

/** True when the text was taken; anything thrown but an SdpError fails the test. */
function takes(text: string, parse: (text: string) => unknown): boolean {
  try {
    parse(text);
    return true;
  } catch (error) {
    assert.ok(error instanceof SdpError, `seed ${SEED}: ${String(error)}\n${JSON.stringify(text)}`);
    assert.ok(error.message.length < 1_000);
    return false;
  }
}

/** An offer that is taken has to be answerable, with an answer that reads. */
function answerable(text: string): void {
  const parsed = parseOffer(text);
  const answer = createAnswer(parsed, LOCAL);
  assert.equal(answer.split('\r\nm=').length - 1, parsed.sections.length);
  assert.doesNotMatch(answer, /\r\n\r\n|undefined|NaN|null/);
}

test('75,000 arbitrary texts: never anything but an SdpError', () => {
  const words = ['v=0', 'm=audio', 'a=', 'rtpmap:', 'group:BUNDLE', ' ', '\n', '\r\n', ':', '=', '0', '111', 'opus/48000/2', 'é', '\u0000', '9e99', '%', 'a=mid:'];
  for (let i = 0; i < 75_000; i++) {
    let text = i % 2 === 0 ? 'v=0\r\n' : '';
    for (let n = below(20); n > 0; n--) text += next() < 0.8 ? pick(words) : String.fromCharCode(below(0x300));
    takes(text, parseOffer);
    if (i % 5 === 0) takes(text, parseFragment);
  }
});

test('25,000 mutated offers: an answer or an SdpError', () => {
  const texts = ['chromium-audio', 'gstreamer-audio-data', 'aiortc-audio-data', 'firefox-audio-data', 'libdatachannel-data'].map(offer);
  const pool = [...OFFERS.values()].flatMap((text) => text.split('\r\n'));
  let taken = 0;
  for (let i = 0; i < 25_000; i++) {
    const lines = pick(texts).split('\r\n');
    for (let n = 1 + below(3); n > 0; n--) mutate(lines, pool);
    let text = lines.join('\r\n');
    if (next() < 0.1) text = text.slice(0, below(text.length));
    if (takes(text, answerable)) taken++;
    if (i % 10 === 0) takes(text, parseAnswer);
  }
  assert.ok(taken > 5_000 && taken < 24_500, `${taken} taken`);
});

function mutate(lines: string[], pool: readonly string[]): void {
  const at = below(lines.length);
  const line = lines[at];
  const kind = below(6);
  if (kind === 0) lines.splice(at, 1);
  else if (kind === 1) lines.splice(at, 0, pick(pool));
  else if (kind === 2) lines[at] = pick(pool);
  else if (kind === 3) lines[at] = line.replace(/\d+/, () => pick(['0', '-1', '4294967296', '1e9', '']));
  else if (kind === 4) lines[at] = line.slice(0, below(line.length + 1));
  else {
    const where = below(line.length + 1);
    lines[at] = line.slice(0, where) + String.fromCharCode(below(0x180)) + line.slice(where + 1);
  }
}

test('the largest hostile descriptions cost no more than their size', () => {
  const fill = (line: (i: number) => string): string => {
    let text = 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n';
    for (let i = 0; i < MAX_SDP_LINES - 4 && text.length < MAX_SDP_LENGTH - 60; i++) text += `${line(i)}\r\n`;
    return text;
  };
  const hostile = [
    fill((i) => `a=rtpmap:${i % 128} opus/48000/2`),
    fill((i) => `a=rtcp-fb:* x${i}`),
    fill((i) => `a=group:BUNDLE ${i}`),
    fill(() => `a=fingerprint:md5 00`),
    fill((i) => `a=extmap:${i} urn:x`),
    `v=0\r\na=group:BUNDLE ${'x '.repeat(2_000)}\r\nm=audio 9 UDP/TLS/RTP/SAVPF ${'1 '.repeat(2_000)}\r\n`,
    `v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 1\r\na=rtpmap:1 ${' '.repeat(4_000)}/`,
    `v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 1\r\na=rtpmap:1 opus/48000/2\r\na=fmtp:1 ${'='.repeat(4_000)}`,
    `v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 1\r\na=rtpmap:1 opus/48000/2\r\na=fmtp:1 ${';'.repeat(4_000)}`,
  ];
  for (const text of hostile) assert.ok(!takes(text, parseOffer));
});
