import { goal, type Goal } from '../support/report.ts';
import { MODES, type Mode } from './modes.ts';
import type { Row } from './rows.ts';
import { MARK_NAMES, type Mark } from './setup-times.ts';

/** Round trips at which the goals are looked at, ms. */
const ROUND_TRIPS = [100, 200];
const LOSSES = [2, 10];
/** With loss, of the loss-free median. */
const LOSSY_TIMES = 2.5;
/** What two medians of the same thing differ by on a busy machine, ms. */
const NOISE_MS = 10;

/** What the figures are held against; goals of which a figure is missing are left out. */
export function goals(rows: readonly Row[]): Goal[] {
  const find = (mode: string, roundTripMs: number, lossPercent = 0): Row | undefined =>
    rows.find((row) => row.mode === mode && row.roundTripMs === roundTripMs && row.lossPercent === lossPercent);
  return [
    ...MODES.filter(({ name }) => name.startsWith('chromium')).flatMap((mode) => ROUND_TRIPS.flatMap((roundTripMs) => ofBrowser(mode, roundTripMs, find))),
    ...MODES.flatMap((mode) => ROUND_TRIPS.flatMap((roundTripMs) => noSlower(mode, roundTripMs, find))),
  ];
}

type Find = (mode: string, roundTripMs: number, lossPercent?: number) => Row | undefined;

function ofBrowser({ name, warp }: Mode, roundTripMs: number, find: Find): Goal[] {
  const free = find(name, roundTripMs);
  if (free === undefined) return [];
  const [trips, slackMs] = warp ? [1, 80] : [2, 60];
  const limited = (mark: Mark, times: number): Goal =>
    goal(`${name}, ${roundTripMs} ms: ${MARK_NAMES[mark]}`, free.marks[mark].median, 'ms', times * roundTripMs + slackMs, 'at most');
  const lossy = LOSSES.flatMap((lossPercent) => {
    const row = find(name, roundTripMs, lossPercent);
    if (row === undefined) return [];
    const times = row.setup.p95 / free.setup.median;
    return [goal(`${name}, ${roundTripMs} ms, ${lossPercent}% loss: p95 of set-up, times the loss-free median`, times, '', LOSSY_TIMES, 'at most')];
  });
  return [limited('agentAudio', trips), limited('callerAudio', trips + 0.5), ...(warp ? [limited('created', trips)] : []), ...lossy];
}

/** What shortens the set-up must not lengthen it, whatever the other side makes of it. */
function noSlower({ name, than }: Mode, roundTripMs: number, find: Find): Goal[] {
  const row = find(name, roundTripMs);
  const plain = than === undefined ? undefined : find(than, roundTripMs);
  if (row === undefined || plain === undefined) return [];
  return (['agentAudio', 'callerAudio', 'created'] as const).map((mark) =>
    goal(`${name}, ${roundTripMs} ms: ${MARK_NAMES[mark]}, no later than ${than!}`, row.marks[mark].median, 'ms', Math.round(plain.marks[mark].median + NOISE_MS), 'at most'),
  );
}
