import type { AudioFormat, OpusFrame } from '../agents/agent.ts';
import { comfortNoise } from '../media/comfort-noise.ts';
import { FRAME_MS, OPUS_CLOCK_RATE, OPUS_DTX, OPUS_SILENCE, opusPacketDuration, type PcmRate } from '../media/opus.ts';
import { OpusEncoder } from '../media/opus-encoder.ts';
import { Playout, type PlayoutStep } from '../media/playout.ts';

export interface DownlinkHost {
  /** One Opus frame leaves now; times are samples at 48 kHz, see {@link Playout}. */
  send(opus: Uint8Array, mediaTime: number, duration: number, marker: boolean): void;
  /** Frames wait: `tick` has something to do. */
  queued(): void;
  /** See {@link ConversationPort.unmendedLoss}. */
  loss(): number | null;
}

/**
 * The way of the agent's audio to the caller: cut into frames, queued, and encoded one frame ahead, so that what is
 * dropped costs nothing, a long answer does not block the thread, and no packet waits for the encoder.
 *
 *   play ──► frames ──► Playout ──► tick: what is due leaves ──► prepare: the next frame is encoded
 *                         └─ clear: the frame that was encoded for nothing is forgotten, by the encoder too
 *
 * Silence costs next to nothing (discontinuous transmission, RFC 6716, section 2.1.9):
 *
 *   sound | its end out of the encoder | silence | no data | (nothing) … | no data, every 400 ms | … | sound
 */
export class Downlink {
  readonly #format: AudioFormat;
  readonly #originMs: number;
  readonly #host: DownlinkHost;
  readonly #playout: Playout<Int16Array | Uint8Array>;
  #encoder: OpusEncoder | null = null;
  #lossy = false;
  /** What the next frame of sound will be, when that is encoded already. */
  #prepared: { readonly samples: Int16Array; readonly packet: Uint8Array } | null = null;
  /** What the encoder has had is what has left, and `#prepared`. */
  #encoderFollows = false;
  /** Frames without sound in a row, and whether the last of them was left out. */
  #silentFrames = 0;
  #held = false;
  #comfortFrames = 0;
  /** The frame that is being filled, and how far. */
  #partial: Int16Array | null = null;
  #filled = 0;
  /** Offset from the caller's RTP timestamps to media time, for audio that is sent straight back. */
  #forwardOffset: number | null = null;
  #forwardEnd = 0;

