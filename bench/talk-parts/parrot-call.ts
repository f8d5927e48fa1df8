import { setTimeout as pause } from 'node:timers/promises';
import { OPUS_SILENCE } from '../../src/media/opus.ts';
import { encodeWav, inRoom, padded, readWav, soundBounds } from '../../test/media/wav.ts';
import type { Stalls } from './stalls.ts';
import type { CallScript } from './talk-load.ts';

/** In ms. */
export type ParrotFigures = {
  /** From the last frame with sound that the caller sent to the first one of the answer that it heard. */
  response: number[];
  /** From the first frame with sound that spoke over an answer to the last one of that answer that was heard. */
  bargeIn: number[];
  /** How far what the server says was heard of a cut answer is from what was: both in ms of audio. */
  heardError: number[];
  /** How far each frame of an answer came from its place in an even row. */
  pacing: number[];
  /** Stretches within an answer in which nothing could be played. */
  gaps: number[];
  /** Those that would not have been, had the callers' process run all the time. */
  ownGaps: number[];
};

const FRAME_MS = 20;
/** Into the answer, then the caller speaks over it. */
const LISTEN_MS = 600;
/** Nothing for so long: the answer is over. */
const OVER_MS = 300;
/** An answer that does not come ends the bench. */
const PATIENCE_MS = 15_000;

interface Saying {
  readonly frames: readonly Uint8Array[];
  /** The first and last frame with sound. */
  readonly first: number;
  readonly last: number;
}

const hello = saying('hello.wav');
const interruption = saying('interrupt.wav');
const [silence] = encodeWav({ rate: 48_000, samples: new Int16Array(960) });

/** Speaks to `parrot`, lets it answer, speaks over that, and lets it answer to that too. */
export const parrotCall: CallScript<ParrotFigures> = (talker, { rounds, earMs }, stalls) => {
  const figures: ParrotFigures = { response: [], bargeIn: [], heardError: [], pacing: [], gaps: [], ownGaps: [] };
  let queue: readonly Uint8Array[] = [];
  let said = 0;
  let sentAt: number[] = [];
  let answer: { readonly timestamp: number; readonly at: number }[] = [];
  /** Where the server said that there is nothing to hear. */
  const pauses: number[] = [];
  let truncatedMs: number | null = null;
  talker.onHeard = ({ payload, timestamp, at }) => {
    if (isSilence(payload)) pauses.push(timestamp);
    else answer.push({ timestamp, at });
  };
  talker.onEvent = (event) => {
    if (event.type === 'conversation.item.truncated') truncatedMs = Number(event['audio_end_ms']);
  };
  const microphone = (now: number): Uint8Array => {
    if (said === queue.length) return silence;
    sentAt.push(now);
    return queue[said++];
  };
  /** Says it, and resolves with when its first and last sound left. */
  const say = async ({ frames, first, last }: Saying): Promise<{ from: number; to: number }> => {
    queue = frames;
    said = 0;
    sentAt = [];
    await until(() => said === frames.length);
    return { from: sentAt[first], to: sentAt[last] };
  };
  const over = (): boolean => answer.length > 0 && performance.now() - answer[answer.length - 1].at > OVER_MS;
  const done = async (): Promise<ParrotFigures> => {
    for (let round = 0; round < rounds; round++) {
      answer = [];
      const { to } = await say(hello);
      await until(() => answer.length > 0);
      figures.response.push(answer[0].at - to);
      await until(() => answer[answer.length - 1].at - answer[0].at > LISTEN_MS);
      const cut = answer;
      truncatedMs = null;
      const speaking = say(interruption);
      await until(over);
      judge(cut, pauses, earMs, stalls, figures);
      const stoppedAt = cut[cut.length - 1].at;
      answer = [];
      const spoken = await speaking;
      figures.bargeIn.push(stoppedAt - spoken.from);
      if (truncatedMs !== null) figures.heardError.push(Math.abs(truncatedMs - span(cut)));
      await until(() => answer.length > 0);
      figures.response.push(answer[0].at - spoken.to);
      await until(over);
      judge(answer, pauses, earMs, stalls, figures);
    }
    return figures;
  };
  return { microphone, done: done() };
};

type Heard = readonly { readonly timestamp: number; readonly at: number }[];

/** Audio from the first to the last frame, ms. */
function span(frames: Heard): number {
  const timestamps = frames.map(({ timestamp }) => timestamp);
  return (Math.max(...timestamps) - Math.min(...timestamps)) / 48 + FRAME_MS;
}

/** Adds pacing and gaps of one answer. */
function judge(frames: Heard, pauses: readonly number[], earMs: number, stalls: Stalls, figures: ParrotFigures): void {
  const offsets = frames.map(({ timestamp, at }) => at - timestamp / 48);
  const middle = offsets.toSorted((a, b) => a - b)[offsets.length >> 1];
  figures.pacing.push(...offsets.map((offset) => Math.abs(offset - middle)));
  const quickest = Math.min(...offsets);
  const lateness = Float64Array.from(offsets, (offset) => offset - quickest);
  const found = stalls.tellApart(lateness, (i) => frames[i].at - lateness[i], earMs, (late) => gaps(frames, late, pauses, earMs));
  figures.gaps.push(...found.gaps);
  figures.ownGaps.push(...found.ownGaps);
}

/** Lengths of the stretches that an ear misses to which only what comes `earMs` late at most is in time. */
function gaps(frames: Heard, lateness: Float64Array, pauses: readonly number[], earMs: number): number[] {
  const inTime = frames.filter((_, i) => lateness[i] <= earMs).sort((a, b) => a.timestamp - b.timestamp);
  const found: number[] = [];
  for (let i = 1; i < inTime.length; i++) {
    const gap = (inTime[i].timestamp - inTime[i - 1].timestamp) / 48 - FRAME_MS;
    const pause = pauses.some((timestamp) => timestamp > inTime[i - 1].timestamp && timestamp < inTime[i].timestamp);
    if (gap > 0 && !pause) found.push(gap);
  }
  return found;
}

function isSilence(payload: Uint8Array): boolean {
  return payload.length <= OPUS_SILENCE.length && payload[0] === OPUS_SILENCE[0];
}

function saying(name: string): Saying {
  const sound = padded(readWav(name), 0, 40);
  const { startMs, endMs } = soundBounds(sound);
  return { frames: encodeWav(inRoom(sound)), first: Math.floor(startMs / FRAME_MS), last: Math.ceil(endMs / FRAME_MS) - 1 };
}

async function until(condition: () => boolean): Promise<void> {
  const limit = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > limit) throw new Error('the parrot did not do its part in time');
    await pause(5);
  }
}
