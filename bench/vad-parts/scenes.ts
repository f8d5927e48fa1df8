import { spawnSync } from 'node:child_process';
import { envelope, noise, readWav, resample, type Sound } from '../../test/support/audio.ts';
import { seededRandom } from '../../test/support/random.ts';

/** What a caller's line sounds like, with the truth about it. Times in ms from its beginning. */
export interface Scene {
  readonly name: string;
  /** 48 kHz, 16 bit. */
  readonly samples: Int16Array;
  /** The agent is being heard. */
  readonly echoing: boolean;
  readonly speech: readonly { readonly startMs: number; readonly endMs: number }[];
}

const RATE = 48_000;
const GAP_SECONDS = 1.4;
const LEAD_SECONDS = 2;
type Line = readonly [voice: string, text: string];

/** What scenes are made of. */
export interface Material {
  readonly name: string;
  readonly sentences: readonly Line[];
  readonly agent: Line;
  /** Of noise and music. */
  readonly seed: number;
}

const TUNED_SENTENCES: readonly Line[] = [
  ['en-us', 'Hello there, how are you today?'],
  ['en-gb+f3', 'Stop, wait a moment.'],
  ['en-us+m3', 'Well, tomorrow at ten would be fine.'],
  ['en-us+f2', 'No.'],
  ['en-gb', 'My number is four seven one, nine nine three.'],
  ['en-us+m1', 'Yes, please.'],
  ['en-gb+f4', 'Could you say that again?'],
];
const TUNED_AGENT: Line = ['en-us+m7', 'I have found three flights for you. The first one leaves at nine in the morning and the second one shortly after noon.'];

const HELD_OUT_SENTENCES: readonly Line[] = [
  ['en-gb-scotland', 'Can you move it to Friday, please?'],
  ['en-us+f5', 'Hang on a second.'],
  ['en-029+m2', 'I would rather take the early train.'],
  ['en-gb-x-rp+f1', 'Okay.'],
  ['en-us+m4', 'The code is eight, zero, two, six.'],
  ['en-gb+m5', 'That is not what I meant.'],
  ['en-us+f4', 'Sorry, who is this?'],
];
const HELD_OUT_AGENT: Line = ['en-gb+f5', 'Your parcel has left the depot and should be with you by six this evening. Shall I send you the link to follow it?'];

/** On the first the gate of the detector in use was set; the second it has never been shown. */
export const MATERIALS: readonly Material[] = [
  { name: 'tuned on', sentences: TUNED_SENTENCES, agent: TUNED_AGENT, seed: 0 },
  { name: 'held out', sentences: HELD_OUT_SENTENCES, agent: HELD_OUT_AGENT, seed: 100 },
];

/** Every scene that detectors are compared on. @throws {Error} without espeak-ng. */
export function makeScenes({ sentences, agent: agentLine, seed }: Material): Scene[] {
  const spoken = sentences.map(speak);
  const { track, speech } = sequence(spoken);
  const seconds = track.length / RATE;
  const level = rms(spoken[0].samples);
  const mixed = (name: string, other: Float32Array, signalToNoise: number): Scene => scene(name, track, other, (level / rms(other)) * 10 ** (-signalToNoise / 20), speech);
  const agent = repeated(speak(agentLine).samples, track.length);
  const white = noise(seconds, 1, seed + 1, RATE).samples;
  const brown = brownNoise(track.length, seed + 2);
  const music = makeMusic(track.length, seed + 3);
  const nobody = new Float32Array(track.length);
  const alone = (name: string, other: Float32Array, below: number): Scene => scene(name, nobody, other, (level / rms(other)) * 10 ** (-below / 20), []);
  return [
    scene('quiet room', track, white, level * 10 ** -3, speech),
    mixed('white noise, 20 dB below', white, 20),
    mixed('white noise, 10 dB below', white, 10),
    mixed('street rumble, 5 dB below', brown, 5),
    mixed('music, 15 dB below', music, 15),
    mixed('own echo, 25 dB below', agent, 25),
    alone('nobody, white noise', white, 15),
    alone('nobody, street rumble', brown, 5),
    alone('nobody, music', music, 15),
    alone('nobody, own echo, 25 dB', agent, 25),
    alone('nobody, own echo, 35 dB', agent, 35),
    scene('nobody, keyboard', nobody, clicks(track.length, seed + 4), 1, []),
  ];
}

function speak([voice, text]: readonly [string, string]): Sound {
  const { stdout, error } = spawnSync('espeak-ng', ['-v', voice, '-s', '150', '--stdout', text], { maxBuffer: 2 ** 24 });
  if (error) throw new Error(`espeak-ng makes the speech: ${error.message}`);
  const sound = resample(readWav(stdout), RATE);
  const [first, last] = bounds(sound);
  return { sampleRate: RATE, samples: sound.samples.slice(first, last) };
}

function bounds(sound: Sound): [number, number] {
  const levels = [...envelope(sound)];
  const frame = RATE / 100;
  return [levels.findIndex((level) => level > -45) * frame, (levels.findLastIndex((level) => level > -45) + 1) * frame];
}

function sequence(sounds: readonly Sound[]): { track: Float32Array; speech: Scene['speech'] } {
  const gap = GAP_SECONDS * RATE;
  const length = sounds.reduce((sum, { samples }) => sum + samples.length + gap, LEAD_SECONDS * RATE);
  const track = new Float32Array(length);
  const speech: { startMs: number; endMs: number }[] = [];
  let at = LEAD_SECONDS * RATE;
  for (const { samples } of sounds) {
    track.set(samples, at);
    speech.push({ startMs: (at * 1000) / RATE, endMs: ((at + samples.length) * 1000) / RATE });
    at += samples.length + gap;
  }
  return { track, speech };
}

function scene(name: string, track: Float32Array, other: Float32Array, gain: number, speech: Scene['speech']): Scene {
  const samples = Int16Array.from(track, (sample, i) => Math.round(Math.max(-1, Math.min(1, sample + gain * other[i])) * 32_767));
  return { name, samples, speech, echoing: name.includes('own echo') };
}

function repeated(samples: Float32Array, length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => samples[i % samples.length]);
}

function brownNoise(length: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  let level = 0;
  return Float32Array.from({ length }, () => (level = 0.995 * level + 0.05 * (2 * random() - 1)));
}

/** Chords of decaying plucked notes, two a second. */
function makeMusic(length: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  const out = new Float32Array(length);
  const scale = [220, 261.6, 293.7, 329.6, 392, 440, 523.3];
  for (let start = 0; start < length; start += RATE / 2) {
    for (let note = 0; note < 3; note++) {
      const hertz = scale[Math.floor(random() * scale.length)];
      for (let i = 0; i < RATE && start + i < length; i++) {
        const phase = (2 * Math.PI * hertz * i) / RATE;
        out[start + i] += Math.exp((-3 * i) / RATE) * (Math.sin(phase) + 0.4 * Math.sin(2 * phase) + 0.2 * Math.sin(3 * phase));
      }
    }
  }
  return out;
}

/** Short knocks of noise, five a second or so. */
function clicks(length: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  const out = new Float32Array(length);
  for (let at = 0; at < length; at += Math.round(RATE * (0.1 + 0.2 * random()))) {
    for (let i = 0; i < RATE * 0.015 && at + i < length; i++) out[at + i] = 0.2 * (2 * random() - 1) * Math.exp((-i * 300) / RATE);
  }
  return out;
}

function rms(samples: Float32Array): number {
  return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
}
