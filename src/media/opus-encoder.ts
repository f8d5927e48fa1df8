/** PCM of one voice to Opus: mono, 20 ms frames. libopus takes the agent's rate as it is. */
import { Encoder } from '@evan/opus';
import { FRAME_MS, type PcmRate } from './opus.ts';

/**
 * Encodes at 32 kbit/s. Left to itself libopus then codes in CELT mode, which costs a sixth of what SILK does; only SILK
 * has forward error correction, so {@link protect} asks for that where packets are lost.
 */
export class OpusEncoder {
  readonly rate: PcmRate;
  /** Samples of one 20 ms frame. */
  readonly frameSize: number;
  readonly #encoder: Encoder;
  #protected = false;
  #begins = false;

  constructor(rate: PcmRate) {
    this.rate = rate;
    this.frameSize = (rate * FRAME_MS) / 1000;
    const encoder = new Encoder({ channels: 1, sample_rate: rate, application: 'audio' });
    encoder.bitrate = 32_000;
    encoder.complexity = COMPLEXITY;
    encoder.dtx = false;
    this.#encoder = encoder;
  }

  /** Whether the next frames carry what the one before needs to be restored (RFC 6716, section 2.1.7). */
  protect(wanted: boolean): void {
    if (wanted === this.#protected) return;
    this.#protected = wanted;
    this.#encoder.signal = wanted ? 'voice' : 'auto';
    this.#encoder.complexity = wanted ? SILK_COMPLEXITY : COMPLEXITY;
    this.#encoder.inband_fec = wanted;
    this.#encoder.packet_loss = wanted ? EXPECTED_LOSS_PERCENT : 0;
  }

  /** Forgets what it has encoded: the next frame begins a sound, and needs nothing of what a decoder has heard before. */
  reset(): void {
    this.#encoder.reset();
    this.#encoder.prediction_disabled = true;
    this.#begins = true;
  }

  /** @throws {RangeError} when `samples` are not exactly one frame. */
  encode(samples: Int16Array): Uint8Array {
    if (samples.length !== this.frameSize) {
      throw new RangeError(`an Opus frame takes ${this.frameSize} samples, not ${samples.length}`);
    }
    const packet = this.#encoder.encode(samples);
    if (this.#begins) this.#encoder.prediction_disabled = false;
    this.#begins = false;
    return packet;
  }
}

/**
 * From 5 on CELT looks for a pitch, which takes twice as long for some 0.9 dB less noise, what 4 kbit/s more would bring
 * as well; at 0 it does not see onsets, and is heard before them.
 */
const COMPLEXITY = 1;
const SILK_COMPLEXITY = 5;
const EXPECTED_LOSS_PERCENT = 10;
