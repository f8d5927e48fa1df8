/**
 * Paced playout: audio comes in faster than real time or in fits, one 20 ms frame leaves per tick of the worker's
 * clock.
 *
 *   push ──► [ frame | frame | … ] ──► poll(now): at most one frame per 20 ms ──► wire
 *                     clear() drops what has not left and knows how much that was
 *
 * A frame's place in time is `mediaTime`: samples at 48 kHz since the start of the call. It goes on by each frame's
 * duration while frames are there, and jumps to the present after a pause, so that the RTP timestamp (RFC 3550,
 * section 5.1) passes with the time even when nothing is sent.
 *
 * The end of a sound is followed by two frames of silence: without them a receiver takes the pause for loss and
 * stretches the last syllable.
 */
import { FRAME_MS, OPUS_CLOCK_RATE } from './opus.ts';

/** One frame to send now. The object is reused by the next `poll`. */
export interface PlayoutStep<Payload> {
  /** null: silence, see above. */
  payload: Payload | null;
  /** Samples at 48 kHz. */
  duration: number;
  /** Start of the frame in samples at 48 kHz since `originMs`. */
  mediaTime: number;
  /** First frame after a pause (RFC 3551, section 4.1). */
  marker: boolean;
}

export class Playout<Payload> {
  readonly #originMs: number;
  #queue: { payload: Payload; duration: number }[] = [];
  #head = 0;
  #queued = 0;
  #sent = 0;
  /** When the next frame may leave. */
  #nextAt = -Infinity;
  /** When the last audio frame has had its time. */
  #audioEndAt = -Infinity;
  /** Media time right after the last frame. */
  #mediaEnd = 0;
  #tail = 0;
  readonly #step: PlayoutStep<Payload> = { payload: null, duration: 0, mediaTime: 0, marker: false };

  /** @param originMs the moment of media time 0, in the clock of `now`. */
  constructor(originMs: number) {
    this.#originMs = originMs;
  }

  /** Audio that has left so far, silence at the end of a sound not counted. */
  get sentMs(): number {
    return toMs(this.#sent);
  }

  /** Audio that waits. */
  get queuedMs(): number {
    return toMs(this.#queued);
  }

  /** Nothing waits, not even silence: no tick is needed. */
  get idle(): boolean {
    return this.#queued === 0 && this.#tail === 0;
  }

  /** All audio has left, and the last frame has had its time. */
  drained(now: number): boolean {
    return this.#queued === 0 && now + SLACK_MS >= this.#audioEndAt;
  }

  /** Queues one frame of `duration` samples at 48 kHz. The payload is kept as it is. */
  push(payload: Payload, duration: number): void {
    this.#queue.push({ payload, duration });
    this.#queued += duration;
  }

  /** Drops what has not left, and says how many milliseconds that were. */
  clear(): number {
    const dropped = this.queuedMs;
    this.#queue = [];
    this.#head = 0;
    this.#queued = 0;
    return dropped;
  }

  /**
   * The frame that leaves now, or null when none is due. Call until null on each tick: after a tick that came late the
   * overdue frames follow at once, three at most; after a longer pause playout goes on from the present.
   */
  poll(now: number): PlayoutStep<Payload> | null {
    if (now + SLACK_MS < this.#nextAt || this.idle) return null;
    const step = this.#step;
    step.marker = now - this.#nextAt > MAX_LATE_MS;
    if (step.marker) {
      this.#nextAt = now;
      this.#mediaEnd = Math.max(this.#mediaEnd, Math.round(((now - this.#originMs) * OPUS_CLOCK_RATE) / 1000));
    }
    step.mediaTime = this.#mediaEnd;
    if (this.#queued > 0) {
      const { payload, duration } = this.#take();
      step.payload = payload;
      step.duration = duration;
      this.#queued -= duration;
      this.#sent += duration;
      this.#tail = TAIL_FRAMES;
    } else {
      step.payload = null;
      step.duration = (FRAME_MS * OPUS_CLOCK_RATE) / 1000;
      this.#tail--;
    }
    this.#mediaEnd += step.duration;
    this.#nextAt += toMs(step.duration);
    if (step.payload !== null) this.#audioEndAt = this.#nextAt;
    return step;
  }

  #take(): { payload: Payload; duration: number } {
    const item = this.#queue[this.#head++];
    if (this.#head === this.#queue.length || this.#head > 512) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }
}

/** A frame may leave this much before its time, so that a tick that jitters does not skip a turn. */
const SLACK_MS = 10;
/** Later than this there is no catching up: a pause has passed. */
const MAX_LATE_MS = 45;
const TAIL_FRAMES = 2;

function toMs(samples: number): number {
  return (samples * 1000) / OPUS_CLOCK_RATE;
}
