import { FRAME_MS } from './opus.ts';
import { OpusEncoder } from './opus-encoder.ts';

/** Length of the loop in frames: too long to be heard as one. */
const FRAMES = 25;
const RATE = 24_000;
/** Peak of the noise in 16-bit units: -66 dB of full scale on average. */
const PEAK = 28;

let packets: readonly Uint8Array[] | null = null;

/** The `i`th 20 ms of a faint noise, as an Opus packet: a line on which it is heard is not dead. Encoded once per thread. */
export function comfortNoise(i: number): Uint8Array {
  packets ??= encode();
  return packets[i % FRAMES];
}

function encode(): readonly Uint8Array[] {
  const encoder = new OpusEncoder(RATE);
  const samples = new Int16Array((RATE * FRAME_MS) / 1000);
  let state = 1;
  return Array.from({ length: FRAMES }, () => {
    for (let i = 0; i < samples.length; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      samples[i] = Math.round((state / 2 ** 31 - 1) * PEAK);
    }
    return encoder.encode(samples);
  });
}
