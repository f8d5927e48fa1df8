import { setTimeout as pause } from 'node:timers/promises';
import { percentile } from '../support/stats.ts';
import { CLEAN } from '../talk-parts/impairment.ts';
import { Talker } from '../talk-parts/talker.ts';

/** The callers of `bench:pacing`, a process of its own: they listen, and say when each frame came. */
export interface PacingOrders {
  readonly url: string;
  readonly calls: number;
  readonly seconds: number;
}

export type PacingReport =
  | { readonly type: 'listening' }
  | { readonly type: 'result'; readonly frames: number; readonly p50: number; readonly p99: number; readonly max: number };

const SETTING_UP = 4;
const WARM_UP_MS = 1000;

const orders = JSON.parse(process.argv[2]) as PacingOrders;
/** How late each frame came by its timestamp, per call, ms. */
const offsets: number[][] = [];
const talkers: Talker[] = [];
let listening = false;
const timer = setInterval(() => {
  const now = performance.now();
  for (const talker of talkers) talker.tick(now);
}, 20);

await Promise.all(
  Array.from({ length: SETTING_UP }, async (_, lane) => {
    for (let i = lane; i < orders.calls; i += SETTING_UP) {
      const talker = await Talker.call({ url: orders.url, agent: 'speaker', impairment: CLEAN, seed: i, redundancy: null });
      const own: number[] = [];
      offsets.push(own);
      talker.onHeard = ({ timestamp, at }) => {
        if (listening) own.push(at - timestamp / 48);
      };
      talkers.push(talker);
    }
  }),
);
// As callers who know nothing of each other: over a whole number of frame times and a bit.
for (const talker of talkers) {
  talker.sendEvent({ type: 'response.create' });
  await pause(1);
}
await pause(WARM_UP_MS);
listening = true;
process.send?.({ type: 'listening' } satisfies PacingReport);
await pause(orders.seconds * 1000);
listening = false;
const errors = Float64Array.from(
  offsets.flatMap((own) => {
    const middle = percentile(own.toSorted((a, b) => a - b), 50);
    return own.map((offset) => Math.abs(offset - middle));
  }),
).sort();
const result: PacingReport = { type: 'result', frames: errors.length, p50: percentile(errors, 50), p99: percentile(errors, 99), max: errors[errors.length - 1] };
clearInterval(timer);
process.send?.(result, () => process.exit());
