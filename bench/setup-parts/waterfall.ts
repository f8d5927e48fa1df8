import { MARK_NAMES, type Mark } from './setup-times.ts';

export interface WaterfallRow {
  readonly name: string;
  /** Medians, ms since the answer was applied. */
  readonly at: Readonly<Record<Mark, number>>;
}

const WIDTH = 860;
const LEFT = 170;
const RIGHT = 30;
const TOP = 64;
const LANE = 46;
const BAR = 14;
/** What a caller waits for, one after the other. */
const STAGES = [
  { mark: 'ice', color: '#8fb8de' },
  { mark: 'dtls', color: '#e6b566' },
  { mark: 'channel', color: '#a8c686' },
] as const satisfies readonly { mark: Mark; color: string }[];
const DOTS = [
  { mark: 'agentAudio', color: '#c0392b' },
  { mark: 'callerAudio', color: '#8e44ad' },
  { mark: 'created', color: '#1f6f4a' },
] as const satisfies readonly { mark: Mark; color: string }[];

/** A picture of set-ups: a bar per caller for what has to come up, and dots for what a person notices. */
export function waterfall(rows: readonly WaterfallRow[], roundTripMs: number): string {
  const last = Math.max(...rows.flatMap(({ at }) => Object.values(at)));
  const scale = (WIDTH - LEFT - RIGHT) / last;
  const x = (ms: number): string => (LEFT + ms * scale).toFixed(1);
  const height = TOP + rows.length * LANE + 24;
  const grid = Array.from({ length: Math.floor(last / roundTripMs) + 1 }, (_, trip) => [
    `<line x1="${x(trip * roundTripMs)}" y1="${TOP - 14}" x2="${x(trip * roundTripMs)}" y2="${height - 22}" class="grid"/>`,
    `<text x="${x(trip * roundTripMs)}" y="${height - 8}" text-anchor="middle" class="small">${trip} RTT</text>`,
  ]).flat();
  const legend = [...STAGES, ...DOTS].map(({ mark, color }, i) => {
    const at = LEFT + i * 112;
    const shape = i < STAGES.length ? `<rect x="${at}" y="16" width="12" height="12" fill="${color}"/>` : `<circle cx="${at + 6}" cy="22" r="5" fill="${color}"/>`;
    return `${shape}<text x="${at + 17}" y="26" class="small">${MARK_NAMES[mark]}</text>`;
  });
  const lanes = rows.flatMap(({ name, at }, i) => {
    const y = TOP + i * LANE;
    let from = 0;
    const bars = STAGES.map(({ mark, color }) => {
      const to = Math.max(from, at[mark]);
      const bar = `<rect x="${x(from)}" y="${y}" width="${((to - from) * scale).toFixed(1)}" height="${BAR}" fill="${color}"/>`;
      from = to;
      return bar;
    });
    const dots = DOTS.map(({ mark, color }, row) => {
      const title = `<title>${MARK_NAMES[mark]}: ${at[mark].toFixed(0)} ms</title>`;
      return `<circle cx="${x(at[mark])}" cy="${y + BAR + 5 + row * 5}" r="4" fill="${color}">${title}</circle>`;
    });
    return [`<text x="${LEFT - 12}" y="${y + BAR - 2}" text-anchor="end">${name}</text>`, ...bars, ...dots];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13" role="img">`,
    `<title>Set-up of a call from its answer on, at a round trip of ${roundTripMs} ms</title>`,
    '<style>text{fill:#333}.small{font-size:11px}.grid{stroke:#ccc;stroke-dasharray:3 3}@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#555}}</style>',
    ...legend,
    ...grid,
    ...lanes,
    '</svg>',
    '',
  ].join('\n');
}
