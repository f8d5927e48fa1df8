import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AnswerTimes, placeCalls, printAnswerTimes, readAnswerTimes } from './setup-parts/answers.ts';
import { DelayedDeployment } from './setup-parts/deployment.ts';
import { goals } from './setup-parts/goals.ts';
import { MODES, type Mode } from './setup-parts/modes.ts';
import { byCondition, mergeRows, printRows, type Row, summarise } from './setup-parts/rows.ts';
import { MARKS, type Mark, type Setup, type SetupCaller } from './setup-parts/setup-times.ts';
import { timeLine } from './setup-parts/time-line.ts';
import { waterfall } from './setup-parts/waterfall.ts';
import { commandLine } from './support/arguments.ts';
import { finish, goal } from './support/report.ts';
import { percentile } from './support/stats.ts';

/**
 * How long a call takes to come up: real Chromium and Earshot's own client core call a relay and a transceiver through a
 * path with delay and loss. Callers take turns within each round. Times count from the answer applied, in ms and in round
 * trips of the path; HTTP is delayed alike and reported apart, and `since Talk` counts both: a call whose answer was asked
 * for ahead (`instant`) has no HTTP.
 *
 * The whole takes some twelve minutes. It may be taken in parts, each with `--out`, that a last run puts together with
 * `--merge`.
 */
const values = commandLine({
  quick: { type: 'boolean', default: false },
  out: { type: 'string' },
  /** Where to draw the loss-free set-ups at the longest round trip. */
  svg: { type: 'string' },
  /** Only callers whose name ends with one of these, parted by commas; `all`, also with loss. */
  modes: { type: 'string' },
  rtts: { type: 'string' },
  losses: { type: 'string' },
  rounds: { type: 'string' },
  /** Where to write the time line of each call: what crossed the path, and when. */
  trace: { type: 'string' },
  /** Files that earlier runs wrote, parted by commas: puts them together and measures nothing. */
  merge: { type: 'string' },
});

interface Results {
  readonly rows: readonly Row[];
  /** While nobody else called. */
  readonly answers: AnswerTimes;
}

const LIMIT_MS = 10_000;
const ROUNDS = values.quick ? 3 : 5;
/** With loss the 95th percentile is looked at: of fewer calls it would be the slowest. */
const LOSSY_ROUNDS = values.quick ? 5 : 24;
const ANSWERS = values.quick ? 150 : 300;
/** Of event loops, ms. */
const ANSWER_LIMIT_MS = 2;

report(values.merge === undefined ? await measureAll() : mergeParts(values.merge.split(',')));

async function measureAll(): Promise<Results> {
  const roundTrips = numbers(values.rtts) ?? (values.quick ? [100] : [0, 50, 100, 200]);
  const losses = numbers(values.losses) ?? (values.quick ? [0, 10] : [0, 2, 10]);
  const wanted = (values.modes ?? (values.quick ? 'chromium,WARP' : 'all')).split(',').map((name) => name.trim());
  const chosen = (lossPercent: number): Mode[] =>
    MODES.filter(({ name, lossy }) => (values.modes !== undefined || lossy || lossPercent === 0) && wanted.some((end) => end === 'all' || name.endsWith(end)));
  if (values.trace !== undefined) rmSync(values.trace, { force: true });
  const deployment = await DelayedDeployment.start();
  const callers = new Map<Mode, SetupCaller>();
  try {
    await placeCalls(deployment.directEndpoint, ANSWERS);
    const answers = readAnswerTimes(await deployment.metrics());
    printAnswerTimes(answers);
    for (const mode of new Set(losses.flatMap(chosen))) callers.set(mode, await mode.open(deployment.endpoint));
    for (const caller of callers.values()) await caller.call(LIMIT_MS);
    const rows: Row[] = [];
    for (const lossPercent of losses) {
      const took = new Map(chosen(lossPercent).map((mode) => [mode, callers.get(mode)!]));
      for (const roundTripMs of roundTrips) rows.push(...(await measure(deployment, took, roundTripMs, lossPercent)));
    }
    const lateness = (await deployment.path.lateness()).toSorted((a, b) => a - b);
    console.log(`The path itself was late by ${percentile(lateness, 50).toFixed(2)} ms (median), ${percentile(lateness, 99).toFixed(1)} ms (p99).\n`);
    return { rows, answers };
  } finally {
    for (const caller of callers.values()) await caller.close();
    await deployment.close();
  }
}

async function measure(deployment: DelayedDeployment, callers: ReadonlyMap<Mode, SetupCaller>, roundTripMs: number, lossPercent: number): Promise<Row[]> {
  const rounds = values.rounds === undefined ? (lossPercent === 0 ? ROUNDS : LOSSY_ROUNDS) : Number(values.rounds);
  const setups = new Map<Mode, Setup[]>(Array.from(callers.keys(), (mode) => [mode, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [mode, caller] of callers) {
      await deployment.impose({ roundTripMs, loss: lossPercent / 100, seed: round + 1 });
      const setup = await caller.call(LIMIT_MS);
      setups.get(mode)!.push(setup);
      if (values.trace !== undefined) {
        const title = `${mode.name}, ${roundTripMs} ms, ${lossPercent}% loss, round ${round + 1}`;
        appendFileSync(values.trace, timeLine(title, setup, await deployment.path.crossings()));
      }
    }
  }
  const rows = Array.from(setups, ([mode, runs]) => summarise({ mode: mode.name, roundTripMs, lossPercent }, runs, LIMIT_MS));
  printRows(rows);
  return rows;
}

function mergeParts(files: readonly string[]): Results {
  const parts = files.map((file) => (JSON.parse(readFileSync(file, 'utf8')) as { results: Results }).results);
  const rows = mergeRows(parts.flatMap((part) => part.rows));
  const { answers } = parts[0];
  printAnswerTimes(answers);
  for (const condition of byCondition(rows)) printRows(condition);
  return { rows, answers };
}

function report(results: Results): void {
  const { rows, answers } = results;
  if (values.svg !== undefined) draw(rows, values.svg);
  const answered = goal('event-loop time of an answer, p99', answers.eventLoopP99Ms, 'ms', ANSWER_LIMIT_MS, 'at most');
  finish('setup', results, [...goals(rows), answered], { out: values.out ?? null });
}

function draw(rows: readonly Row[], file: string): void {
  const free = rows.filter(({ lossPercent }) => lossPercent === 0);
  const roundTripMs = Math.max(...free.map((row) => row.roundTripMs));
  const drawn = free.filter((row) => row.roundTripMs === roundTripMs);
  const medians = ({ marks }: Row): Record<Mark, number> => Object.fromEntries(MARKS.map((mark) => [mark, marks[mark].median])) as Record<Mark, number>;
  writeFileSync(file, waterfall(drawn.map((row) => ({ name: row.mode, at: medians(row) })), roundTripMs));
}

function numbers(list: string | undefined): number[] | null {
  return list === undefined ? null : list.split(',').map(Number);
}
