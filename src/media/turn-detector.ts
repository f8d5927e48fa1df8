/**
 * When does the caller speak? A state machine over speech probabilities of consecutive frames.
 *
 *            40 ms of speech within little else
 *   silent ──────────────────────────────────────► speaking
 *          ◄──────────────────────────────────────
 *              silence_duration_ms without speech
 *
 * Time is the position in the caller's audio, in milliseconds since its start; no clock is read.
 */

export interface TurnDetectorSettings {
  /** Probability from which a frame counts as speech, 0 to 1. */
  readonly threshold: number;
  /** Audio before the detected start that belongs to the turn. */
  readonly prefixPaddingMs: number;
  /** Silence that ends a turn. */
  readonly silenceDurationMs: number;
}

export type TurnEvent =
  | {
      readonly type: 'speech_started';
      /** Start of the turn: first speech less the padding. */
      readonly startMs: number;
    }
  | {
      readonly type: 'speech_stopped';
      readonly startMs: number;
      /** End of the turn, the silence that ended it included. */
      readonly endMs: number;
      /** Where the last speech ended. */
      readonly lastSpeechMs: number;
    };

/** Speech that decides a start: short enough to interrupt at once, longer than a click. */
export const ONSET_MS = 40;

export class TurnDetector {
  #settings: TurnDetectorSettings;
  #positionMs = 0;
  #speaking = false;
  /** Evidence of a start while silent: grows with speech, shrinks without. */
  #evidenceMs = 0;
  /** Speech in a row while speaking: too little of it counts as silence, so that a click does not prolong a turn. */
  #runMs = 0;
  #silenceMs = 0;
  #firstSpeechMs = 0;
  #startMs = 0;
  #lastSpeechMs = 0;
  #previousEndMs = 0;

  constructor(settings: TurnDetectorSettings) {
    this.#settings = settings;
  }

  get speaking(): boolean {
    return this.#speaking;
  }

  /** Takes effect with the next frame. */
  configure(settings: TurnDetectorSettings): void {
    this.#settings = settings;
  }

  /** Moves to `positionMs` in the caller's audio and forgets what was going on: no turn is open afterwards. */
  reset(positionMs: number): void {
    this.#positionMs = positionMs;
    this.#speaking = false;
    this.#evidenceMs = 0;
    this.#previousEndMs = positionMs;
  }

  /** The next frame of the caller's audio: how likely it is speech, and its duration. */
  process(probability: number, durationMs: number): TurnEvent | null {
    const speech = probability >= this.#settings.threshold;
    const startedAt = this.#positionMs;
    this.#positionMs += durationMs;
    return this.#speaking ? this.#whileSpeaking(speech, durationMs) : this.#whileSilent(speech, startedAt, durationMs);
  }

  #whileSilent(speech: boolean, startedAt: number, durationMs: number): TurnEvent | null {
    if (!speech) {
      this.#evidenceMs = Math.max(0, this.#evidenceMs - durationMs);
      return null;
    }
    if (this.#evidenceMs === 0) this.#firstSpeechMs = startedAt;
    this.#evidenceMs += durationMs;
    if (this.#evidenceMs < ONSET_MS) return null;
    this.#speaking = true;
    this.#evidenceMs = 0;
    this.#silenceMs = 0;
    this.#runMs = ONSET_MS;
    this.#lastSpeechMs = this.#positionMs;
    this.#startMs = Math.max(this.#previousEndMs, this.#firstSpeechMs - this.#settings.prefixPaddingMs);
    return { type: 'speech_started', startMs: this.#startMs };
  }

  #whileSpeaking(speech: boolean, durationMs: number): TurnEvent | null {
    if (speech) {
      this.#runMs += durationMs;
      if (this.#runMs >= CONTINUATION_MS) {
        this.#silenceMs = 0;
        this.#lastSpeechMs = this.#positionMs;
      }
      return null;
    }
    this.#silenceMs += durationMs + (this.#runMs < CONTINUATION_MS ? this.#runMs : 0);
    this.#runMs = 0;
    if (this.#silenceMs < this.#settings.silenceDurationMs) return null;
    this.#speaking = false;
    this.#previousEndMs = this.#positionMs;
    return {
      type: 'speech_stopped',
      startMs: this.#startMs,
      endMs: this.#positionMs,
      lastSpeechMs: this.#lastSpeechMs,
    };
  }
}

/** Speech in a row that counts as going on. */
const CONTINUATION_MS = 30;
