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
 * An agent that is slower than real time runs dry in the middle of a sound. Each time that happens, audio is gathered
 * before it goes on, for longer and longer: one pause instead of a stutter. The next sound begins as carefully. Sounds
 * that did not run dry shorten it.
 *
 *   0 ms ── ran dry ──► 40 ── again ──► 80 ──► 160 ──► 200 ms          0 ◄── 40 ◄── 80 … each sound without
 *
 * The end of a sound is followed by three frames of silence: without them a receiver takes the pause for loss and
 * stretches the last syllable. A sound that runs dry is followed by comfort instead, for as long as it may be a stutter:
 * the line does not go dead in the middle of a word.
 */
import { FRAME_MS, OPUS_CLOCK_RATE } from './opus.ts';

/** One frame to send now. The object is reused by the next `poll`. */
export interface PlayoutStep<Payload> {
  /** null: there is no sound, see above. */
  payload: Payload | null;
  /** Which of the payload's frames, from 0. */
  frame: number;
  /** Without a payload: the sound is to go on, so that comfort is wanted rather than silence. */
  comfort: boolean;
  /** Samples at 48 kHz. */
  duration: number;
  /** Start of the frame in samples at 48 kHz since `originMs`. */
  mediaTime: number;
  /** First frame after a pause (RFC 3551, section 4.1). */
  marker: boolean;
}

export class Playout<Payload> {
  readonly #originMs: number;
  #queue: Run<Payload>[] = [];
  #head = 0;
  /** Frames of the first run that have left. */
  #taken = 0;
  #queued = 0;
  #sent = 0;
  /** When the next frame may leave. */
  #nextAt = -Infinity;
  /** When the last audio frame has had its time. */
  #audioEndAt = -Infinity;
  /** Media time right after the last frame. */
  #mediaEnd = 0;
  #tail = 0;
  /** What is gathered before a sound that ran dry goes on, ms. */
  #gatherMs = 0;
  /** The sound is not over as far as is known; it has run dry; it did so at least once. */
  #open = false;
  #dry = false;
  #wasDry = false;
  /** Nothing of the sound has left. */
  #starts = false;
  /** Nothing was to be sent since the last frame. */
  #paused = false;
  /** Since when audio is being gathered; null when not. */
  #gatheringSince: number | null = null;
  /** How often a sound ran dry. */
  underruns = 0;
  readonly #step: PlayoutStep<Payload> = { payload: null, frame: 0, comfort: false, duration: 0, mediaTime: 0, marker: false };

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

  /** The payload of which a frame leaves with the next turn; undefined when none does, as far as is known. */
  get next(): Payload | undefined {
    return this.#gatheringSince === null ? this.#queue[this.#head]?.payload : undefined;
  }

