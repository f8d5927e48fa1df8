import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Downlink } from '../../src/conversation/downlink.ts';
import { OPUS_DTX, OPUS_SILENCE } from '../../src/media/opus.ts';
import { OpusDecoder } from '../../src/media/opus-decoder.ts';
import { OpusEncoder } from '../../src/media/opus-encoder.ts';
import { readWav, rms } from '../media/wav.ts';

const RATE = 48_000;
const FRAME = 960;
const speech = readWav('hello.wav').samples.slice(FRAME * 10, FRAME * 40);

interface Sent {
  readonly at: number;
  readonly packet: Uint8Array;
  readonly mediaTime: number;
  readonly marker: boolean;
}

/** A downlink in virtual time. */
class Line {
  readonly sent: Sent[] = [];
  now = 1000;
  readonly downlink = new Downlink({ codec: 'pcm16', rate: RATE }, 1000, {
    send: (opus, mediaTime, _duration, marker) => {
      this.sent.push({ at: this.now, packet: opus.slice(), mediaTime, marker });
    },
    queued: () => undefined,
    loss: () => null,
  });

  run(ms: number, ahead = true): void {
    for (const end = this.now + ms; this.now < end; this.now += 20) {
      this.downlink.tick(this.now);
      if (ahead) this.downlink.prepare();
    }
  }

  kinds(): string[] {
    return this.sent.map(({ packet }) => kind(packet));
  }
}

function kind(packet: Uint8Array): string {
  if (Buffer.compare(packet, OPUS_SILENCE) === 0) return 'silence';
  if (Buffer.compare(packet, OPUS_DTX) === 0) return 'dtx';
  return 'sound';
}

const times = (count: number, what: string): string[] => Array.from({ length: count }, () => what);

test('what was encoded ahead is what would have been encoded in time', () => {
  const [ahead, inTime] = [new Line(), new Line()];
  for (const line of [ahead, inTime]) {
    line.downlink.play(speech);
    line.downlink.finish();
  }
  ahead.run(1000);
  inTime.run(1000, false);
  assert.deepEqual(ahead.sent, inTime.sent);
});

test('after the sound comes its end out of the encoder, then silence, then the word that nothing follows', () => {
  const line = new Line();
  line.downlink.play(speech);
  line.downlink.finish();
  line.run(2000);
  assert.deepEqual(line.kinds(), [...times(31, 'sound'), 'silence', 'dtx']);
  assert.equal(line.downlink.idle, true);
  assert.equal(line.downlink.sentMs, 600);
});

test('a frame encoded ahead and cut off leaves no trace in the next sound', () => {
  const tone = Int16Array.from({ length: FRAME * 20 }, (_, i) => 8000 * Math.sin((2 * Math.PI * 440 * i) / RATE));
  const line = new Line();
  line.downlink.play(speech);
  line.run(200);
  line.downlink.clear();
  assert.equal(line.downlink.sentMs, 200);
  line.run(200);
  assert.deepEqual(line.kinds().slice(10), ['silence', 'silence', 'dtx']);
  const from = line.sent.length;
  line.downlink.play(tone);
  line.downlink.finish();
  line.run(1000);
  const encoder = new OpusEncoder(RATE);
  encoder.reset();
  const alone = Array.from({ length: 20 }, (_, i) => encoder.encode(tone.subarray(i * FRAME, (i + 1) * FRAME)));
  assert.deepEqual(line.sent.slice(from, from + 20).map(({ packet }) => Buffer.from(packet)), alone.map((packet) => Buffer.from(packet)));
  assert.equal(line.sent[from].marker, true);
});

test('silence in the middle of an answer is said once, and again every 400 ms; time goes on', () => {
  const line = new Line();
  line.downlink.play(speech.subarray(0, FRAME * 10));
  line.downlink.play(new Int16Array(FRAME * 50).fill(1));
  line.downlink.play(speech.subarray(FRAME * 10, FRAME * 20));
  line.downlink.finish();
  line.run(2000);
  assert.deepEqual(line.kinds(), [...times(11, 'sound'), 'silence', 'dtx', 'dtx', 'dtx', ...times(11, 'sound'), 'silence', 'dtx']);
  assert.equal(line.downlink.sentMs, 1400);
  const resumed = line.sent[15];
  assert.deepEqual([resumed.at, resumed.mediaTime, resumed.marker], [2200, 60 * FRAME, true]);
  assert.equal(line.sent.filter(({ marker }) => marker).length, 2);
});

test('an agent that falls behind is covered with faint noise, for half a second; one that is done is not', () => {
  const line = new Line();
  line.downlink.play(speech.subarray(0, FRAME * 10));
  line.run(2000);
  assert.equal(line.sent.length, 10 + 25 + 3);
  const decoder = new OpusDecoder(RATE);
  const levels = line.sent.map(({ packet }) => rms(decoder.decode(packet)));
  const noise = levels.slice(12, 34);
  assert.ok(noise.every((level) => level > 1 && level < 100), noise.map(Math.round).join(' '));
  assert.equal(Math.round(levels[37]), 0);
  assert.deepEqual(line.kinds().slice(-3), ['silence', 'silence', 'dtx']);
  line.sent.length = 0;
  line.downlink.play(speech.subarray(0, FRAME * 5));
  line.run(140);
  line.downlink.finish();
  line.run(400);
  assert.equal(line.sent.length, 5 + 2 + 3, 'noise ends with the answer');
});

test('a stutter is bridged, and what follows it sounds as if it began anew', () => {
  const line = new Line();
  line.downlink.play(speech.subarray(0, FRAME * 10));
  line.run(260);
  line.downlink.play(speech.subarray(FRAME * 10));
  line.downlink.finish();
  line.run(1000);
  assert.equal(line.downlink.sentMs, 600);
  const gaps = line.sent.filter(({ mediaTime }, i) => i > 0 && mediaTime !== line.sent[i - 1].mediaTime + FRAME);
  assert.equal(gaps.length, 0, 'no packet is missing');
  const decoder = new OpusDecoder(RATE);
  const levels = line.sent.map(({ packet }) => rms(decoder.decode(packet)));
  const first = line.sent.findIndex(({ packet }, i) => i > 13 && packet.length > 40);
  const wanted = rms(speech.subarray(FRAME * 10, FRAME * 14));
  const heard = Math.hypot(...levels.slice(first, first + 4)) / 2;
  assert.ok(heard > 0.6 * wanted && heard < 1.4 * wanted, `${heard} for ${wanted}`);
});
