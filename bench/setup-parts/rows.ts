import { printTable } from '../support/report.ts';
import { type Figure, figure, percentile } from '../support/stats.ts';
import { MARK_NAMES, MARKS, type Mark, type Setup } from './setup-times.ts';

/** The calls of one kind of caller under one condition of the path. */
export interface Row {
  readonly mode: string;
  readonly roundTripMs: number;
  readonly lossPercent: number;
  readonly calls: number;
  readonly answerMs: Figure;
  /** ms since the answer was applied. */
  readonly marks: Readonly<Record<Mark, Times>>;
  /** ms since the caller wanted to talk: HTTP, and until the agent is heard. */
  readonly sinceTalk: Times;
  /** All up: `session.created` and the agent's audio are here. */
  readonly setup: Times;
}

export interface Times extends Figure {
  readonly p95: number;
  /** Calls in which it did not come within the limit. */
  readonly missed: number;
}

/** @param limitMs what did not come counts as having come then */
export function summarise(condition: Pick<Row, 'mode' | 'roundTripMs' | 'lossPercent'>, runs: readonly Setup[], limitMs: number): Row {
  const times = (of: (setup: Setup) => number | null): Times => {
    const all = runs.map((run) => of(run) ?? limitMs).toSorted((a, b) => a - b);
    return { ...figure(all), p95: percentile(all, 95), missed: runs.filter((run) => of(run) === null).length };
  };
  return {
    ...condition,
    calls: runs.length,
    answerMs: figure(runs.map(({ answerMs }) => answerMs)),
    marks: Object.fromEntries(MARKS.map((mark) => [mark, times((run) => run.times[mark])])) as Row['marks'],
    sinceTalk: times(({ answerMs, times: { agentAudio } }) => agentAudio && answerMs + agentAudio),
    setup: times(({ times: { created, agentAudio } }) => (created === null || agentAudio === null ? null : Math.max(created, agentAudio))),
  };
}

/** Prints rows of one condition. */
export function printRows(rows: readonly Row[]): void {
  const { roundTripMs, lossPercent, calls } = rows[0];
  console.log(`${roundTripMs} ms round trip, ${lossPercent}% loss: median ms since the answer${roundTripMs > 0 ? ' (round trips)' : ''}, ${calls} calls each`);
  printTable([
    ['', 'HTTP', ...MARKS.map((mark) => MARK_NAMES[mark]), 'all up p95', 'missed', 'agent heard since Talk'],
    ...rows.map((row) => [
      row.mode,
      row.answerMs.median.toFixed(1),
      ...MARKS.map((mark) => inRoundTrips(row.marks[mark].median, roundTripMs)),
      inRoundTrips(row.setup.p95, roundTripMs),
      String(row.setup.missed),
      inRoundTrips(row.sinceTalk.median, roundTripMs),
    ]),
  ]);
  console.log('');
}

/** Rows in the order of conditions, and of those of the same condition the last of each caller. */
export function mergeRows(rows: readonly Row[]): Row[] {
  const merged = new Map(rows.map((row) => [`${row.mode}/${row.roundTripMs}/${row.lossPercent}`, row]));
  return [...merged.values()].toSorted((a, b) => a.lossPercent - b.lossPercent || a.roundTripMs - b.roundTripMs);
}

/** The rows of each condition together. */
export function byCondition(rows: readonly Row[]): Row[][] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const condition = `${row.roundTripMs}/${row.lossPercent}`;
    groups.set(condition, [...(groups.get(condition) ?? []), row]);
  }
  return [...groups.values()];
}

function inRoundTrips(ms: number, roundTripMs: number): string {
  return roundTripMs === 0 ? ms.toFixed(0) : `${ms.toFixed(0)} (${(ms / roundTripMs).toFixed(2)})`;
}
