import { parseAddress } from '../src/wire/address.ts';
import { Caller, PlainFlow, type Flow } from './support/caller.ts';
import { percentile } from './support/stats.ts';

/**
 * The load generator of `bench:calls`, a process of its own. Reads its orders as JSON from argv, says `measuring` when
 * all calls are up and talking, and prints what it measured as one line of JSON.
 */
export interface CallLoadOrders {
  /** `…/v1/realtime/calls`, or `udp://host:port` for plain UDP to an echo server. */
  readonly target: string;
  readonly calls: number;
  /** New calls per second while they are being placed. */
  readonly callsPerSecond: number;
  /** How long to measure, s. */
  readonly seconds: number;
}

export interface CallLoadResult {
  readonly calls: number;
  readonly sent: number;
  readonly received: number;
  readonly setupMs: { readonly p50: number; readonly p99: number };
  readonly roundTripMs: { readonly p50: number; readonly p99: number };
}

const FRAME_MS = 20;
/** Frames of different calls are spread over the frame time, as those of callers who know nothing of each other. */
const SLOTS = 20;

const orders = JSON.parse(process.argv[2]) as CallLoadOrders;
const flows: Flow[] = [];
const setups: number[] = [];
const timer = setInterval(tick, FRAME_MS / SLOTS);
let ticksDone = 0;
const startedAt = performance.now();

for (let i = 0; i < orders.calls; i++) {
  const due = startedAt + (i * 1000) / orders.callsPerSecond;
  await pause(due - performance.now());
  flows.push(await openFlow());
}
await pause(500);
for (const flow of flows) flow.measuring = true;
console.log('measuring');
await pause(orders.seconds * 1000);
console.log('measured');
await pause(200);
const figures = flows.map((flow) => flow.figures);
clearInterval(timer);
await Promise.all(flows.map((flow) => flow.close()));

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
const roundTrips = figures.flatMap(({ roundTrips: values }) => values).sort((a, b) => a - b);
const sortedSetups = setups.sort((a, b) => a - b);
const result: CallLoadResult = {
  calls: flows.length,
  sent: sum(figures.map(({ sent }) => sent)),
  received: sum(figures.map(({ received }) => received)),
  setupMs: { p50: percentile(sortedSetups, 50), p99: percentile(sortedSetups, 99) },
  roundTripMs: { p50: percentile(roundTrips, 50), p99: percentile(roundTrips, 99) },
};
console.log(JSON.stringify(result));

async function openFlow(): Promise<Flow> {
  if (orders.target.startsWith('udp://')) return PlainFlow.open(parseAddress(orders.target.slice('udp://'.length)));
  const caller = await Caller.place(orders.target);
  await caller.connected;
  setups.push(caller.setupMs);
  return caller;
}

/** Catches up to the schedule, so that the rate holds when timers are late. */
function tick(): void {
  const now = performance.now();
  for (const due = Math.floor(((now - startedAt) * SLOTS) / FRAME_MS); ticksDone < due; ticksDone++) {
    for (let i = ticksDone % SLOTS; i < flows.length; i += SLOTS) {
      flows[i].sendFrame(now);
      flows[i].tick(now);
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