  /** Which of the frames of {@link next}. */
  get nextFrame(): number {
    return (this.#queue[this.#head]?.first ?? 0) + this.#taken;
  }

  /** Nothing waits, not even silence: no tick is needed. */
  get idle(): boolean {
    return this.#queued === 0 && this.#tail === 0;
  }

  /** All audio has left, and the last frame has had its time. */
  drained(now: number): boolean {
    return this.#queued === 0 && now + SLACK_MS >= this.#audioEndAt;
  }

  /** Queues frames of `duration` samples at 48 kHz each: `frames` of those of the payload, from `first` on. The payload is kept as it is. */
  push(payload: Payload, duration: number, first = 0, frames = 1): void {
    if (!this.#open) {
      this.#open = true;
      this.#dry = this.#gatherMs > 0;
      this.#starts = true;
    }
    this.#queue.push({ payload, duration, first, frames });
    this.#queued += duration * frames;
  }

  /** The sound is complete: what waits is the end of it. */
  finish(): void {
    if (this.#open && !this.#wasDry) this.#gatherMs = this.#gatherMs > MIN_GATHER_MS ? this.#gatherMs / 2 : 0;
    this.#open = false;
    this.#dry = false;
    this.#wasDry = false;
    this.#gatheringSince = null;
    this.#tail = Math.min(this.#tail, TAIL_FRAMES);
  }

  /** Drops what has not left, and says how many milliseconds that were. */
  clear(): number {
    const dropped = this.queuedMs;
    this.#queue = [];
    this.#head = 0;
    this.#taken = 0;
    this.#queued = 0;
    this.finish();
    return dropped;
  }

  /**
   * The frame that leaves now, or null when none is due. Call until null on each tick: after a tick that came late the
   * overdue frames follow at once, three at most; after a longer pause playout goes on from the present.
   */
  poll(now: number): PlayoutStep<Payload> | null {
    if (now + SLACK_MS < this.#nextAt || this.idle) return null;
    const gathering = this.#gathers(now);
    if (gathering && this.#tail === 0) {
      this.#paused = true;
      return null;
    }
    const audio = this.#queued > 0 && !gathering;
    const step = this.#step;
    // Where nothing was to be sent there is nothing to catch up with.
    step.marker = now - this.#nextAt > (this.#paused ? SLACK_MS : MAX_LATE_MS);
    if (step.marker) {
      this.#nextAt = now;
      this.#mediaEnd = Math.max(this.#mediaEnd, Math.round(((now - this.#originMs) * OPUS_CLOCK_RATE) / 1000));
    }
    step.mediaTime = this.#mediaEnd;
    if (audio) {
      const { payload, duration } = this.#queue[this.#head];
      step.payload = payload;
      step.frame = this.nextFrame;
      this.#advance();
      step.comfort = false;
      step.duration = duration;
      this.#queued -= duration;
      this.#sent += duration;
      this.#tail = this.#open ? COMFORT_FRAMES + TAIL_FRAMES : TAIL_FRAMES;
      this.#starts = false;
      this.#dry = this.#queued === 0 && this.#open;
    } else {
      step.payload = null;
      step.comfort = this.#tail > TAIL_FRAMES;
      step.duration = (FRAME_MS * OPUS_CLOCK_RATE) / 1000;
      this.#tail--;
    }
    this.#paused = this.idle;
    this.#mediaEnd += step.duration;
    this.#nextAt += toMs(step.duration);
    if (step.payload !== null) this.#audioEndAt = this.#nextAt;
    return step;
  }

  /** A sound that ran dry waits for more of it, though not for long. */
  #gathers(now: number): boolean {
    if (!this.#dry || this.#queued === 0) return false;
    if (this.#gatheringSince === null) {
      // Later than its turn: it is a stutter when the pause is short, and a pause that the agent made when it is long.
      const lateMs = now - this.#audioEndAt;
      const stutters = lateMs >= FRAME_MS && lateMs <= LONGEST_STUTTER_MS;
      if (stutters && !this.#starts) {
        this.underruns++;
        this.#wasDry = true;
        this.#gatherMs = Math.min(MAX_GATHER_MS, Math.max(MIN_GATHER_MS, this.#gatherMs * 2));
      } else if (!this.#starts) {
        this.#dry = false;
        return false;
      }
      this.#gatheringSince = now;
    }
    if (this.queuedMs < this.#gatherMs && now - this.#gatheringSince < this.#gatherMs) return true;
    this.#gatheringSince = null;
    this.#dry = false;
    return false;
  }

  #advance(): void {
    if (++this.#taken < this.#queue[this.#head].frames) return;
    this.#taken = 0;
    if (++this.#head === this.#queue.length || this.#head > 512) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

/** Frames of one length that came together. */
interface Run<Payload> {
  readonly payload: Payload;
  readonly duration: number;
  readonly first: number;
  readonly frames: number;
}

/** A frame may leave this much before its time, so that a tick that jitters does not skip a turn. */
const SLACK_MS = 10;
/** Later than this there is no catching up: a pause has passed. */
const MAX_LATE_MS = 45;
const TAIL_FRAMES = 3;
const MIN_GATHER_MS = 40;
const MAX_GATHER_MS = 200;
const LONGEST_STUTTER_MS = 500;
const COMFORT_FRAMES = LONGEST_STUTTER_MS / FRAME_MS;

function toMs(samples: number): number {
  return (samples * 1000) / OPUS_CLOCK_RATE;
}
