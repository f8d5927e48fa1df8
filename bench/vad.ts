import { ONSET_MS, TurnDetector } from '../src/media/turn-detector.ts';
import { Resampler } from '../src/media/resample.ts';
import { benchArguments, finish, goal, printTable } from './support/report.ts';
import { median, percentile } from './support/stats.ts';
import { type Candidate, loadCandidates } from './vad-parts/detectors.ts';
import { makeScenes, type Material, MATERIALS, type Scene } from './vad-parts/scenes.ts';

/**
 * Voice detectors that install from npm, model included, on the same labelled sound, each in front of the same turn
 * detection. Made speech is not people: the comparison ranks, its rates are no promise.
 */
interface Judgement {
  /** From the beginning of speech to the decision, ms, one per utterance that was found. */
  readonly delays: number[];
  readonly utterances: number;
  readonly missed: number;
  /** Turns that began where nobody spoke. */
  readonly falseStarts: number;
  readonly cpuMicros: number;
  readonly audioMs: number;
}

interface Summary {
  readonly name: string;
  readonly licence: string;
  readonly frameMs: number;
  readonly delayP50: number;
  readonly delayP95: number;
  readonly missed: number;
  readonly utterances: number;
  readonly falseStarts: number;
  readonly cpuMicrosPer10Ms: number;
}

interface Report {
  readonly material: string;
  readonly summary: readonly Summary[];
  readonly results: readonly { readonly detector: string; readonly scene: string; readonly judgement: Judgement }[];
}

const SETTINGS = { threshold: 0.5, prefixPaddingMs: 0, silenceDurationMs: 500 };
/** A start so much before the speech is no find. */
const EARLY_MS = 50;

const args = benchArguments();
const { candidates, missing } = await loadCandidates();
for (const sentence of missing) console.log(`Not compared: ${sentence}`);
if (missing.length > 0) console.log('npm install --no-save onnxruntime-node @ricky0123/vad-web @echogarden/rnnoise-wasm\n');
const reports: Report[] = [];
for (const material of MATERIALS) reports.push(await compare(material));
const held = reports.find(({ material }) => material === 'held out')!;
const used = held.summary[0];
const quiet = held.results.find(({ detector, scene }) => detector === used.name && scene === 'quiet room')!.judgement;
finish('vad', reports, [
  goal('onset decided, quiet room, median', median(quiet.delays), 'ms', 60, 'at most'),
  goal('CPU of the detector in use', used.cpuMicrosPer10Ms, 'µs per 10 ms', 50, 'at most'),
], args);

/** Runs every detector over every scene made of this, and prints the tables. */
async function compare(material: Material): Promise<Report> {
  const scenes = makeScenes(material);
  const results: Report['results'][number][] = [];
  for (const scene of scenes) {
    for (const candidate of candidates) results.push({ detector: candidate.name, scene: scene.name, judgement: await judge(candidate, scene) });
  }
  printTable([
    [`scene, ${material.name}`, ...candidates.map(({ name }) => name)],
    ...scenes.map(({ name }) => [name, ...results.filter(({ scene }) => scene === name).map(({ judgement }) => cell(judgement))]),
  ]);
  console.log('');
  const summary = candidates.map((candidate) => summarise(candidate, results));
  printTable([
    [`detector, ${material.name}`, 'licence', 'frame ms', 'onset p50 ms', 'p95', 'missed', 'false starts', 'CPU µs per 10 ms'],
    ...summary.map((row) => [
      row.name,
      row.licence,
      String(row.frameMs),
      row.delayP50.toFixed(0),
      row.delayP95.toFixed(0),
      `${row.missed} of ${row.utterances}`,
      String(row.falseStarts),
      row.cpuMicrosPer10Ms.toFixed(1),
    ]),
  ]);
  console.log('');
  return { material: material.name, summary, results };
}

function cell({ utterances, missed, falseStarts, delays }: Judgement): string {
  return utterances === 0 ? `${falseStarts} false` : `${median(delays).toFixed(0)} ms, ${missed} missed, ${falseStarts} false`;
}

function summarise({ name, licence, frameMs }: Candidate, results: Report['results']): Summary {
  const own = results.filter(({ detector }) => detector === name).map(({ judgement }) => judgement);
  const sum = (of: (judgement: Judgement) => number): number => own.reduce((total, judgement) => total + of(judgement), 0);
  const delays = own.flatMap(({ delays: some }) => some).toSorted((a, b) => a - b);
  return {
    name,
    licence,
    frameMs,
    delayP50: percentile(delays, 50),
    delayP95: percentile(delays, 95),
    missed: sum(({ missed }) => missed),
    utterances: sum(({ utterances }) => utterances),
    falseStarts: sum(({ falseStarts }) => falseStarts),
    cpuMicrosPer10Ms: (10 * sum(({ cpuMicros }) => cpuMicros)) / sum(({ audioMs }) => audioMs),
  };
}

/** Runs one detector over one scene, with the turn detection of calls behind it. */
async function judge(candidate: Candidate, { samples, speech, echoing }: Scene): Promise<Judgement> {
  const { rate, frameMs } = candidate;
  const detector = await candidate.open();
  const sound = rate === 48_000 ? samples : new Resampler(48_000, rate).process(samples);
  const turns = new TurnDetector(SETTINGS);
  const size = (rate * frameMs) / 1000;
  const starts: number[] = [];
  const before = process.cpuUsage();
  for (let at = 0; at + size <= sound.length; at += size) {
    const event = turns.process(await detector.process(sound.subarray(at, at + size), echoing), frameMs);
    if (event?.type === 'speech_started') starts.push(((at + size) * 1000) / rate);
  }
  const { user, system } = process.cpuUsage(before);
  detector.close();
  // The end of an utterance rings on in the detector for a while: a start within an utterance is no second one.
  const within = (ms: number): boolean => speech.some(({ startMs, endMs }) => ms >= startMs - EARLY_MS + ONSET_MS && ms <= endMs + 100);
  const delays = speech.flatMap(({ startMs, endMs }) => {
    const found = starts.find((ms) => ms >= startMs - EARLY_MS + ONSET_MS && ms <= endMs + 100);
    return found === undefined ? [] : [found - startMs];
  });
  return {
    delays,
    utterances: speech.length,
    missed: speech.length - delays.length,
    falseStarts: starts.filter((ms) => !within(ms)).length,
    cpuMicros: user + system,
    audioMs: (sound.length * 1000) / rate,
  };
}
