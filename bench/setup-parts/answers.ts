import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PROJECT } from '../../test/support/paths.ts';
import { histogramPercentile } from '../support/histogram.ts';

/** How long the server took to answer offers; ms. `…Loop`: what its threads computed for one answer. */
export interface AnswerTimes {
  readonly answers: number;
  readonly eventLoopP50Ms: number;
  readonly eventLoopP99Ms: number;
  readonly httpThreadP99Ms: number;
  readonly callThreadP99Ms: number;
  readonly wholeP50Ms: number;
  readonly wholeP99Ms: number;
}

const PAUSE_MS = 10;

/** Offers what Chromium offers, one call after the other, and hangs up: callers who come while nobody else does. */
export async function placeCalls(endpoint: string, count: number): Promise<void> {
  const body = readFileSync(path.join(PROJECT, 'test/fixtures/sdp/chromium-audio-data.sdp'), 'utf8');
  for (let i = 0; i < count; i++) {
    const response = await fetch(endpoint, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body });
    const answer = await response.text();
    if (!response.ok) throw new Error(`the server answered ${response.status}: ${answer}`);
    await fetch(new URL(response.headers.get('Location')!, endpoint), { method: 'DELETE' });
    await sleep(PAUSE_MS);
  }
}

/** @param metrics Prometheus text of the transceiver */
export function readAnswerTimes(metrics: string): AnswerTimes {
  const ms = (part: string, p: number): number => 1000 * histogramPercentile(metrics, 'earshot_answer_seconds', `part="${part}"`, p);
  return {
    answers: Number(/^earshot_answer_seconds_count\{part="whole"\} (\d+)/m.exec(metrics)?.[1] ?? 0),
    eventLoopP50Ms: ms('event_loop', 50),
    eventLoopP99Ms: ms('event_loop', 99),
    httpThreadP99Ms: ms('http_thread', 99),
    callThreadP99Ms: ms('call_thread', 99),
    wholeP50Ms: ms('whole', 50),
    wholeP99Ms: ms('whole', 99),
  };
}

export function printAnswerTimes(times: AnswerTimes): void {
  const { answers, eventLoopP50Ms, eventLoopP99Ms, httpThreadP99Ms, callThreadP99Ms, wholeP50Ms, wholeP99Ms } = times;
  console.log(
    `${answers} answers: event loops computed ${eventLoopP50Ms.toFixed(1)} ms (median), ${eventLoopP99Ms.toFixed(1)} ms (p99) for one, ` +
      `that of HTTP ${httpThreadP99Ms.toFixed(1)} ms (p99), that of the call ${callThreadP99Ms.toFixed(1)} ms (p99); ` +
      `from the offer read to the answer written ${wholeP50Ms.toFixed(1)} ms (median), ${wholeP99Ms.toFixed(1)} ms (p99).\n`,
  );
}
