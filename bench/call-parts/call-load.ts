import { parseAddress } from '../../src/wire/address.ts';
import type { OpenSocket } from '../support/core-end.ts';
import { percentile } from '../support/stats.ts';
import { BareFlow } from './bare-flow.ts';
import { Caller, PlainFlow, type Flow } from './caller.ts';
import { LoopbackHosts } from './loopback-hosts.ts';

/**
 * The load generator of `bench:calls`, a process of its own with the calls to one server. It places them, says
 * `ready`, and talks only when its parent tells it to measure: so several of them can take turns with their calls up.
 *
 *   parent ── orders (argv) ──► places calls ── ready ──► parent
 *   parent ── "measure" ──► talks, warm ── measuring ──► … ── measured ──► … stragglers … ── result ──► parent
 */
export interface CallLoadOrders {
  /**
   * `…/v1/realtime/calls`; `udp://host:port` for plain UDP to an echo server; `bare://host:port/ufrag` for SRTP without a
   * call, through the relay there to the `bare-echo` that the routing token names.
   */
  readonly target: string;
  readonly calls: number;
  /** Calls that are being set up at a time. */
  readonly settingUp: number;
  /** How long one measurement takes, s. */
  readonly seconds: number;
}

export type CallLoadReport =
  /** Null where there is nothing to set up. */
  | { readonly type: 'ready'; readonly setupMs: Percentiles | null }
  | { readonly type: 'measuring' | 'measured' }
  | { readonly type: 'result'; readonly result: CallLoadResult };

export interface CallLoadResult {
  readonly sent: number;
  readonly received: number;
  readonly roundTripMs: Percentiles;
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

const FRAME_MS = 20;
/** Frames of different calls are spread over the frame time, as those of callers who know nothing of each other. */
const SLOTS = 20;
const WARM_UP_MS = 300;
const STRAGGLERS_MS = 200;

const orders = JSON.parse(process.argv[2]) as CallLoadOrders;
const hosts = new LoopbackHosts();
const openSocket: OpenSocket = (handler) => hosts.open(handler);
const flows: Flow[] = [];
const setups: number[] = [];
let talking = false;
let slotsDone = 0;
let lastSsrc = 0;
const startedAt = performance.now();
const timer = setInterval(catchUp, FRAME_MS / SLOTS);
process.on('message', () => void measure());
process.once('disconnect', () => void end());

await Promise.all(
  Array.from({ length: orders.settingUp }, async (_, lane) => {
    for (let i = lane; i < orders.calls; i += orders.settingUp) flows.push(await openFlow());
  }),
);
report({ type: 'ready', setupMs: setups.length === 0 ? null : percentiles(setups) });

async function openFlow(): Promise<Flow> {
  const { target } = orders;
  if (target.startsWith('udp://')) return PlainFlow.open(parseAddress(target.slice('udp://'.length)), openSocket);
  if (target.startsWith('bare://')) return BareFlow.open(target.slice('bare://'.length), ++lastSsrc, openSocket);
  const caller = await Caller.place(target, { openSocket });
  await caller.connected;
  setups.push(caller.setupMs);
  return caller;
}

async function measure(): Promise<void> {
  talking = true;
  await pause(WARM_UP_MS);
  const from = performance.now();
  for (const flow of flows) flow.figures.restart(from);
  report({ type: 'measuring' });
  await pause(orders.seconds * 1000);
  report({ type: 'measured' });
  talking = false;
  await pause(STRAGGLERS_MS);
  const figures = flows.map((flow) => flow.figures);
  report({
    type: 'result',
    result: {
      sent: figures.reduce((sum, { sent }) => sum + sent, 0),
      received: figures.reduce((sum, { roundTrips }) => sum + roundTrips.length, 0),
      roundTripMs: percentiles(figures.flatMap(({ roundTrips }) => roundTrips)),
    },
  });
}

async function end(): Promise<void> {
  clearInterval(timer);
  await Promise.all(flows.map((flow) => flow.close()));
  hosts.close();
  process.exit();
}

/** Catches up to the schedule, so that the rate holds when timers are late. */
function catchUp(): void {
  const now = performance.now();
  for (const due = Math.floor(((now - startedAt) * SLOTS) / FRAME_MS); slotsDone < due; slotsDone++) {
    hosts.together(() => act(slotsDone % SLOTS, now));
  }
}

function act(slot: number, now: number): void {
  for (let i = slot; i < flows.length; i += SLOTS) {
    if (talking) flows[i].sendFrame(now);
    flows[i].tick(now);
  }
}

function report(message: CallLoadReport): void {
  process.send?.(message);
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b);
  return { p50: percentile(sorted, 50), p99: percentile(sorted, 99) };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
