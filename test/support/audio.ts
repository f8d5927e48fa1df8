import { seededRandom } from './random.ts';

/** Sounds for tests: made, stored, compared. All sounds are mono, samples from -1 to 1. */

export interface Sound {
  /** Hertz. */
  readonly sampleRate: number;
  readonly samples: Float32Array;
}

/** A stretch of sound above a threshold, in seconds from the beginning. */
export interface ActiveSpan {
  readonly start: number;
  readonly end: number;
}

export interface Match {
  /** Normalised cross-correlation at the best lag, -1 to 1. */
  readonly peak: number;
  /** Seconds by which the reference is found late in what was heard. */
  readonly lag: number;
}

export interface Similarity {
  /** Share of the reference's pieces that were found in their place, 0 to 1. */
  readonly found: number;
  /** Seconds by which the reference is found late in what was heard, the median of its pieces. */
  readonly lag: number;
}

const DEFAULT_RATE = 48_000;
/** Correlation runs at this rate: enough for speech, and cheap. */
const COMPARE_RATE = 8_000;
const PIECE_SECONDS = 0.1;
const SAME_PLACE_SECONDS = 0.25;

/**
 * Reads a 16-bit PCM WAV file; several channels are mixed to one.
 * @throws {Error} for anything else.
 */
export function readWav(file: Uint8Array): Sound {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const tag = (at: number): string => String.fromCharCode(...file.subarray(at, at + 4));
  if (file.length < 12 || tag(0) !== 'RIFF' || tag(8) !== 'WAVE') throw new Error('not a WAV file');
  let channels = 0;
  let sampleRate = 0;
  for (let at = 12; at + 8 <= file.length; ) {
    const size = view.getUint32(at + 4, true);
    if (tag(at) === 'fmt ') {
      channels = view.getUint16(at + 10, true);
      sampleRate = view.getUint32(at + 12, true);
      if (view.getUint16(at + 22, true) !== 16) throw new Error('not 16-bit PCM');
    } else if (tag(at) === 'data') {
      const start = at + 8;
      // Streaming writers leave the size at its maximum: the end of the file counts.
      const frames = Math.floor(Math.min(size, file.length - start) / (2 * channels));
      const samples = new Float32Array(frames);
      for (let i = 0; i < frames; i++) {
        for (let c = 0; c < channels; c++) {
          samples[i] += view.getInt16(start + 2 * (i * channels + c), true) / 32768 / channels;
        }
      }
      return { sampleRate, samples };
    }
    at += 8 + size + (size & 1);
  }
  throw new Error('WAV file without data');
}

