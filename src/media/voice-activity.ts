/**
 * Is this sound speech? libfvad, the GMM detector of the WebRTC project, behind an energy gate: the model knows what
 * a voice is like, the gate knows what is loud in this room.
 */
import loadFvad, { type VAD, VADEvent, VADMode } from '@ozymandiasthegreat/vad';
import { HighPass } from './high-pass.ts';
import { Resampler } from './resample.ts';
import type { PcmRate } from './opus.ts';

/** Duration of the frames a detector takes. */
export const VOICE_FRAME_MS = 10;

export interface VoiceDetector {
  /** Sample rate of the frames. */
  readonly rate: PcmRate;
  /**
   * How likely one frame of 10 ms is speech, 0 to 1.
   * @param echoing the other side is being heard, and some of it may come back.
   * @throws {RangeError} for a frame of another length.
   */
  process(frame: Int16Array, echoing?: boolean): number;
  /** Forgets the stream so far. */
  reset(): void;
  /** Frees what the detector holds outside of the heap. Idempotent; `process` gives 0 from then on. */
  close(): void;
}

/** A {@link VoiceDetector} for one stream. One WebAssembly instance serves the whole thread. */
export class FvadVoiceDetector implements VoiceDetector {
  readonly rate: PcmRate;
  readonly #frameSize: number;
  readonly #fvadRate: 8000 | 16000 | 48000;
  /** libfvad reads the whole ArrayBuffer of a frame, so frames are copied into one of the right size. */
  readonly #scratch: Int16Array;
  /** The frame without what lies below any voice, at the detector's rate. */
  readonly #filtered: Int16Array;
  #highPass: HighPass;
  #resampler: Resampler | null;
  #fvad: VAD | null;
  readonly #room = new RoomLevel();

  constructor(rate: PcmRate) {
    this.rate = rate;
    this.#frameSize = (rate * VOICE_FRAME_MS) / 1000;
    this.#fvadRate = rate === 24_000 ? 8000 : rate;
    this.#scratch = new Int16Array((this.#fvadRate * VOICE_FRAME_MS) / 1000);
    this.#filtered = new Int16Array(this.#frameSize);
    this.#highPass = new HighPass(rate, CUTOFF_HZ);
    this.#resampler = this.#makeResampler();
    this.#fvad = new Fvad(VADMode.AGGRESSIVE, this.#fvadRate);
  }

  process(frame: Int16Array, echoing = false): number {
    if (frame.length !== this.#frameSize) {
      throw new RangeError(`a voice frame has ${this.#frameSize} samples, not ${frame.length}`);
    }
    if (this.#fvad === null) return 0;
    const filtered = this.#filtered;
    this.#highPass.process(frame, filtered);
    this.#scratch.set(this.#resampler === null ? filtered : this.#resampler.process(filtered));
    const voiced = this.#fvad.processFrame(this.#scratch) === VADEvent.VOICE;
    const above = this.#room.above(levelOf(filtered), echoing ? ECHO_FLOOR : MIN_FLOOR);
    if (!voiced) return 0;
    return Math.min(1, Math.max(0, 0.5 + (above - GATE_DB) / GATE_RANGE_DB));
  }

  reset(): void {
    if (this.#fvad === null) return;
    this.#fvad.destroy();
    this.#fvad = new Fvad(VADMode.AGGRESSIVE, this.#fvadRate);
    this.#resampler = this.#makeResampler();
    this.#highPass = new HighPass(this.rate, CUTOFF_HZ);
    this.#room.reset();
  }

  close(): void {
    this.#fvad?.destroy();
    this.#fvad = null;
  }

  #makeResampler(): Resampler | null {
    return this.#fvadRate === this.rate ? null : new Resampler(this.rate, this.#fvadRate, 4);
  }
}

/**
 * How loud the room is without speech: the quietest frame of the last 1.5 s. Speech has gaps that long and steady noise
 * has none, so noise that begins is the room's own level within that time.
 */
class RoomLevel {
  /** Quietest frame of each stretch of 300 ms, the current one at `#current`. */
  readonly #quietest = new Float64Array(5).fill(Infinity);
  #current = 0;
  #frames = 0;

  /** dB that the next frame lies above the room, which is never taken for more silent than `least`. */
  above(level: number, least: number): number {
    if (this.#frames++ === FRAMES_PER_STRETCH) {
      this.#frames = 1;
      this.#current = (this.#current + 1) % this.#quietest.length;
      this.#quietest[this.#current] = Infinity;
    }
    if (level < this.#quietest[this.#current]) this.#quietest[this.#current] = level;
    let floor = Infinity;
    for (const quietest of this.#quietest) if (quietest < floor) floor = quietest;
    return level - Math.max(floor, least);
  }

  reset(): void {
    this.#quietest.fill(Infinity);
    this.#current = 0;
    this.#frames = 0;
  }
}

/** Level of samples in dB relative to a full-scale square wave; -Infinity for silence. */
export function levelOf(samples: Int16Array): number {
  let sum = 0;
  for (let i = 0; i < samples.length; i++) sum += samples[i] * samples[i];
  return 10 * Math.log10(sum / (samples.length * 32768 * 32768));
}

/** Rumble and hum are below, and a deep voice has enough above. */
const CUTOFF_HZ = 180;
/** At the default threshold of 0.5 speech must be this far above the room … */
const GATE_DB = 9;
/** … and the whole range of thresholds spans this much around it. */
const GATE_RANGE_DB = 40;
/** Quieter than this is silence on any line. */
const MIN_FLOOR = -60;
/** What is left of the agent's voice after a client's echo cancellation rarely gets 9 dB above this, speech nearly always. */
const ECHO_FLOOR = -50;
const FRAMES_PER_STRETCH = 300 / VOICE_FRAME_MS;

const Fvad = await loadFvad();
