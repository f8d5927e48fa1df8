import { JitterBuffer, type JitterDrop, type JitterLoss } from '../media/jitter-buffer.ts';
import { FRAME_MS, OPUS_CLOCK_RATE, opusPacketDuration, type PcmRate } from '../media/opus.ts';
import { OpusDecoder } from '../media/opus-decoder.ts';
import { TurnDetector, type TurnDetectorSettings, type TurnEvent } from '../media/turn-detector.ts';
import { FvadVoiceDetector, VOICE_FRAME_MS } from '../media/voice-activity.ts';

export interface UplinkSink {
  /** The next samples, in order and without gaps. They belong to the receiver. */
  samples(samples: Int16Array): void;
  turn(event: TurnEvent): void;
}

export interface UplinkCounters {
  decoded: number;
  /** Lost ones that the next packet brought back: Opus' own forward error correction. */
  restored: number;
  concealed: number;
  invalid: number;
  late: number;
  duplicate: number;
  /** How long the jitter buffer waits for a missing packet, ms. */
  waitMs: number;
}

/**
 * The way of the caller's audio to the agent: packets in order, decoded once, at the agent's rate, watched for speech.
 * Positions are milliseconds of audio handed to the sink.
 */
export class Uplink {
  readonly #rate: PcmRate;
  readonly #sink: UplinkSink;
  readonly #jitter = new JitterBuffer();
  readonly #decoder: OpusDecoder;
  /** The agent is being heard: what comes back of it must not pass for the caller. */
  echoing = false;
  readonly #drops: Record<JitterDrop, number> = { late: 0, duplicate: 0 };
  #detection: Detection | null = null;
  #samples = 0;
  #decoded = 0;
  #restored = 0;
  #concealed = 0;
  /** RTP timestamp that follows the last frame. */
  #expected: number | null = null;
  #lastDuration = (FRAME_MS * OPUS_CLOCK_RATE) / 1000;
  /** Up to when the sink has been fed, in the clock of `now`. */
  #fedUntil = -Infinity;
  #lastArrival = -Infinity;
  #starvedMs = MIN_STARVED_MS;

  constructor(rate: PcmRate, turns: TurnDetectorSettings | null, sink: UplinkSink) {
    this.#rate = rate;
    this.#sink = sink;
    this.#decoder = new OpusDecoder(rate);
    this.configure(turns);
  }

