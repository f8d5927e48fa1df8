import { fork } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { encodeWav, inRoom, readWav } from '../../test/media/wav.ts';
import { CLEAN } from '../talk-parts/impairment.ts';
import { Talker } from '../talk-parts/talker.ts';
import { Ears, type PacingErrors } from './ears.ts';
import { WITHOUT_END } from './speaker.ts';

/**
 * The callers of `bench:pacing`, a process of its own: they listen, and say when each frame came. Their microphones are
 * on or off; what is said is not listened to by the agent, but has to be decoded and searched for speech.
 */
export interface PacingOrders {
  /** Where offers are posted; null for the bare speaker, which is started here and wants no calls. */
  readonly url: string | null;
  readonly calls: number;
  readonly seconds: number;
  /** The share of the time that the agent speaks. */
  readonly speaking: number;
  readonly microphones: boolean;
}

export type PacingReport =
  /** With the process id of the bare speaker. */
  { readonly type: 'listening'; readonly pid: number | null } | ({ readonly type: 'result' } & PacingErrors);

const FRAME_MS = 20;
const SLOTS = 8;
const SETTING_UP = 4;
const WARM_UP_MS = 1000;

const orders = JSON.parse(process.argv[2]) as PacingOrders;
const ears = new Ears();
const talkers: Talker[] = [];
const microphone = encodeWav(inRoom(readWav('hello.wav')));
const utteranceMs = microphone.length * FRAME_MS;
const startedAt = performance.now();
let slotsDone = 0;
const timer = setInterval(catchUp, FRAME_MS / SLOTS);

const bare = orders.url === null ? await hearBare() : null;
if (orders.url !== null) await call(orders.url);
await pause(WARM_UP_MS);
ears.listening = true;
process.send?.({ type: 'listening', pid: bare?.pid ?? null } satisfies PacingReport);
await pause(orders.seconds * 1000);
ears.listening = false;
clearInterval(timer);
bare?.kill();
process.send?.({ type: 'result', ...ears.errors() } satisfies PacingReport, () => process.exit());

async function hearBare(): Promise<ReturnType<typeof fork>> {
  let port = 0;
  for (let i = 0; i < orders.calls; i++) {
    const socket = await ears.openSocket({ datagram: () => undefined, batchEnd: () => undefined });
    port = socket.address.port;
  }
  return fork(new URL('./bare-speaker.js', import.meta.url), [String(port), String(orders.calls)]);
}

/** Places the calls, and has the agents speak: as to callers who know nothing of each other. */
async function call(url: string): Promise<void> {
  await Promise.all(
    Array.from({ length: SETTING_UP }, async (_, lane) => {
      for (let i = lane; i < orders.calls; i += SETTING_UP) {
        const { openSocket } = ears;
        const talker = await Talker.call({ url, agent: 'speaker', impairment: CLEAN, seed: i, redundancy: null, openSocket });
        if (orders.speaking < 1) {
          talker.onEvent = ({ type }) => {
            if (type === 'response.done') setTimeout(() => talker.sendEvent({ type: 'response.create' }), silenceMs());
          };
        }
        talkers.push(talker);
      }
    }),
  );
  // Over a whole number of frame times and a bit, or one utterance and its pause.
  const apartMs = orders.speaking < 1 ? utteranceMs / orders.speaking / orders.calls : 1;
  for (const talker of talkers) {
    if (orders.speaking < 1) talker.sendEvent({ type: 'response.create' });
    else talker.sendEvent({ type: 'response.create', response: { instructions: WITHOUT_END } });
    await pause(apartMs);
  }
}

/** Ticks each call once per frame time, spread over it. */
function catchUp(): void {
  const now = performance.now();
  const due = Math.floor(((now - startedAt) * SLOTS) / FRAME_MS);
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
