import { readFileSync } from 'node:fs';
import { OPUS_CLOCK_RATE, type PcmRate } from '../../src/media/opus.ts';
import { OpusEncoder } from '../../src/media/opus-encoder.ts';
import { seededRandom } from '../support/random.ts';

export interface Wav {
  readonly rate: PcmRate;
  readonly samples: Int16Array;
}

/** Reads a mono 16-bit WAV of `test/fixtures/audio`. */
export function readWav(name: string): Wav {
  const file = readFileSync(new URL(`../../../test/fixtures/audio/${name}`, import.meta.url));
  let rate = 0;
  for (let at = 12; at + 8 <= file.length; ) {
    const id = file.toString('latin1', at, at + 4);
    const length = file.readUInt32LE(at + 4);
    if (id === 'fmt ') rate = file.readUInt32LE(at + 12);
    if (id === 'data') {
      const samples = new Int16Array(length / 2);
      for (let i = 0; i < samples.length; i++) samples[i] = file.readInt16LE(at + 8 + i * 2);
      return { rate: rate as PcmRate, samples };
    }
    at += 8 + length + (length & 1);
  }
  throw new Error(`${name} has no samples`);
}

/** Samples with silence of `beforeMs` and `afterMs` around them. */
export function padded({ rate, samples }: Wav, beforeMs: number, afterMs: number): Wav {
  const before = (rate * beforeMs) / 1000;
  const all = new Int16Array(before + samples.length + (rate * afterMs) / 1000);
  all.set(samples, before);
  return { rate, samples: all };
}

/** With the faint noise of a microphone: nothing of it is digital silence. */
export function inRoom({ rate, samples }: Wav): Wav {
  const random = seededRandom(66);
  return { rate, samples: samples.map((sample) => Math.max(-32_768, Math.min(32_767, sample + Math.round((random() - 0.5) * 60)))) };
}

/** The packets that a browser would send for this sound: 20 ms each, with forward error correction. */
export function encodeWav({ rate, samples }: Wav): Uint8Array[] {
  const encoder = new OpusEncoder(rate);
  encoder.protect(true);
  const packets: Uint8Array[] = [];
  for (let at = 0; at + encoder.frameSize <= samples.length; at += encoder.frameSize) {
    packets.push(encoder.encode(samples.subarray(at, at + encoder.frameSize)));
  }
  return packets;
}

/** Where the sound begins and ends: first and last 10 ms above -40 dB of full scale, in milliseconds. */
export function soundBounds({ rate, samples }: Wav): { startMs: number; endMs: number } {
  const frame = rate / 100;
  let startMs = -1;
  let endMs = 0;
  for (let at = 0; at + frame <= samples.length; at += frame) {
    let sum = 0;
    for (const sample of samples.subarray(at, at + frame)) sum += sample * sample;
    if (Math.sqrt(sum / frame) < 328) continue;
    if (startMs < 0) startMs = (at * 1000) / rate;
    endMs = ((at + frame) * 1000) / rate;
  }
  return { startMs, endMs };
}

export function rms(samples: Int16Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / samples.length);
}

export const FRAME_DURATION = OPUS_CLOCK_RATE / 50;
