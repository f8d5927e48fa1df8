import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  activeSpans,
  babble,
  chirp,
  concat,
  correlate,
  noise,
  readWav,
  resample,
  silence,
  similarity,
  slice,
  tone,
  trim,
  writeWav,
  type Sound,
} from './audio.ts';

function mix(a: Sound, b: Sound): Sound {
  return { sampleRate: a.sampleRate, samples: a.samples.map((sample, i) => sample + (b.samples[i] ?? 0)) };
}

function close(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected} ± ${tolerance}`);
}

test('a WAV file loses nothing but rounding on its way out and in', () => {
  const sound = babble(0.5, 1);
  const back = readWav(writeWav(sound));
  assert.equal(back.sampleRate, 48_000);
  assert.equal(back.samples.length, sound.samples.length);
  back.samples.forEach((sample, i) => close(sample, sound.samples[i], 1e-4));
});

test('a stereo file is mixed, and one whose writer never came back to fill in the size is read to its end', () => {
  const mono = tone(500, 0.01);
  const left = writeWav({ sampleRate: 48_000, samples: new Float32Array([0.5, 0, 0.2, 0]) });
  const view = new DataView(left.buffer, left.byteOffset, left.byteLength);
  view.setUint16(22, 2, true);
  assert.deepEqual([...readWav(left).samples].map((sample) => sample.toFixed(2)), ['0.25', '0.10']);
  const endless = writeWav(mono);
  new DataView(endless.buffer, endless.byteOffset, endless.byteLength).setUint32(40, 0xffff_ffff, true);
  assert.equal(readWav(endless).samples.length, mono.samples.length);
  assert.throws(() => readWav(Buffer.from('no sound at all')), /not a WAV file/);
});

test('what was sent is found in a late, quieter and noisy copy, at the right lag', () => {
  const sent = babble(1.5, 2);
  const quiet: Sound = { sampleRate: 48_000, samples: sent.samples.map((sample) => sample / 3) };
  const heard = mix(noise(3, 0.01, 3), concat(silence(0.437), quiet));
  const match = correlate(sent, heard);
  assert.ok(match.peak > 0.9, `peak ${match.peak}`);
  close(match.lag, 0.437, 0.001);
});

test('another voice, silence and noise do not pass for what was sent', () => {
  const sent = babble(1.5, 4);
  for (const other of [babble(3, 5), silence(3), noise(3, 0.2, 6), tone(300, 3)]) {
    const { found } = similarity(sent, other);
    assert.ok(found < 0.25, `found ${found}`);
    assert.ok(correlate(sent, other).peak < 0.4);
  }
});

test('a copy that a receiver has stretched in the middle still passes piecewise', () => {
  const sent = babble(2, 7);
  const stretched = concat(slice(sent, 0, 0.8), slice(sent, 0.78, 1.4), slice(sent, 1.38));
  const match = similarity(sent, concat(silence(0.2), stretched, silence(0.2)));
  assert.ok(match.found > 0.9, `found ${match.found}`);
  close(match.lag, 0.2, 0.025);
});

test('something shorter than the reference gives no match instead of nonsense', () => {
  assert.deepEqual(correlate(babble(1, 8), silence(0.1)), { peak: 0, lag: 0 });
});

test('resampling keeps a tone and removes what the new rate cannot carry', () => {
  const low = resample(mix(tone(440, 1), tone(9000, 1)), 8000);
  assert.equal(low.samples.length, 8000);
  const clean = tone(440, 1, 0.3, 8000);
  assert.ok(correlate(slice(clean, 0.1, 0.9), low).peak > 0.99);
});

test('onset and end of speech are found to one hundredth of a second, short gaps joined', () => {
  const sound = concat(silence(0.5), tone(300, 0.4), silence(0.1), tone(300, 0.2), silence(1), tone(300, 0.1), silence(0.2));
  const spans = activeSpans(sound);
  assert.equal(spans.length, 2);
  close(spans[0].start, 0.5, 0.01);
  close(spans[0].end, 1.2, 0.01);
  close(spans[1].start, 2.2, 0.01);
  close(trim(sound).samples.length / 48_000, 1.8, 0.02);
  assert.deepEqual(activeSpans(silence(1)), []);
});

test('generated sounds are the same for the same seed and do not clip', () => {
  assert.deepEqual(babble(0.3, 9).samples, babble(0.3, 9).samples);
  assert.notDeepEqual(babble(0.3, 9).samples, babble(0.3, 10).samples);
  for (const sound of [babble(3, 11), chirp(100, 3000, 1)]) {
    assert.ok(sound.samples.every((sample) => Math.abs(sample) < 1));
  }
});
