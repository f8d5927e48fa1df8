import type { RandomSource } from '../../src/webrtc/index.ts';

/** Uniform numbers from 0 up to, but not including, 1, the same for the same seed (Tommy Ettinger's mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Fills with bytes that are the same for the same seed: for machines that take their randomness as an input. */
export function seededBytes(seed: number): RandomSource {
  const random = seededRandom(seed);
  return (bytes) => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = random() * 256;
  };
}
