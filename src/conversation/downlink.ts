import type { AudioFormat, OpusFrame } from '../agents/agent.ts';
import { comfortNoise } from '../media/comfort-noise.ts';
import { FRAME_MS, OPUS_CLOCK_RATE, OPUS_DTX, OPUS_SILENCE, opusPacketDuration, type PcmRate } from '../media/opus.ts';
import { OpusEncoder } from '../media/opus-encoder.ts';
import { Playout, type PlayoutStep } from '../media/playout.ts';
import { BLOCK_SAMPLES, giveBlock, takeBlock } from '../media/sample-blocks.ts';

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
  /** What the encoder takes. */
  readonly #input: Int16Array;
  #encoder: OpusEncoder | null = null;
  #lossy = false;
  /** What the next frame of sound will be, when that is encoded already, and which frame of which samples that is. */
  #prepared: Uint8Array | null = null;
  #preparedOf: Int16Array | null = null;
  #preparedFrame = 0;
  /** What the encoder has had is what has left, and `#prepared`. */
  #encoderFollows = false;
  /** Frames without sound in a row, and whether the last of them was left out. */
  #silentFrames = 0;
  #held = false;
  #comfortFrames = 0;
  /** What waits of a PCM agent's audio lies in these, oldest first; the last may be the one that is being filled. */
  readonly #blocks: Int16Array[] = [];
  #tail: Int16Array | null = null;
  #filled = 0;
  /** Offset from the caller's RTP timestamps to media time, for audio that is sent straight back. */
  #forwardOffset: number | null = null;
  #forwardEnd = 0;

  constructor(format: AudioFormat, originMs: number, host: DownlinkHost) {
    this.#format = format;
    this.#originMs = originMs;
    this.#host = host;
    this.#input = format.codec === 'opus' ? NO_SAMPLES : frameFor(format.rate);
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
    this.#store(audio);
    return (audio.length * 1000) / this.#format.rate;
  }

  /** Nothing follows for now: the last frame is filled up with silence. */
  finish(): void {
    const rest = this.#filled % this.#input.length;
    if (this.#tail !== null && rest > 0) this.#store(new Int16Array(this.#input.length - rest));
    this.#tail = null;
    this.#playout.finish();
  }

  /** Drops what has not left. */
  clear(): void {
    this.#tail = null;
    this.#playout.clear();
    this.#release(null);
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
    const { next, nextFrame } = this.#playout;
    if (!(next instanceof Int16Array) || this.#isPrepared(next, nextFrame) || !this.#read(next, nextFrame)) return;
    this.#prepared = this.#encode();
    this.#preparedOf = next;
    this.#preparedFrame = nextFrame;
  }

  /** Copies samples to the end of what waits; those of a frame that is not full wait for more. */
  #store(samples: Int16Array): void {
    const frameSize = this.#input.length;
    for (let at = 0; at < samples.length; ) {
      const tail = this.#tail ?? this.#grow();
      const part = samples.subarray(at, at + BLOCK_SAMPLES - this.#filled);
      const first = Math.floor(this.#filled / frameSize);
      tail.set(part, this.#filled);
      at += part.length;
      this.#filled += part.length;
      const frames = Math.floor(this.#filled / frameSize) - first;
      if (frames > 0) this.#push(tail, FRAME_DURATION, first, frames);
      if (this.#filled === BLOCK_SAMPLES) this.#tail = null;
    }
  }

  #grow(): Int16Array {
    const block = takeBlock();
    this.#blocks.push(block);
    this.#tail = block;
    this.#filled = 0;
    return block;
  }

  /** Gives back the blocks before this one, all for null. */
  #release(until: Int16Array | null): void {
    while (this.#blocks.length > 0 && this.#blocks[0] !== until) giveBlock(this.#blocks.shift()!);
  }

  #push(payload: Int16Array | Uint8Array, duration: number, first = 0, frames = 1): void {
    this.#playout.push(payload, duration, first, frames);
    this.#host.queued();
  }

  /** What leaves for a frame; null for nothing. */
  #packet({ payload, frame, comfort }: PlayoutStep<Int16Array | Uint8Array>): Uint8Array | null {
    if (comfort) {
      this.#silentFrames = 0;
      return this.#comfort();
    }
    if (payload instanceof Int16Array) return this.#sound(payload, frame);
    if (payload === null) {
      this.#release(this.#tail);
      return this.#silence();
    }
    this.#silentFrames = 0;
    this.#comfortFrames = 0;
    return payload;
  }

  #sound(samples: Int16Array, frame: number): Uint8Array | null {
    this.#release(samples);
    const prepared = this.#isPrepared(samples, frame) ? this.#prepared : null;
    if (prepared === null && !this.#read(samples, frame)) return this.#silence();
    this.#silentFrames = 0;
    this.#comfortFrames = 0;
    this.#prepared = null;
    this.#preparedOf = null;
    return prepared ?? this.#encode();
  }

  #isPrepared(samples: Int16Array, frame: number): boolean {
    return this.#preparedOf === samples && this.#preparedFrame === frame;
  }

  /** Copies a frame to where the encoder takes it from. False for digital silence, its last bit apart: some synthesizers dither. */
  #read(samples: Int16Array, frame: number): boolean {
    const input = this.#input;
    const from = frame * input.length;
    let heard = false;
    for (let i = 0; i < input.length; i++) {
      const sample = samples[from + i];
      input[i] = sample;
      heard ||= sample > 1 || sample < -1;
    }
    return heard;
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
    this.#input.fill(0);
    return this.#encode();
  }

  /** What leaves next does not come out of the encoder, or not all that it has had does. */
  #breakOff(): void {
    this.#prepared = null;
    this.#preparedOf = null;
    this.#encoderFollows = false;
  }

  /** Encodes what has been read. */
  #encode(): Uint8Array {
    const encoder = (this.#encoder ??= new OpusEncoder(this.#pcmRate));
    this.#lossy = (this.#host.loss() ?? 0) >= (this.#lossy ? CLEAN_AGAIN : LOSSY);
    encoder.protect(this.#lossy);
    if (!this.#encoderFollows) encoder.reset();
    this.#encoderFollows = true;
    return encoder.encode(this.#input);
  }

  get #pcmRate(): PcmRate {
    if (this.#format.codec === 'opus') throw new TypeError('an opus agent has no samples to encode');
    return this.#format.rate;
  }
}

const NO_SAMPLES = new Int16Array();
/** Room for one frame per rate, for all calls of the thread: it stays in the processor's cache. */
const frames = new Map<PcmRate, Int16Array>();

function frameFor(rate: PcmRate): Int16Array {
  let frame = frames.get(rate);
  if (frame === undefined) frames.set(rate, (frame = new Int16Array((rate * FRAME_MS) / 1000)));
  return frame;
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
