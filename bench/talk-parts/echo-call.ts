import { STAMPED_FRAME_BYTES } from '../call-parts/stamp.ts';
import type { CallScript } from './talk-load.ts';

/** In ms, one value per frame or gap. */
export type EchoFigures = {
  /** From the microphone to the ear. */
  mouthToEar: number[];
  /** Stretches in which nothing could be played: lost frames, and those that came after their turn. */
  gaps: number[];
  /** Those that would not have been, had the callers' process run all the time. */
  ownGaps: number[];
};

const FRAME_MS = 20;
const STRAGGLERS_MS = 500;
/** TOC of one 20 ms CELT frame, fullband, mono (RFC 6716, section 3.1): what follows may be any bytes. */
const TOC = 0xf8;

/** Talks to `echo` in numbered frames, and notes when each comes back. */
export const echoCall: CallScript<EchoFigures> = (talker, { seconds, earMs }, stalls) => {
  const count = (seconds * 1000) / FRAME_MS;
  const sentAt: number[] = [];
  const delays = new Float64Array(count).fill(Number.NaN);
  const frame = new Uint8Array(STAMPED_FRAME_BYTES);
  const number = new DataView(frame.buffer);
  frame[0] = TOC;
  talker.onHeard = ({ payload, at }) => {
    const i = new DataView(payload.buffer, payload.byteOffset).getUint32(1);
    if (i < count && Number.isNaN(delays[i])) delays[i] = at - sentAt[i];
  };
  const figures = (): EchoFigures => {
    const found = stalls.tellApart(delays, (i) => sentAt[i], earMs, (lateness) => gaps(lateness, earMs));
    return { mouthToEar: [...delays].filter((ms) => !Number.isNaN(ms)), ...found };
  };
  let finish: (figures: EchoFigures) => void = () => undefined;
  const done = new Promise<EchoFigures>((resolve) => (finish = resolve));
  const microphone = (now: number): Uint8Array => {
    number.setUint32(1, sentAt.length);
    sentAt.push(now);
    if (sentAt.length === count) setTimeout(() => finish(figures()), STRAGGLERS_MS);
    return frame;
  };
  return { microphone, done };
};

/** Lengths of the stretches of frames that were not there when an ear that began with the quickest wanted them. */
function gaps(delays: Float64Array, earMs: number): number[] {
  const quickest = delays.reduce((least, ms) => (ms < least ? ms : least), Infinity);
  const found: number[] = [];
  let missing = 0;
  for (const ms of delays) {
    if (ms - quickest <= earMs) {
      if (missing > 0) found.push(missing * FRAME_MS);
      missing = 0;
    } else missing++;
  }
  if (missing > 0) found.push(missing * FRAME_MS);
  return found;
}
