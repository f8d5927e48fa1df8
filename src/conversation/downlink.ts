import type { AudioFormat, OpusFrame } from '../agents/agent.ts';
import { FRAME_MS, OPUS_CLOCK_RATE, OPUS_SILENCE, OpusEncoder, opusPacketDuration } from '../media/opus.ts';
import { Playout } from '../media/playout.ts';

/** One Opus frame leaves now; times are samples at 48 kHz, see {@link Playout}. */
export type SendAudio = (opus: Uint8Array, mediaTime: number, duration: number, marker: boolean) => void;

/**
 * The way of the agent's audio to the caller: cut into frames, queued, and encoded only when its turn has come, so that
 * what is dropped costs nothing and a long answer does not block the thread.
 */
export class Downlink {
  readonly #format: AudioFormat;
  readonly #originMs: number;
  readonly #send: SendAudio;
  readonly #loss: () => number | null;
  readonly #playout: Playout<Int16Array | Uint8Array>;
  #encoder: OpusEncoder | null = null;
  #lossy = false;
  /** The frame that is being filled, and how far. */
  #partial: Int16Array | null = null;
  #filled = 0;
  /** Offset from the caller's RTP timestamps to media time, for audio that is sent straight back. */
  #forwardOffset: number | null = null;
  #forwardEnd = 0;

  /** @param loss what share of our packets the caller last said was lost, 0 to 1; null while nothing is known */
  constructor(format: AudioFormat, originMs: number, send: SendAudio, loss: () => number | null) {
    this.#format = format;
    this.#originMs = originMs;
    this.#send = send;
    this.#loss = loss;
    this.#playout = new Playout(originMs);
  }

  get sentMs(): number {
    return this.#playout.sentMs;
  }

  /** How often an answer ran dry because the agent was slower than real time. */
  get underruns(): number {
    return this.#playout.underruns;
  }

  get idle(): boolean {
    return this.#playout.idle;
  }

  drained(now: number): boolean {
    return this.#playout.drained(now);
  }

  /** Queues a copy of an agent's audio and gives its length in milliseconds. @throws {TypeError} for a wrong format, {RangeError} when too much waits. */
  play(audio: Int16Array | Uint8Array): number {
    if (this.#playout.queuedMs > MAX_QUEUED_MS) {
      throw new RangeError('more than ten minutes of audio wait to be played');
    }
    if (this.#format.codec === 'opus') {
      const duration = audio instanceof Uint8Array ? opusPacketDuration(audio) : 0;
      if (duration === 0) throw new TypeError('an opus agent plays one Opus packet, a Uint8Array, at a time');
      this.#playout.push(audio.slice(), duration);
      return (duration * 1000) / OPUS_CLOCK_RATE;
    }
    if (!(audio instanceof Int16Array)) throw new TypeError('a pcm16 agent plays samples in an Int16Array');
    this.#frame(audio, (this.#format.rate * FRAME_MS) / 1000);
    return (audio.length * 1000) / this.#format.rate;
  }

  /** Nothing follows for now: the last frame is filled up with silence. */
  finish(): void {
    if (this.#partial !== null) this.#playout.push(this.#partial, FRAME_DURATION);
    this.#partial = null;
    this.#playout.finish();
  }

  /** Drops what has not left. */
  clear(): void {
    this.#partial = null;
    this.#playout.clear();
  }

  /** Sends a frame of the caller's straight back. The first one sets where its timestamps lie in media time. */
  forward(frame: OpusFrame, now: number): void {
    const present = Math.round(((now - this.#originMs) * OPUS_CLOCK_RATE) / 1000);
    if (
      this.#forwardOffset === null ||
      Math.abs(frame.timestamp + this.#forwardOffset - present) > MAX_FORWARD_DISTANCE
    ) {
      this.#forwardOffset = Math.max(present, this.#forwardEnd) - frame.timestamp;
    }
    const mediaTime = frame.timestamp + this.#forwardOffset;
    const marker = mediaTime > this.#forwardEnd + FORWARD_PAUSE || this.#forwardEnd === 0;
    this.#forwardEnd = Math.max(this.#forwardEnd, mediaTime + frame.duration);
    this.#send(frame.packet, mediaTime, frame.duration, marker);
  }

  /** Sends what is due. */
  tick(now: number): void {
    for (let step = this.#playout.poll(now); step !== null; step = this.#playout.poll(now)) {
      this.#send(this.#encode(step.payload), step.mediaTime, step.duration, step.marker);
    }
  }

  /** Cuts samples into frames; the remainder waits for more. */
  #frame(samples: Int16Array, frameSize: number): void {
    let at = 0;
    while (at < samples.length) {
      if (this.#partial === null) {
        this.#partial = new Int16Array(frameSize);
        this.#filled = 0;
      }
      const part = samples.subarray(at, at + frameSize - this.#filled);
      this.#partial.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === frameSize) {
        this.#playout.push(this.#partial, FRAME_DURATION);
        this.#partial = null;
      }
    }
  }

  #encode(payload: Int16Array | Uint8Array | null): Uint8Array {
    if (payload === null) return OPUS_SILENCE;
    if (payload instanceof Uint8Array || this.#format.codec === 'opus') return payload as Uint8Array;
    this.#encoder ??= new OpusEncoder(this.#format.rate);
    this.#lossy = (this.#loss() ?? 0) >= (this.#lossy ? CLEAN_AGAIN : LOSSY);
    this.#encoder.protect(this.#lossy);
    return this.#encoder.encode(payload);
  }
}

const FRAME_DURATION = (FRAME_MS * OPUS_CLOCK_RATE) / 1000;
const MAX_QUEUED_MS = 600_000;
/** Shares of packets lost. */
const LOSSY = 0.02;
const CLEAN_AGAIN = 0.005;
/** A stream whose timestamps are this far from the present has begun anew: 5 s. */
const MAX_FORWARD_DISTANCE = 5 * OPUS_CLOCK_RATE;
const FORWARD_PAUSE = (60 * OPUS_CLOCK_RATE) / 1000;
