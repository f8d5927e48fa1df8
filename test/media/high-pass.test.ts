import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HighPass } from '../../src/media/high-pass.ts';
import { rms } from './wav.ts';

/** Level of a tone after the filter, dB relative to before, past its beginning; in pieces of any length. */
function response(hertz: number, rate: number): number {
  const filter = new HighPass(rate, 180);
  const tone = Int16Array.from({ length: rate }, (_, i) => Math.round(8000 * Math.sin((2 * Math.PI * hertz * i) / rate)));
  const out = new Int16Array(rate);
  for (let at = 0; at < rate; at += 137) filter.process(tone.subarray(at, at + 137), out.subarray(at));
  return 20 * Math.log10(rms(out.subarray(rate / 4)) / rms(tone.subarray(rate / 4)));
}

for (const rate of [8000, 16_000, 24_000, 48_000]) {
  test(`${rate} Hz: rumble and hum go, voice stays`, () => {
    assert.ok(response(30, rate) < -28, `${response(30, rate)}`);
    assert.ok(response(50, rate) < -20, `${response(50, rate)}`);
    assert.ok(Math.abs(response(180, rate) + 3) < 0.2, `${response(180, rate)}`);
    assert.ok(response(400, rate) > -0.5, `${response(400, rate)}`);
    assert.ok(Math.abs(response(1500, rate)) < 0.1, `${response(1500, rate)}`);
  });
}
