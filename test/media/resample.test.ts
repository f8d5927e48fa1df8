import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Resampler } from '../../src/media/resample.ts';
import { rms } from './wav.ts';
import { seededRandom } from '../support/random.ts';

const RATES = [8000, 16_000, 24_000, 48_000];
const PAIRS = RATES.flatMap((from) => RATES.filter((to) => to !== from).map((to) => [from, to] as const));

for (const [from, to] of PAIRS) {
  const nyquist = Math.min(from, to) / 2;

  test(`${from} to ${to} Hz passes the voice band unchanged`, () => {
    for (const part of [0.03, 0.25, 0.5, 0.75, 0.8]) {
      const gain = gainAt(from, to, nyquist * part);
      assert.ok(Math.abs(20 * Math.log10(gain)) < 0.3, `${nyquist * part} Hz: ${20 * Math.log10(gain)} dB`);
    }
  });

  if (to < from) {
    test(`${from} to ${to} Hz lets nothing fold back into the voice band`, () => {
      for (const frequency of [nyquist * 1.1, nyquist * 1.5, from / 2 - 500]) {
        const gain = gainAt(from, to, frequency);
        assert.ok(20 * Math.log10(gain) < -50, `${frequency} Hz: ${20 * Math.log10(gain)} dB`);
      }
    });
  } else {
    test(`${from} to ${to} Hz adds no image above the old band`, () => {
      const output = new Resampler(from, to).process(sine(from, nyquist * 0.7, 1)).subarray(to / 10);
      const image = from - nyquist * 0.7;
      assert.ok(20 * Math.log10(amplitude(output, to, image) / 10_000) < -60);
    });
  }

  test(`${from} to ${to} Hz gives the same whatever the frames`, () => {
    const random = seededRandom(from + to);
    const input = sine(from, nyquist * 0.4, 1);
    const whole = new Resampler(from, to).process(input);
    const resampler = new Resampler(from, to);
    const parts: number[] = [];
    for (let at = 0; at < input.length; ) {
      const length = Math.floor(random() * from * 0.03);
      parts.push(...resampler.process(input.subarray(at, at + length)));
      at += length;
    }
    assert.equal(whole.length, (input.length * to) / from);
    assert.deepEqual(parts, [...whole]);
  });
}

test('the delay is what the resampler says', () => {
  for (const [from, to] of PAIRS) {
    const resampler = new Resampler(from, to);
    const input = new Int16Array(from / 10);
    input[from / 20] = 30_000;
    const output = resampler.process(input);
    let peak = 0;
    for (let i = 0; i < output.length; i++) if (output[i] > output[peak]) peak = i;
    const delay = (peak * 1000) / to - 50;
    assert.ok(Math.abs(delay - resampler.delayMs) <= 1000 / Math.min(from, to), `${from} to ${to}: ${delay}`);
  }
});

test('the overshoot of a full-scale step clips instead of wrapping round', () => {
  const step = new Int16Array(4800).fill(-32768).fill(32767, 2400);
  const output = new Resampler(48_000, 24_000).process(step).subarray(100);
  const rise = output.findIndex((sample) => sample > 0);
  assert.ok(output.subarray(0, rise).includes(-32768) && output.subarray(rise).includes(32767), 'it overshoots');
  assert.ok(output.subarray(0, rise - 2).every((sample) => sample < -25_000));
  assert.ok(output.subarray(rise + 2).every((sample) => sample > 25_000));
});

function sine(rate: number, frequency: number, seconds: number): Int16Array {
  return Int16Array.from({ length: rate * seconds }, (_, i) => 10_000 * Math.sin((2 * Math.PI * frequency * i) / rate));
}

/** What is left of a tone, wherever it went. */
function gainAt(from: number, to: number, frequency: number): number {
  const output = new Resampler(from, to).process(sine(from, frequency, 0.5));
  return rms(output.subarray(to / 10)) / (10_000 / Math.SQRT2);
}

/** Amplitude of one frequency (a single bin of a Fourier transform). */
function amplitude(samples: Int16Array, rate: number, frequency: number): number {
  let re = 0;
  let im = 0;
  for (let i = 0; i < samples.length; i++) {
    const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / samples.length);
    re += window * samples[i] * Math.cos((2 * Math.PI * frequency * i) / rate);
    im += window * samples[i] * Math.sin((2 * Math.PI * frequency * i) / rate);
  }
  return (4 * Math.hypot(re, im)) / samples.length;
}
