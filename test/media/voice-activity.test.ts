import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PcmRate } from '../../src/media/opus.ts';
import { Resampler } from '../../src/media/resample.ts';
import { TurnDetector, type TurnEvent } from '../../src/media/turn-detector.ts';
import { FvadVoiceDetector, levelOf, type VoiceDetector } from '../../src/media/voice-activity.ts';
import { padded, readWav, soundBounds, type Wav } from './wav.ts';
import { seededRandom } from '../support/random.ts';

const RATES: readonly PcmRate[] = [8000, 16_000, 24_000, 48_000];
const settings = { threshold: 0.5, prefixPaddingMs: 0, silenceDurationMs: 500 };

/** What every detector must do; a new one is added by a row here. */
const DETECTORS: Record<string, (rate: PcmRate) => VoiceDetector> = {
  fvad: (rate) => new FvadVoiceDetector(rate),
};

for (const [name, create] of Object.entries(DETECTORS)) {
  for (const rate of RATES) {
    for (const file of ['hello.wav', 'interrupt.wav', 'pauses.wav']) {
      for (const noise of [0, 100, 300]) {
        // "Stop" begins with a voiceless s, which is noise itself: in noise only the vowel after it can be heard.
        const limit = file === 'interrupt.wav' && noise > 0 ? 180 : 60;
        test(`${name} at ${rate} Hz finds ${file} in noise of ${noise} within ${limit} ms and without a false start`, () => {
          const spoken = padded(readWav(file), 1000, 1500);
          const { startMs, endMs } = soundBounds(spoken);
          const wav = atRate(spoken, rate);
          const { events } = listen(create(rate), addNoise(wav, noise));
          const starts = events.filter(({ event }) => event.type === 'speech_started');
          assert.ok(starts[0].at > startMs - 30, `false start at ${starts[0].at}, speech at ${startMs}`);
          assert.ok(starts[0].at <= startMs + limit, `${starts[0].at - startMs} ms after the onset`);
          const last = events.at(-1)!;
          assert.equal(last.event.type, 'speech_stopped');
          assert.ok(last.at > endMs + 300 && last.at <= endMs + 850, `${last.at - endMs} ms after the end`);
        });
      }
    }
  }

  test(`${name} does not take noise, hum or silence for speech`, () => {
    let rumble = 0;
    const sounds: Record<string, (i: number, random: () => number) => number> = {
      silence: () => 0,
      'white noise': (_, random) => (random() - 0.5) * 2000,
      hum: (i) => 1500 * Math.sin((2 * Math.PI * 50 * i) / 16_000),
      rumble: (_, random) => 40_000 * (rumble = 0.995 * rumble + 0.05 * (random() - 0.5)),
      clicks: (i) => (i % 16_000 === 0 ? 20_000 : 0),
    };
    for (const [sound, sample] of Object.entries(sounds)) {
      const random = seededRandom(7);
      const samples = Int16Array.from({ length: 16_000 * 10 }, (_, i) => sample(i, random));
      assert.deepEqual(listen(create(16_000), { rate: 16_000, samples }).events, [], sound);
    }
  });

  test(`${name} does not take for the caller what comes back of the agent's voice, and hears the caller all the same`, () => {
    const wav = atRate(padded(readWav('hello.wav'), 500, 1500), 16_000);
    const part = (divisor: number): Wav => ({ rate: 16_000, samples: wav.samples.map((sample) => sample / divisor) });
    assert.equal(listen(create(16_000), addNoise(part(30), 4)).events.length, 2, 'loud enough to be speech');
    assert.deepEqual(listen(create(16_000), addNoise(part(30), 4), settings, true).events, []);
    assert.equal(listen(create(16_000), addNoise(part(6), 4), settings, true).events.length, 2);
  });

  test(`${name} hears quiet speech, and a high threshold does not`, () => {
    const wav = atRate(padded(readWav('hello.wav'), 500, 1500), 16_000);
    const quiet: Wav = { rate: 16_000, samples: wav.samples.map((sample) => sample / 30) };
    assert.equal(listen(create(16_000), addNoise(quiet, 4)).events.length, 2);
    assert.deepEqual(listen(create(16_000), addNoise(quiet, 100), { ...settings, threshold: 0.9 }).events, []);
  });

  test(`${name} after reset hears as if new`, () => {
    const wav = addNoise(atRate(padded(readWav('interrupt.wav'), 300, 900), 24_000), 50);
    const detector = create(24_000);
    const first = listen(detector, wav).probabilities;
    detector.reset();
    assert.deepEqual(listen(detector, wav).probabilities, first);
  });

  test(`${name} refuses a frame of another length, and is silent once closed`, () => {
    const detector = create(16_000);
    assert.throws(() => detector.process(new Int16Array(159)), RangeError);
    detector.close();
    detector.close();
    assert.equal(detector.process(new Int16Array(160)), 0);
    detector.reset();
    assert.equal(detector.process(new Int16Array(160)), 0);
  });

  test(`${name} frees what it holds: 30,000 detectors one after another`, () => {
    for (let i = 0; i < 30_000; i++) create(16_000).close();
  });
}

test('level is relative to full scale', () => {
  assert.equal(levelOf(new Int16Array(10)), -Infinity);
  assert.ok(Math.abs(levelOf(new Int16Array(10).fill(-32768))) < 1e-9);
  assert.ok(Math.abs(levelOf(new Int16Array(10).fill(3277)) + 20) < 0.01);
});

function listen(detector: VoiceDetector, { rate, samples }: Wav, turn = settings, echoing = false): { events: { at: number; event: TurnEvent }[]; probabilities: number[] } {
  const turns = new TurnDetector(turn);
  const events: { at: number; event: TurnEvent }[] = [];
  const probabilities: number[] = [];
  const size = rate / 100;
  for (let at = 0; at + size <= samples.length; at += size) {
    const probability = detector.process(samples.subarray(at, at + size), echoing);
    probabilities.push(probability);
    const event = turns.process(probability, 10);
    if (event !== null) events.push({ at: ((at + size) * 1000) / rate, event });
  }
  return { events, probabilities };
}

function atRate(wav: Wav, rate: PcmRate): Wav {
  return wav.rate === rate ? wav : { rate, samples: new Resampler(wav.rate, rate).process(wav.samples) };
}

function addNoise({ rate, samples }: Wav, amplitude: number): Wav {
  const random = seededRandom(amplitude);
  return { rate, samples: samples.map((sample) => sample + (random() * 2 - 1) * amplitude) };
}