/** A 16-bit PCM WAV file. */
export function writeWav({ sampleRate, samples }: Sound): Uint8Array {
  const header = Buffer.alloc(44);
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(36 + 2 * samples.length, 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(sampleRate, 24);
  header.writeUInt32LE(2 * sampleRate, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36, 'latin1');
  header.writeUInt32LE(2 * samples.length, 40);
  const pcm = toPcm16(samples);
  return Buffer.concat([header, new Uint8Array(pcm.buffer)]);
}

export function toPcm16(samples: Float32Array): Int16Array {
  return Int16Array.from(samples, (sample) => Math.round(Math.max(-1, Math.min(1, sample)) * 32767));
}

export function fromPcm16(samples: Int16Array): Float32Array {
  return Float32Array.from(samples, (sample) => sample / 32768);
}

export function silence(seconds: number, sampleRate = DEFAULT_RATE): Sound {
  return { sampleRate, samples: new Float32Array(Math.round(seconds * sampleRate)) };
}

export function tone(hertz: number, seconds: number, amplitude = 0.3, sampleRate = DEFAULT_RATE): Sound {
  return make(seconds, sampleRate, (t) => amplitude * Math.sin(2 * Math.PI * hertz * t));
}

/** A linear sweep: no two parts of it look alike, so correlation finds exactly one lag. */
export function chirp(from: number, to: number, seconds: number, amplitude = 0.3, sampleRate = DEFAULT_RATE): Sound {
  const slope = (to - from) / seconds;
  return make(seconds, sampleRate, (t) => amplitude * Math.sin(2 * Math.PI * (from + (slope * t) / 2) * t));
}

export function noise(seconds: number, amplitude: number, seed: number, sampleRate = DEFAULT_RATE): Sound {
  const random = seededRandom(seed);
  return make(seconds, sampleRate, () => amplitude * (2 * random() - 1));
}

/**
 * Speech-like: voiced syllables with a wandering pitch, two formants each and short gaps. Never twice the same within
 * a second, like speech, and reproducible.
 */
export function babble(seconds: number, seed: number, sampleRate = DEFAULT_RATE): Sound {
  const random = seededRandom(seed);
  const samples = new Float32Array(Math.round(seconds * sampleRate));
  let at = 0;
  while (at < samples.length) {
    const length = Math.round((0.12 + 0.14 * random()) * sampleRate);
    const pitch = 100 + 90 * random();
    const bend = (random() - 0.5) * 60;
    const formants = [300 + 500 * random(), 1000 + 1400 * random()];
    const harmonics = Array.from({ length: 20 }, (_, i) => {
      const near = (formant: number): number => 1 / (1 + ((pitch * (i + 1) - formant) / 130) ** 2);
      return near(formants[0]) + 0.6 * near(formants[1]) + 0.03;
    });
    let phase = 0;
    for (let i = 0; i < length && at + i < samples.length; i++) {
      phase += (2 * Math.PI * (pitch + (bend * i) / length)) / sampleRate;
      let value = 0;
      for (let h = 0; h < harmonics.length; h++) value += harmonics[h] * Math.sin(phase * (h + 1));
      samples[at + i] = 0.12 * value * Math.sin((Math.PI * i) / length);
    }
    at += length + Math.round(0.05 * random() * sampleRate);
  }
  return { sampleRate, samples };
}

export function concat(...sounds: Sound[]): Sound {
  const sampleRate = sounds[0].sampleRate;
  if (sounds.some((sound) => sound.sampleRate !== sampleRate)) throw new Error('sounds of different sample rates');
  const samples = new Float32Array(sounds.reduce((sum, sound) => sum + sound.samples.length, 0));
  let at = 0;
  for (const sound of sounds) {
    samples.set(sound.samples, at);
    at += sound.samples.length;
  }
  return { sampleRate, samples };
}

/** The part from `start` to `end`, in seconds. */
export function slice({ sampleRate, samples }: Sound, start: number, end = Infinity): Sound {
  return { sampleRate, samples: samples.slice(Math.round(start * sampleRate), Math.round(end * sampleRate)) };
}

/** Band-limited resampling with a windowed sinc. */
export function resample({ sampleRate, samples }: Sound, toRate: number): Sound {
  if (toRate === sampleRate) return { sampleRate, samples };
  const ratio = toRate / sampleRate;
  const cutoff = Math.min(1, ratio);
  const reach = Math.ceil(12 / cutoff);
  const out = new Float32Array(Math.floor(samples.length * ratio));
  for (let i = 0; i < out.length; i++) {
    const centre = i / ratio;
    const first = Math.max(0, Math.ceil(centre - reach));
    const last = Math.min(samples.length - 1, Math.floor(centre + reach));
    let sum = 0;
    for (let j = first; j <= last; j++) {
      const x = (j - centre) * cutoff;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
      const hann = 0.5 + 0.5 * Math.cos((Math.PI * (j - centre)) / reach);
      sum += samples[j] * sinc * hann;
    }
    out[i] = sum * cutoff;
  }
  return { sampleRate: toRate, samples: out };
}

/** Level of each frame in decibels below full scale (RMS), -120 at the least. */
export function envelope({ sampleRate, samples }: Sound, frameSeconds = 0.01): Float32Array {
  const size = Math.round(frameSeconds * sampleRate);
  const levels = new Float32Array(Math.floor(samples.length / size));
  for (let frame = 0; frame < levels.length; frame++) {
    let energy = 0;
    for (let i = frame * size; i < (frame + 1) * size; i++) energy += samples[i] ** 2;
    levels[frame] = Math.max(-120, 10 * Math.log10(energy / size + 1e-12));
  }
  return levels;
}

/**
 * Where something is to be heard: spans above `threshold` decibels, joined over gaps shorter than `gap` seconds.
 * Precise to one frame of 10 ms.
 */
export function activeSpans(sound: Sound, { threshold = -45, gap = 0.3 } = {}): ActiveSpan[] {
  const frame = 0.01;
  const spans: { start: number; end: number }[] = [];
  envelope(sound, frame).forEach((level, i) => {
    if (level < threshold) return;
    const last = spans.at(-1);
    if (last && i * frame - last.end < gap) last.end = (i + 1) * frame;
    else spans.push({ start: i * frame, end: (i + 1) * frame });
  });
  return spans;
}

/** Without the quiet before its first and after its last active span. */
export function trim(sound: Sound): Sound {
  const spans = activeSpans(sound);
  return spans.length === 0 ? sound : slice(sound, spans[0].start, spans[spans.length - 1].end);
}

/** Where in `heard` the whole of `reference` is best found. */
export function correlate(reference: Sound, heard: Sound): Match {
  return correlateAtRate(resample(reference, COMPARE_RATE).samples, resample(heard, COMPARE_RATE).samples);
}

/**
 * Is what was heard what was said? Real receivers stretch and shrink sound a little to fit their buffer, so one
 * correlation over everything fails on good audio. Instead each active tenth of a second of the reference is searched
 * for by itself. `found` is the share of them that were found where the others were too (within a quarter of a second):
 * near 1 for the same words, near 0 for other words, even of the same voice.
 */
export function similarity(reference: Sound, heard: Sound): Similarity {
  const ref = resample(reference, COMPARE_RATE).samples;
  const got = resample(heard, COMPARE_RATE).samples;
  const size = PIECE_SECONDS * COMPARE_RATE;
  const matches: Match[] = [];
  for (let at = 0; at + size <= ref.length; at += size) {
    const piece = ref.subarray(at, at + size);
    if (energyOf(piece) / size < 1e-5) continue;
    const match = correlateAtRate(piece, got);
    matches.push({ peak: match.peak, lag: match.lag - at / COMPARE_RATE });
  }
  if (matches.length === 0) throw new Error('the reference is silent');
  const lag = matches.map((match) => match.lag).sort((a, b) => a - b)[Math.floor(matches.length / 2)];
  const found = matches.filter((match) => match.peak > 0.6 && Math.abs(match.lag - lag) < SAME_PLACE_SECONDS);
  return { found: found.length / matches.length, lag };
}

function make(seconds: number, sampleRate: number, at: (t: number) => number): Sound {
  const samples = new Float32Array(Math.round(seconds * sampleRate));
  for (let i = 0; i < samples.length; i++) samples[i] = at(i / sampleRate);
  return { sampleRate, samples };
}

function energyOf(samples: Float32Array): number {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return sum;
}

/** Cross-correlation through the Fourier transform, normalised by the energies of reference and window. */
function correlateAtRate(reference: Float32Array, heard: Float32Array): Match {
  const lags = heard.length - reference.length + 1;
  if (lags < 1) return { peak: 0, lag: 0 };
  const size = 2 ** Math.ceil(Math.log2(heard.length + reference.length));
  const a = new Spectrum(heard, size);
  const b = new Spectrum(reference, size);
  a.multiplyByConjugate(b);
  const products = a.toSamples();
  const referenceEnergy = energyOf(reference);
  // Quiet windows would make noise look alike: no window counts as quieter than a hundredth of the reference.
  const floor = referenceEnergy / 10_000;
  let windowEnergy = energyOf(heard.subarray(0, reference.length));
  let best: Match = { peak: 0, lag: 0 };
  for (let lag = 0; lag < lags; lag++) {
    const peak = products[lag] / Math.sqrt(referenceEnergy * Math.max(windowEnergy, floor));
    if (peak > best.peak) best = { peak, lag: lag / COMPARE_RATE };
    windowEnergy += (heard[lag + reference.length] ?? 0) ** 2 - heard[lag] ** 2;
  }
  return best;
}

/** A discrete Fourier spectrum of a power-of-two size (iterative radix 2). */
class Spectrum {
  readonly #re: Float64Array;
  readonly #im: Float64Array;

  constructor(samples: Float32Array, size: number) {
    this.#re = new Float64Array(size);
    this.#im = new Float64Array(size);
    this.#re.set(samples);
    transform(this.#re, this.#im);
  }

  multiplyByConjugate(other: Spectrum): void {
    for (let i = 0; i < this.#re.length; i++) {
      const re = this.#re[i] * other.#re[i] + this.#im[i] * other.#im[i];
      this.#im[i] = this.#im[i] * other.#re[i] - this.#re[i] * other.#im[i];
      this.#re[i] = re;
    }
  }

  /** The inverse transform; the spectrum is used up. */
  toSamples(): Float64Array {
    // Swapping the parts of input and output turns the forward transform into the inverse one.
    transform(this.#im, this.#re);
    return this.#re.map((value) => value / this.#re.length);
  }
}

function transform(re: Float64Array, im: Float64Array): void {
  const size = re.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j |= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let length = 2; length <= size; length <<= 1) {
    const half = length >> 1;
    for (let k = 0; k < half; k++) {
      const cos = Math.cos((-2 * Math.PI * k) / length);
      const sin = Math.sin((-2 * Math.PI * k) / length);
      for (let i = k; i < size; i += length) {
        const xr = re[i + half] * cos - im[i + half] * sin;
        const xi = re[i + half] * sin + im[i + half] * cos;
        re[i + half] = re[i] - xr;
        im[i + half] = im[i] - xi;
        re[i] += xr;
        im[i] += xi;
      }
    }
  }
}
