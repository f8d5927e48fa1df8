import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { DelayedDeployment } from './setup-parts/deployment.ts';
import { MODES, type Mode } from './setup-parts/modes.ts';
import { MARK_NAMES, MARKS, type Mark, type Setup, type SetupCaller } from './setup-parts/setup-times.ts';
import { waterfall } from './setup-parts/waterfall.ts';
import { histogramPercentile } from './support/histogram.ts';
import { finish, goal, type Goal, printTable } from './support/report.ts';
import { type Figure, figure, percentile } from './support/stats.ts';

/**
 * How long a call takes to come up: real Chromium and Earshot's own client core call a relay and a transceiver through a
 * UDP path with delay and loss. Callers take turns within each round. Times count from the answer applied, in ms and in
 * round trips of the path; HTTP is not delayed and reported apart.
 */
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    out: { type: 'string' },
    /** Where to draw the loss-free set-ups at the longest round trip. */
    svg: { type: 'string' },
    /** Only callers whose name ends with one of these, parted by commas; `all`. */
    modes: { type: 'string' },
    rtts: { type: 'string' },
    losses: { type: 'string' },
    rounds: { type: 'string' },
  },
});

const LIMIT_MS = 10_000;
/** Round trips at which the goals are looked at, ms. */
const GOAL_ROUND_TRIPS = [100, 200];
const ROUNDS = values.quick ? 3 : 9;
/** With loss the 95th percentile is looked at. */
const LOSSY_ROUNDS = values.quick ? 5 : 20;

interface Row {
  readonly mode: string;
  readonly roundTripMs: number;
  readonly lossPercent: number;
  readonly answerMs: Figure;
  /** ms since the answer was applied. */
  readonly marks: Readonly<Record<Mark, Figure & { readonly p95: number; readonly missed: number }>>;
  /** All up: `session.created` and the agent's audio are here. */
  readonly setup: Figure & { readonly p95: number; readonly missed: number };
}

const roundTrips = numbers(values.rtts) ?? (values.quick ? [100] : [0, 50, 100, 200]);
const losses = numbers(values.losses) ?? (values.quick ? [0, 10] : [0, 2, 10]);
const wanted = (values.modes ?? (values.quick ? 'chromium,WARP' : 'all')).split(',').map((name) => name.trim());
const modes = MODES.filter(({ name }) => wanted.some((end) => end === 'all' || name.endsWith(end)));

const deployment = await DelayedDeployment.start();
const callers = new Map<Mode, SetupCaller>();
try {
  for (const mode of modes) callers.set(mode, await mode.open(deployment.endpoint));
  for (const caller of callers.values()) await caller.call(LIMIT_MS);
  const rows: Row[] = [];
  for (const lossPercent of losses) for (const roundTripMs of roundTrips) rows.push(...(await measure(roundTripMs, lossPercent)));
  const lateness = (await deployment.path.lateness()).toSorted((a, b) => a - b);
  console.log(`The path itself was late by ${percentile(lateness, 50).toFixed(2)} ms (median), ${percentile(lateness, 99).toFixed(1)} ms (p99).\n`);
  const answers = await answerTimes();
  if (values.svg !== undefined) draw(rows, values.svg);
  finish('setup', { rows, answers }, [...goals(rows), goal('event-loop time of an answer, p99', answers.eventLoopP99Ms, 'ms', 2, 'at most')], { out: values.out ?? null });
} finally {
  for (const caller of callers.values()) await caller.close();
  await deployment.close();
}

async function measure(roundTripMs: number, lossPercent: number): Promise<Row[]> {
  const rounds = values.rounds === undefined ? (lossPercent === 0 ? ROUNDS : LOSSY_ROUNDS) : Number(values.rounds);
  const setups = new Map<Mode, Setup[]>(modes.map((mode) => [mode, []]));
  for (let round = 0; round < rounds; round++) {
    for (const mode of modes) {
      await deployment.path.impose({ roundTripMs, loss: lossPercent / 100, seed: round + 1 });
      setups.get(mode)!.push(await callers.get(mode)!.call(LIMIT_MS));
    }
  }
  const rows = Array.from(setups, ([mode, runs]) => summarise(mode, roundTripMs, lossPercent, runs));
  console.log(`${roundTripMs} ms round trip, ${lossPercent}% loss: median ms since the answer${roundTripMs > 0 ? ' (round trips)' : ''}, ${rounds} calls each`);
  printTable([
    ['', 'HTTP', ...MARKS.map((mark) => MARK_NAMES[mark]), 'all up p95', 'missed'],
    ...rows.map((row) => [
      row.mode,
      row.answerMs.median.toFixed(1),
      ...MARKS.map((mark) => inRoundTrips(row.marks[mark].median, roundTripMs)),
      inRoundTrips(row.setup.p95, roundTripMs),
      String(row.setup.missed),
    ]),
  ]);
  console.log('');
  return rows;
}

