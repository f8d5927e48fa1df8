import { percentile } from '../support/stats.ts';
import { echoCall, type EchoFigures } from './echo-call.ts';
import type { Impairment } from './impairment.ts';
import { parrotCall, type ParrotFigures } from './parrot-call.ts';
import { Stalls } from './stalls.ts';
import { Talker } from './talker.ts';

/**
 * The callers of `bench:talk`, a process of its own: places the calls, lets them talk, and reports what was heard.
 * Frames of different calls are spread over the frame time, as those of callers who know nothing of each other.
 */
export interface TalkOrders {
  readonly url: string;
  readonly scenario: 'echo' | 'parrot';
  readonly calls: number;
  /** How long an echo call talks. */
  readonly seconds: number;
  /** How often a caller of the parrot speaks and interrupts. */
  readonly rounds: number;
  readonly impairment: Impairment;
  readonly redundant: boolean;
  readonly seed: number;
  /** How much later than the quickest a frame may come and still be heard: the caller's jitter buffer. */
  readonly earMs: number;
}

export interface Distribution {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export interface TalkResult {
  /** There and back, on all calls. */
  readonly packetsLost: number;
  readonly framesRecovered: number;
  /** Times when the callers' process did not run, ms. */
  readonly ownStalls: Distribution;
  readonly echo: { readonly [figure in keyof EchoFigures]: Distribution };
  readonly parrot: { readonly [figure in keyof ParrotFigures]: Distribution };
}

/** What is said next, and when: called once per 20 ms with the present time. */
export type Microphone = (now: number) => Uint8Array;

/** One call that has its microphone on until `talk` is done. */
export type CallScript<Figures> = (talker: Talker, orders: TalkOrders, stalls: Stalls) => { microphone: Microphone; done: Promise<Figures> };

const FRAME_MS = 20;
const SLOTS = 20;

const orders = JSON.parse(process.argv[2]) as TalkOrders;
const open: { talker: Talker; microphone: Microphone }[] = [];
const startedAt = performance.now();
const stalls = new Stalls();
let slotsDone = 0;
const timer = setInterval(catchUp, FRAME_MS / SLOTS);

const talkers: Talker[] = [];
for (let i = 0; i < orders.calls; i++) {
  talkers.push(
    await Talker.call({
      url: orders.url,
      agent: orders.scenario,
      impairment: orders.impairment,
      seed: orders.seed + 2 * i,
      redundancy: orders.redundant ? 2 : null,
    }),
  );
}
const echo: EchoFigures[] = [];
const parrot: ParrotFigures[] = [];
await Promise.all(
  talkers.map(async (talker) => {
    if (orders.scenario === 'echo') echo.push(await run(talker, echoCall));
    else parrot.push(await run(talker, parrotCall));
  }),
);
const result: TalkResult = {
  packetsLost: talkers.reduce((sum, { lost }) => sum + lost.out + lost.in, 0),
  framesRecovered: talkers.reduce((sum, { stats }) => sum + stats.framesRecovered, 0),
  ownStalls: distribution(stalls.lengths),
  echo: distributions(echo),
  parrot: distributions(parrot),
};
clearInterval(timer);
await Promise.all(talkers.map((talker) => talker.close()));
process.send?.(result, () => process.exit());

async function run<Figures>(talker: Talker, script: CallScript<Figures>): Promise<Figures> {
  const { microphone, done } = script(talker, orders, stalls);
  open.push({ talker, microphone });
  return done;
}

/** Catches up to the schedule, so that the rate holds when timers are late. */
function catchUp(): void {
  const now = performance.now();
  // While calls are set up it does stall, and nobody talks.
  if (open.length > 0) stalls.tick(now);
  for (const due = Math.floor(((now - startedAt) * SLOTS) / FRAME_MS); slotsDone < due; slotsDone++) {
    for (let i = slotsDone % SLOTS; i < open.length; i += SLOTS) {
      const { talker, microphone } = open[i];
      talker.say(microphone(performance.now()), now);
      talker.tick(now);
    }
  }
}

function distributions<Figures extends Record<string, readonly number[]>>(calls: readonly Figures[]): { [figure in keyof Figures]: Distribution } {
  const names = Object.keys(calls[0] ?? {}) as (keyof Figures)[];
  return Object.fromEntries(names.map((name) => [name, distribution(calls.flatMap((call) => call[name]))])) as {
    [figure in keyof Figures]: Distribution;
  };
}

function distribution(values: readonly number[]): Distribution {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (p: number): number => percentile(sorted, p);
  return { count: sorted.length, p50: at(50), p95: at(95), p99: at(99), max: sorted.at(-1) ?? Number.NaN };
}
