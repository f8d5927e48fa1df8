import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { OPUS_SILENCE, opusPacketDuration } from '../../src/media/opus.ts';
import { hasForwardErrorCorrection, OpusDecoder } from '../../src/media/opus-decoder.ts';
import { OpusEncoder } from '../../src/media/opus-encoder.ts';
import { encodeWav, readWav, rms } from './wav.ts';

test('packet duration follows table 2 of RFC 6716', () => {
  // [configuration, frame in samples at 48 kHz]
  const table: [number, number][] = [
    [0, 480], [1, 960], [2, 1920], [3, 2880], [9, 960], [11, 2880], // SILK
    [12, 480], [13, 960], [14, 480], [15, 960], // hybrid
    [16, 120], [17, 240], [18, 480], [19, 960], [28, 120], [31, 960], // CELT
  ];
  for (const [config, frame] of table) {
    const toc = config << 3;
    assert.equal(opusPacketDuration(Uint8Array.of(toc, 1)), frame, `config ${config}, one frame`);
    assert.equal(opusPacketDuration(Uint8Array.of(toc | 1, 1)), frame * 2, `config ${config}, two frames`);
    assert.equal(opusPacketDuration(Uint8Array.of(toc | 2, 1)), frame * 2, `config ${config}, two unequal frames`);
    assert.equal(opusPacketDuration(Uint8Array.of(toc | 3, 2)), frame * 2, `config ${config}, counted frames`);
  }
});

test('bytes that are no packet have no duration', () => {
  assert.equal(opusPacketDuration(new Uint8Array(0)), 0);
  assert.equal(opusPacketDuration(Uint8Array.of(0xfb)), 0, 'frame count missing');
  assert.equal(opusPacketDuration(Uint8Array.of(0xfb, 0)), 0, 'no frames');
  assert.equal(opusPacketDuration(Uint8Array.of(0xfb, 7)), 0, '140 ms');
});

test('speech survives encoding and decoding, at every rate', () => {
  const hello = readWav('hello.wav');
  const packets = encodeWav(hello);
  for (const rate of [8000, 16_000, 24_000, 48_000] as const) {
    const decoder = new OpusDecoder(rate);
    let sum = 0;
    for (const packet of packets) {
      const samples = decoder.decode(packet);
      assert.equal(samples.length, rate / 50);
      sum += rms(samples) ** 2;
    }
    const level = Math.sqrt(sum / packets.length);
    assert.ok(level > 0.7 * rms(hello.samples) && level < 1.3 * rms(hello.samples), `${rate} Hz: ${level}`);
    assert.equal(decoder.invalid, 0);
  }
});

test('data that is no Opus becomes counted silence as long as the last packet, and the next packet decodes', () => {
  const decoder = new OpusDecoder(16_000);
  assert.equal(decoder.decode(new Uint8Array(0)).length, 320);
  assert.equal(decoder.decode(Uint8Array.of(0xff, 0xff, 0xff, 0xff)).length, 320);
  assert.equal(decoder.invalid, 2);
  assert.equal(decoder.decode(OPUS_SILENCE).length, 320);
  assert.equal(decoder.invalid, 2);
});

test('a lost packet is concealed with the sound before it, which fades', () => {
  const packets = encodeWav(readWav('hello.wav'));
  const decoder = new OpusDecoder(24_000);
  let loudest = 0;
  let at = 0;
  for (; at < 60 && loudest < 3000; at++) loudest = rms(decoder.decode(packets[at]));
  const first = decoder.conceal();
  assert.equal(first.length, 480);
  assert.ok(rms(first) > loudest / 5, 'the sound goes on');
  let last = first;
  for (let i = 0; i < 20; i++) last = decoder.conceal();
  assert.ok(rms(last) < rms(first) / 4, 'it fades');
  assert.equal(decoder.invalid, 0);
});

test('a lost packet comes back out of the next one, closer to what it was than concealment', () => {
  const packets = encodeWav(readWav('hello.wav'));
  const whole = new OpusDecoder(16_000);
  const samples = packets.map((packet) => whole.decode(packet));
  let [restored, tried, closer] = [0, 0, 0];
  const error = (a: Int16Array, b: Int16Array): number => a.reduce((sum, sample, i) => sum + (sample - b[i]) ** 2, 0);
  for (let lost = 20; lost + 1 < packets.length; lost += 5) {
    if (rms(samples[lost]) < 500) continue;
    tried++;
    const [restoring, concealing] = [new OpusDecoder(16_000), new OpusDecoder(16_000)];
    for (const packet of packets.slice(0, lost)) {
      restoring.decode(packet);
      concealing.decode(packet);
    }
    const back = restoring.restore(packets[lost + 1]);
    if (back === null) continue;
    restored++;
    assert.equal(back.length, 320);
    if (error(back, samples[lost]) < error(concealing.conceal(), samples[lost])) closer++;
    assert.equal(restoring.decode(packets[lost + 1]).length, 320);
    restoring.close();
    concealing.close();
  }
  assert.ok(tried >= 10 && restored >= tried * 0.8, `${restored} of ${tried} restored`);
  assert.ok(closer >= restored * 0.8, `${closer} of ${restored} closer`);
});