function summarise(mode: Mode, roundTripMs: number, lossPercent: number, runs: readonly Setup[]): Row {
  const summary = (of: (setup: Setup) => number | null): Row['setup'] => {
    // What did not come counts as having come at the limit.
    const all = runs.map((run) => of(run) ?? LIMIT_MS).toSorted((a, b) => a - b);
    return { ...figure(all), p95: percentile(all, 95), missed: runs.filter((run) => of(run) === null).length };
  };
  return {
    mode: mode.name,
    roundTripMs,
    lossPercent,
    answerMs: figure(runs.map(({ answerMs }) => answerMs)),
    marks: Object.fromEntries(MARKS.map((mark) => [mark, summary(({ times }) => times[mark])])) as Row['marks'],
    setup: summary(({ times: { created, agentAudio } }) => (created === null || agentAudio === null ? null : Math.max(created, agentAudio))),
  };
}

function goals(rows: readonly Row[]): Goal[] {
  return modes.filter(({ name }) => name.startsWith('chromium')).flatMap(({ name, warp }) => {
    const at = (roundTripMs: number, lossPercent: number): Row | undefined =>
      rows.find((row) => row.mode === name && row.roundTripMs === roundTripMs && row.lossPercent === lossPercent);
    const [trips, slackMs] = warp ? [1, 80] : [2, 60];
    return GOAL_ROUND_TRIPS.flatMap((roundTripMs) => {
      const free = at(roundTripMs, 0);
      if (free === undefined) return [];
      const limited = (mark: Mark, times: number): Goal =>
        goal(`${name}, ${roundTripMs} ms: ${MARK_NAMES[mark]}`, free.marks[mark].median, 'ms', times * roundTripMs + slackMs, 'at most');
      const lossy = [2, 10].flatMap((lossPercent) => {
        const row = at(roundTripMs, lossPercent);
        if (row === undefined) return [];
        const times = row.setup.p95 / free.setup.median;
        return [goal(`${name}, ${roundTripMs} ms, ${lossPercent}% loss: p95 of set-up, times the loss-free median`, times, '', 2.5, 'at most')];
      });
      return [limited('agentAudio', trips), limited('callerAudio', trips + 0.5), ...(warp ? [limited('created', trips)] : []), ...lossy];
    });
  });
}

/** How long the server took to answer the offers of this run. */
async function answerTimes(): Promise<{ eventLoopP50Ms: number; eventLoopP99Ms: number; wholeP50Ms: number; wholeP99Ms: number }> {
  const text = await deployment.metrics();
  const ms = (part: string, p: number): number => 1000 * histogramPercentile(text, 'earshot_answer_seconds', `part="${part}"`, p);
  const answers = {
    eventLoopP50Ms: ms('event_loop', 50),
    eventLoopP99Ms: ms('event_loop', 99),
    wholeP50Ms: ms('whole', 50),
    wholeP99Ms: ms('whole', 99),
  };
  console.log(
    `An answer kept the worker's event loop busy for ${answers.eventLoopP50Ms.toFixed(1)} ms (median), ${answers.eventLoopP99Ms.toFixed(1)} ms (p99); ` +
      `from the offer read to the answer ready ${answers.wholeP50Ms.toFixed(1)} ms (median), ${answers.wholeP99Ms.toFixed(1)} ms (p99).\n`,
  );
  return answers;
}

function draw(rows: readonly Row[], file: string): void {
  const roundTripMs = Math.max(...roundTrips);
  const drawn = rows.filter((row) => row.lossPercent === 0 && row.roundTripMs === roundTripMs);
  const medians = ({ marks }: Row): Record<Mark, number> => Object.fromEntries(MARKS.map((mark) => [mark, marks[mark].median])) as Record<Mark, number>;
  writeFileSync(file, waterfall(drawn.map((row) => ({ name: row.mode, at: medians(row) })), roundTripMs));
}

function inRoundTrips(ms: number, roundTripMs: number): string {
  return roundTripMs === 0 ? ms.toFixed(0) : `${ms.toFixed(0)} (${(ms / roundTripMs).toFixed(2)})`;
}

function numbers(list: string | undefined): number[] | null {
  return list === undefined ? null : list.split(',').map(Number);
}