  get positionMs(): number {
    return (this.#samples * 1000) / this.#rate;
  }

  get speaking(): boolean {
    return this.#detection?.turns.speaking ?? false;
  }

  /** Packets wait for a gap to fill, or a turn waits for its end. */
  get wantsTick(): boolean {
    return this.#jitter.size > 0 || this.speaking;
  }

  get counters(): UplinkCounters {
    return {
      decoded: this.#decoded,
      restored: this.#restored,
      concealed: this.#concealed,
      invalid: this.#decoder.invalid,
      ...this.#drops,
      waitMs: this.#jitter.waitMs,
    };
  }

  /** How turns are found from now on, null for not at all. */
  configure(turns: TurnDetectorSettings | null): void {
    if (turns === null) {
      this.#detection?.detector.close();
      this.#detection = null;
    } else if (this.#detection === null) {
      this.#detection = {
        detector: new FvadVoiceDetector(this.#rate),
        turns: new TurnDetector(turns),
        window: new Int16Array((this.#rate * VOICE_FRAME_MS) / 1000),
        filled: 0,
      };
      this.#detection.turns.reset(this.positionMs);
    } else {
      this.#detection.turns.configure(turns);
    }
  }

  /** The turn that may be open is over: the next speech begins a new one. */
  endTurn(): void {
    const detection = this.#detection;
    if (detection === null) return;
    detection.turns.reset(this.positionMs - (detection.filled * 1000) / this.#rate);
  }

  /** One packet of the caller; sequence and timestamp are extended. */
  push(packet: Uint8Array, sequence: number, timestamp: number, now: number): void {
    const drop = this.#jitter.push(packet, sequence, timestamp, now);
    if (drop !== null) this.#drops[drop]++;
    this.#drain(now);
  }

  /** Audio that came as samples at the uplink's rate instead of packets. */
  append(samples: Int16Array, now: number): void {
    const frame = (this.#rate * FRAME_MS) / 1000;
    for (let at = 0; at < samples.length; at += frame) this.#feed(samples.slice(at, at + frame));
    this.#fedUntil = now;
  }

  tick(now: number): void {
    this.#drain(now);
    // A caller who falls silent may send nothing at all (DTX, a muted track): the turn must end all the same.
    while (this.speaking && now - this.#fedUntil >= this.#starvedMs) {
      this.#feedSilence();
      this.#fedUntil += FRAME_MS;
    }
  }

  /** Frees what is held outside of the heap. */
  close(): void {
    this.configure(null);
    this.#decoder.close();
  }

  #drain(now: number): void {
    for (let output = this.#jitter.poll(now); output !== null; output = this.#jitter.poll(now)) {
      if (output.type === 'lost') {
        this.#feed(this.#inPlaceOf(output));
      } else {
        this.#fillPause(output.timestamp, now);
        this.#lastDuration = opusPacketDuration(output.packet) || this.#lastDuration;
        this.#expected = output.timestamp + this.#lastDuration;
        this.#decoded++;
        this.#feed(this.#decoder.decode(output.packet));
      }
      this.#fedUntil = now;
      this.#lastArrival = now;
    }
  }

  /** Samples for a packet that is lost. */
  #inPlaceOf({ next }: JitterLoss): Int16Array {
    const follows = this.#expected === null ? null : this.#expected + this.#lastDuration;
    this.#expected = follows;
    const restored = next !== null && next.timestamp === follows ? this.#decoder.restore(next.packet) : null;
    if (restored === null) this.#concealed++;
    else this.#restored++;
    return restored ?? this.#decoder.conceal();
  }

  /** Timestamps that jump without loss are a pause (RFC 3550, section 5.1): it is filled as far as time has passed. */
  #fillPause(timestamp: number, now: number): void {
    if (this.#expected === null) return;
    const pauseMs = ((timestamp - this.#expected) * 1000) / OPUS_CLOCK_RATE;
    // What follows on without a pause after such a time was late, and silence would have fallen into a word.
    if (pauseMs === 0) {
      const lateMs = now - this.#lastArrival + FRAME_MS;
      this.#starvedMs = Math.min(MAX_STARVED_MS, Math.max(MIN_STARVED_MS, this.#starvedMs - STARVED_DECAY_MS, lateMs));
    }
    const ms = Math.min(pauseMs, now - this.#fedUntil, MAX_PAUSE_MS);
    for (let filled = FRAME_MS; filled <= ms; filled += FRAME_MS) this.#feedSilence();
  }

  #feedSilence(): void {
    this.#feed(new Int16Array((this.#rate * FRAME_MS) / 1000));
  }

  #feed(samples: Int16Array): void {
    // The agent has the samples before it hears of a turn in them, but they are its to change: look at them first.
    const events = this.#detection === null ? NO_EVENTS : detect(this.#detection, samples, this.echoing);
    this.#samples += samples.length;
    this.#sink.samples(samples);
    for (const event of events) this.#sink.turn(event);
  }
}

interface Detection {
  readonly detector: FvadVoiceDetector;
  readonly turns: TurnDetector;
  /** The frame of 10 ms that is being filled, and how far. */
  readonly window: Int16Array;
  filled: number;
}

function detect(detection: Detection, samples: Int16Array, echoing: boolean): readonly TurnEvent[] {
  const { detector, turns, window } = detection;
  let events: TurnEvent[] | null = null;
  for (let at = 0; at < samples.length; ) {
    const part = samples.subarray(at, at + window.length - detection.filled);
    window.set(part, detection.filled);
    detection.filled += part.length;
    at += part.length;
    if (detection.filled < window.length) continue;
    detection.filled = 0;
    const event = turns.process(detector.process(window, echoing), VOICE_FRAME_MS);
    if (event !== null) (events ??= []).push(event);
  }
  return events ?? NO_EVENTS;
}

const NO_EVENTS: readonly TurnEvent[] = [];

/** Without a packet for this long, silence is assumed: longer after packets that came later, for some time. */
const MIN_STARVED_MS = 100;
const MAX_STARVED_MS = 300;
/** Taken back per packet: 5 ms a second. */
const STARVED_DECAY_MS = 0.1;
/** Longer pauses are shortened: nobody needs to hear them. */
const MAX_PAUSE_MS = 1000;