test('what has no forward error correction restores nothing', () => {
  const decoder = new OpusDecoder(8000);
  assert.equal(decoder.restore(OPUS_SILENCE), null, 'CELT');
  const encoder = new OpusEncoder(24_000);
  const { samples } = readWav('hello.wav');
  for (let at = 0; at + 480 <= samples.length; at += 480) assert.equal(hasForwardErrorCorrection(encoder.encode(samples.subarray(at, at + 480))), false);
  assert.equal(hasForwardErrorCorrection(new Uint8Array(0)), false);
  assert.equal(hasForwardErrorCorrection(Uint8Array.of(0x48)), false);
  // Wide band, 20, 40, 60 ms; hybrid, 10 and 20 ms: the flag follows one of activity per 20 ms.
  assert.deepEqual([0x48, 0x50, 0x58, 0x60, 0x68].map((toc) => hasForwardErrorCorrection(Uint8Array.of(toc, 0x40))), [true, false, false, true, true]);
  assert.deepEqual([0x48, 0x50, 0x58].map((toc) => hasForwardErrorCorrection(Uint8Array.of(toc, 0x20))), [false, true, false]);
});

test('a decoder that is closed gives silence', () => {
  const [packet] = encodeWav(readWav('interrupt.wav')).slice(30);
  const decoder = new OpusDecoder(8000);
  decoder.decode(packet);
  decoder.close();
  decoder.close();
  assert.equal(rms(decoder.decode(packet)), 0);
  assert.equal(rms(decoder.conceal()), 0);
});

test('the first frame after a reset is whole for a decoder that has heard something else', () => {
  const { samples } = readWav('hello.wav');
  const encoder = new OpusEncoder(48_000);
  const frames = Array.from({ length: 60 }, (_, i) => samples.subarray(i * 960, (i + 1) * 960));
  const loud = frames.findIndex((frame) => rms(frame) > 3000);
  for (const frame of frames.slice(0, loud)) encoder.encode(frame);
  encoder.reset();
  const decoder = new OpusDecoder(48_000);
  for (let i = 0; i < 5; i++) decoder.decode(OPUS_SILENCE);
  const heard = frames.slice(loud, loud + 4).map((frame) => rms(decoder.decode(encoder.encode(frame))) / rms(frame));
  assert.ok(heard.every((share) => share > 0.6 && share < 1.5), heard.join(', '));
});

test('a packet in the middle of a larger buffer is read in place', () => {
  const [packet] = encodeWav(readWav('interrupt.wav')).slice(30);
  const datagram = new Uint8Array(1500).fill(0xaa);
  datagram.set(packet, 77);
  const direct = new OpusDecoder(8000).decode(packet);
  assert.deepEqual(new OpusDecoder(8000).decode(datagram.subarray(77, 77 + packet.length)), direct);
});

test('forward error correction is there when asked for, in the mode that has it, and is no cost otherwise', () => {
  const { samples, rate } = readWav('interrupt.wav');
  const encoder = new OpusEncoder(48_000);
  assert.equal(rate, 48_000);
  const frames = Array.from({ length: 60 }, (_, i) => samples.subarray(i * 960, (i + 1) * 960));
  const silk = (): number => frames.filter((frame) => encoder.encode(frame)[0] >> 3 < 16).length;
  assert.equal(silk(), 0);
  encoder.protect(true);
  assert.ok(silk() > 55, 'SILK or hybrid');
  encoder.protect(false);
  assert.ok(silk() < 5, 'CELT again');
});

test('a frame of another length is refused', () => {
  assert.throws(() => new OpusEncoder(24_000).encode(new Int16Array(479)), RangeError);
});

test('arbitrary bytes never throw and never give more than 120 ms', () => {
  const decoder = new OpusDecoder(8000);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.ok(decoder.decode(bytes).length <= 960);
      assert.ok(decoder.conceal().length <= 960);
      assert.ok((decoder.restore(bytes)?.length ?? 0) <= 960);
    }),
    { numRuns: 20_000, seed: 6716 },
  );
});

test('the duration of arbitrary bytes is 0 to 120 ms, in steps of 2.5 ms', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4 }), (bytes) => {
      const duration = opusPacketDuration(bytes);
      assert.ok(duration >= 0 && duration <= 5760 && duration % 120 === 0);
    }),
    { numRuns: 100_000, seed: 6716 },
  );
});