  constructor(format: AudioFormat, originMs: number, host: DownlinkHost) {
    this.#format = format;
    this.#originMs = originMs;
    this.#host = host;
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
      this.#push(audio.slice(), duration);
      return (duration * 1000) / OPUS_CLOCK_RATE;
    }
    if (!(audio instanceof Int16Array)) throw new TypeError('a pcm16 agent plays samples in an Int16Array');
    this.#frame(audio, (this.#format.rate * FRAME_MS) / 1000);
    return (audio.length * 1000) / this.#format.rate;
  }

  /** Nothing follows for now: the last frame is filled up with silence. */
  finish(): void {
    if (this.#partial !== null) this.#push(this.#partial, FRAME_DURATION);
    this.#partial = null;
    this.#playout.finish();
  }

  /** Drops what has not left. */
  clear(): void {
    this.#partial = null;
    this.#playout.clear();
    if (this.#prepared !== null) this.#breakOff();
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
    this.#host.send(frame.packet, mediaTime, frame.duration, marker);
  }

  /** Sends what is due. */
  tick(now: number): void {
    for (let step = this.#playout.poll(now); step !== null; step = this.#playout.poll(now)) {
      const packet = this.#packet(step);
      const empty = packet === null || packet === OPUS_DTX;
      if (packet !== null) this.#host.send(packet, step.mediaTime, step.duration, !empty && (step.marker || this.#held));
      this.#held = empty;
    }
  }

  /** Encodes the frame that is to leave next. Called when nothing is due; does nothing when it has been done. */
  prepare(): void {
    const { next } = this.#playout;
    if (!(next instanceof Int16Array) || next === this.#prepared?.samples || isSilent(next)) return;
    this.#prepared = { samples: next, packet: this.#encode(next) };
  }

  /** Cuts a copy of the samples into frames; the remainder waits for more. */
  #frame(samples: Int16Array, frameSize: number): void {
    let at = 0;
    if (this.#partial !== null) {
      const part = samples.subarray(0, frameSize - this.#filled);
      this.#partial.set(part, this.#filled);
      this.#filled += part.length;
      at = part.length;
      if (this.#filled < frameSize) return;
      this.#push(this.#partial, FRAME_DURATION);
      this.#partial = null;
    }
    const end = samples.length - ((samples.length - at) % frameSize);
    const whole = samples.slice(at, end);
    for (let frame = 0; frame < whole.length; frame += frameSize) this.#push(whole.subarray(frame, frame + frameSize), FRAME_DURATION);
    this.#filled = samples.length - end;
    if (this.#filled === 0) return;
    this.#partial = new Int16Array(frameSize);
    this.#partial.set(samples.subarray(end));
  }

  #push(payload: Int16Array | Uint8Array, duration: number): void {
    this.#playout.push(payload, duration);
    this.#host.queued();
  }

  /** What leaves for a frame; null for nothing. */
  #packet({ payload, comfort }: PlayoutStep<Int16Array | Uint8Array>): Uint8Array | null {
    if (comfort) {
      this.#silentFrames = 0;
      return this.#comfort();
    }
    if (payload === null || (payload instanceof Int16Array && isSilent(payload))) return this.#silence();
    this.#silentFrames = 0;
    this.#comfortFrames = 0;
    if (payload instanceof Uint8Array) return payload;
    const packet = this.#prepared?.samples === payload ? this.#prepared.packet : this.#encode(payload);
    this.#prepared = null;
    return packet;
  }

  #comfort(): Uint8Array {
    const end = this.#comfortFrames++ === 0 ? this.#endOfSound() : null;
    if (end !== null) return end;
    this.#breakOff();
    return comfortNoise(this.#comfortFrames);
  }

  #silence(): Uint8Array | null {
    const i = this.#silentFrames++;
    const end = i === 0 ? this.#endOfSound() : null;
    if (end !== null) return end;
    this.#breakOff();
    if (i < SILENT_FRAMES) return OPUS_SILENCE;
    return (i - SILENT_FRAMES) % DTX_REFRESH_FRAMES === 0 ? OPUS_DTX : null;
  }

  /** The last milliseconds of a sound, which are still in the encoder; null when there are none. */
  #endOfSound(): Uint8Array | null {
    if (this.#encoder === null || !this.#encoderFollows || this.#prepared !== null) return null;
    return this.#encode(new Int16Array(this.#encoder.frameSize));
  }

  /** What leaves next does not come out of the encoder, or not all that it has had does. */
  #breakOff(): void {
    this.#prepared = null;
    this.#encoderFollows = false;
  }

  #encode(samples: Int16Array): Uint8Array {
    this.#encoder ??= new OpusEncoder(this.#pcmRate);
    this.#lossy = (this.#host.loss() ?? 0) >= (this.#lossy ? CLEAN_AGAIN : LOSSY);
    this.#encoder.protect(this.#lossy);
    if (!this.#encoderFollows) this.#encoder.reset();
    this.#encoderFollows = true;
    return this.#encoder.encode(samples);
  }

  get #pcmRate(): PcmRate {
    if (this.#format.codec === 'opus') throw new TypeError('an opus agent has no samples to encode');
    return this.#format.rate;
  }
}

/** Digital silence, its last bit apart: some synthesizers dither. */
function isSilent(samples: Int16Array): boolean {
  return samples.every((sample) => sample >= -1 && sample <= 1);
}

const FRAME_DURATION = (FRAME_MS * OPUS_CLOCK_RATE) / 1000;
/** A decoder that conceals out of less would repeat the end of the sound. */
const SILENT_FRAMES = 2;
/** What silent senders repeat, for receivers that came late: 400 ms, as libopus does. */
const DTX_REFRESH_FRAMES = 20;
const MAX_QUEUED_MS = 600_000;
/** Shares of packets lost. */
const LOSSY = 0.02;
const CLEAN_AGAIN = 0.005;
/** A stream whose timestamps are this far from the present has begun anew: 5 s. */
const MAX_FORWARD_DISTANCE = 5 * OPUS_CLOCK_RATE;
const FORWARD_PAUSE = (60 * OPUS_CLOCK_RATE) / 1000;
