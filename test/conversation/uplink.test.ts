import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Uplink } from '../../src/conversation/uplink.ts';
import { FvadVoiceDetector } from '../../src/media/voice-activity.ts';
import { encodeWav, padded, readWav, rms } from '../media/wav.ts';

const settings = { threshold: 0.5, prefixPaddingMs: 300, silenceDurationMs: 500 };
const packets = encodeWav(padded(readWav('hello.wav'), 0, 0));

function listen(turns: typeof settings | null = null): { uplink: Uplink; heard: Int16Array[]; events: string[] } {
  const heard: Int16Array[] = [];
  const events: string[] = [];
  const uplink = new Uplink(16_000, turns, {
    samples: (samples) => void heard.push(samples),
    turn: ({ type }) => void events.push(type),
  });
  return { uplink, heard, events };
}

test('lost packets are replaced by as much, the last one out of the next, and counted', () => {
  const { uplink, heard } = listen();
  packets.forEach((packet, i) => {
    if (i !== 40 && i !== 41) uplink.push(packet, i, i * 960, i * 20);
  });
  assert.deepEqual(uplink.counters, { decoded: packets.length - 2, restored: 1, concealed: 1, invalid: 0, late: 0, duplicate: 0, waitMs: uplink.counters.waitMs });
  assert.equal(uplink.positionMs, packets.length * 20);
  assert.ok(rms(heard[40]) > 100, 'the sound goes on');
});

test('a pause without packets is filled with silence of its length, as far as time has passed', () => {
  const { uplink, heard } = listen();
  uplink.push(packets[40], 1, 0, 0);
  uplink.push(packets[41], 2, 960 * 11, 220);
  assert.equal(uplink.positionMs, 240);
  assert.ok(heard.slice(1, 11).every((samples) => rms(samples) === 0));
  uplink.push(packets[42], 3, 960 * 100_000, 240);
  assert.ok(uplink.positionMs <= 280, 'timestamps alone make no audio');
});

test('silence assumed for want of packets is not filled in a second time', () => {
  const { uplink, events } = listen(settings);
  packets.slice(0, 60).forEach((packet, i) => uplink.push(packet, i, i * 960, i * 20));
  assert.deepEqual(events, ['speech_started']);
  for (let now = 1200; now < 1500; now += 20) uplink.tick(now);
  uplink.push(packets[60], 60, 75 * 960, 1500);
  assert.ok(Math.abs(uplink.positionMs - 1520) <= 40, `${uplink.positionMs}`);
});

test('packets that a bad path delays are not taken for silence a second time', () => {
  const { uplink, heard, events } = listen(settings);
  let now = 0;
  packets.slice(0, 60).forEach((packet, i) => {
    // Twice in the middle of speech nothing comes for 200 ms, then all of it at once.
    if (i === 30 || i === 45) for (let pause = 180; pause > 0; pause -= 20) uplink.tick((now += 20));
    const behind = (i > 30 && i < 40) || (i > 45 && i < 55);
    if (!behind) now += 20;
    uplink.push(packet, i, i * 960, now);
  });
  assert.deepEqual(events, ['speech_started']);
  const silent = heard.map((samples) => rms(samples) === 0);
  const assumed = silent.filter(Boolean).length;
  assert.ok(assumed > 0 && assumed <= 5, `${assumed} frames of silence: assumed the first time only`);
  assert.equal(silent.lastIndexOf(true), 30 + assumed - 1);
});

test('packets of 60 ms and of 2.5 ms are watched as those of 20 ms are', () => {
  const { uplink, events } = listen(settings);
  // Three frames of 20 ms in one packet (RFC 6716, section 3.2.5), each with its length.
  let timestamp = 0;
  for (let i = 0; i + 3 <= packets.length; i += 3) {
    const frames = packets.slice(i, i + 3);
    const lengths = frames.slice(0, 2).flatMap(({ length }) => (length - 1 < 252 ? [length - 1] : []));
    if (lengths.length < 2 || frames.some((frame) => frame[0] !== frames[0][0])) continue;
    uplink.push(Uint8Array.of(frames[0][0] | 3, 0x83, ...lengths, ...frames.flatMap((frame) => [...frame.subarray(1)])), i / 3, timestamp, i * 20);
    timestamp += 2880;
  }
  assert.equal(uplink.counters.invalid, 0);
  assert.deepEqual(events, ['speech_started']);
});

test('closing frees the detector: more callers one after another than there is memory for at once', () => {
  const atOnce = 15_500;
  const others = Array.from({ length: atOnce - 500 }, () => new FvadVoiceDetector(16_000));
  for (let i = 0; i < 1000; i++) listen(settings).uplink.close();
  for (const detector of others) detector.close();
});
