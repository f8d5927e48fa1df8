import { setTimeout as pause } from 'node:timers/promises';
import { OPUS_SILENCE } from '../../src/media/opus.ts';
import { encodeWav, inRoom, readWav } from '../../test/media/wav.ts';
import { percentile } from '../support/stats.ts';
import { CLEAN } from '../talk-parts/impairment.ts';
import { Talker } from '../talk-parts/talker.ts';
import { WITHOUT_END } from './speaker.ts';

/**
 * The callers of `bench:pacing`, a process of its own: they listen, and say when each frame came. Their microphones are
 * on or off; what is said is not listened to by the agent, but has to be decoded and searched for speech.
 */
export interface PacingOrders {
  readonly url: string;
  readonly calls: number;
  readonly seconds: number;
  /** The share of the time that the agent speaks. */
  readonly speaking: number;
  readonly microphones: boolean;
}

export type PacingReport =
  | { readonly type: 'listening' }
  | {
      readonly type: 'result';
      readonly frames: number;
      /** How far from its place each came, ms. */
      readonly p50: number;
      readonly p99: number;
      readonly max: number;
      /** How late the listeners' own timer was, ms: what came while they did not run is as late, whoever sent it. */
      readonly ownP99: number;
      readonly ownMax: number;
    };

const FRAME_MS = 20;
const SLOTS = 8;
const SETTING_UP = 4;
const WARM_UP_MS = 1000;

const orders = JSON.parse(process.argv[2]) as PacingOrders;
/** How late each frame came by its timestamp, per call, ms. */
const offsets: number[][] = [];
const talkers: Talker[] = [];
const own: number[] = [];
let listening = false;
const microphone = encodeWav(inRoom(readWav('hello.wav')));
const utteranceMs = microphone.length * FRAME_MS;
const startedAt = performance.now();
let slotsDone = 0;
const timer = setInterval(catchUp, FRAME_MS / SLOTS);

await Promise.all(
  Array.from({ length: SETTING_UP }, async (_, lane) => {
    for (let i = lane; i < orders.calls; i += SETTING_UP) {
      const talker = await Talker.call({ url: orders.url, agent: 'speaker', impairment: CLEAN, seed: i, redundancy: null });
      const offset: number[] = [];
      offsets.push(offset);
      talker.onHeard = ({ payload, timestamp, at }) => {
        if (listening && payload.length > OPUS_SILENCE.length) offset.push(at - timestamp / 48);
      };
      if (orders.speaking < 1) {
        talker.onEvent = ({ type }) => {
          if (type === 'response.done') setTimeout(() => talker.sendEvent({ type: 'response.create' }), silenceMs());
        };
      }
      talkers.push(talker);
    }
  }),
);
// As callers who know nothing of each other: over a whole number of frame times and a bit, or one utterance and its pause.
const apartMs = orders.speaking < 1 ? utteranceMs / orders.speaking / orders.calls : 1;
for (const talker of talkers) {
  if (orders.speaking < 1) talker.sendEvent({ type: 'response.create' });
  else talker.sendEvent({ type: 'response.create', response: { instructions: WITHOUT_END } });
  await pause(apartMs);
}
await pause(WARM_UP_MS);
listening = true;
process.send?.({ type: 'listening' } satisfies PacingReport);
await pause(orders.seconds * 1000);
listening = false;
const errors = Float64Array.from(
  offsets.flatMap((offset) => {
    const middle = percentile(offset.toSorted((a, b) => a - b), 50);
    return offset.map((ms) => Math.abs(ms - middle));
  }),
).sort();
own.sort((a, b) => a - b);
const result: PacingReport = {
  type: 'result',
  frames: errors.length,
  p50: percentile(errors, 50),
  p99: percentile(errors, 99),
  max: errors[errors.length - 1],
  ownP99: percentile(own, 99),
  ownMax: own[own.length - 1],
};
clearInterval(timer);
process.send?.(result, () => process.exit());

/** Ticks each call once per frame time, spread over it. */
function catchUp(): void {
  const now = performance.now();
  const due = Math.floor(((now - startedAt) * SLOTS) / FRAME_MS);
  if (listening) own.push(Math.max(0, now - startedAt - ((slotsDone + 1) * FRAME_MS) / SLOTS));
  for (; slotsDone < due; slotsDone++) {
    for (let i = slotsDone % SLOTS; i < talkers.length; i += SLOTS) {
      if (orders.microphones) talkers[i].say(microphone[Math.floor(slotsDone / SLOTS + i) % microphone.length], now);
      talkers[i].tick(now);
    }
  }
}

/** Between two utterances, on average what leaves the wanted share to them. */
function silenceMs(): number {
  return 2 * Math.random() * utteranceMs * (1 / orders.speaking - 1);
}
