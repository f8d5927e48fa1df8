/**
 * Opus to PCM: mono, any packet in. libopus resamples inside: a decoder at 8 kHz is cheaper than one at 48 kHz, and no
 * second resampler is needed.
 */
import { libopus } from './libopus.ts';
import { FRAME_MS, OPUS_CLOCK_RATE, opusPacketDuration, type PcmRate } from './opus.ts';

/** Decodes to mono at one rate. Nothing that arrives makes it throw. */
export class OpusDecoder {
  readonly rate: PcmRate;
  #decoder: number | null;
  #invalid = 0;
  /** How long the last good packet was, in samples at `rate`. */
  #lastSamples: number;

  constructor(rate: PcmRate) {
    this.rate = rate;
    this.#decoder = libopus.createDecoder(rate);
    this.#lastSamples = (rate * FRAME_MS) / 1000;
  }

  /** Packets that were no Opus; each became silence. */
  get invalid(): number {
    return this.#invalid;
  }

  /** Samples of one packet, in memory that belongs to the caller. Data that is no Opus is counted and gives silence. */
  decode(packet: Uint8Array): Int16Array {
    const samples = opusPacketDuration(packet) === 0 ? null : this.#run(packet, this.#longest, false);
    if (samples === null) {
      this.#invalid++;
      return new Int16Array(this.#lastSamples);
    }
    this.#lastSamples = samples.length;
    return samples;
  }

  /** Samples in place of a lost packet, as long as the last one: libopus continues the sound and fades it out. */
  conceal(): Int16Array {
    return this.#run(null, this.#lastSamples, false) ?? new Int16Array(this.#lastSamples);
  }

  /**
   * Samples of a lost packet out of the one right after it, whose own are to be decoded next; null when that one has no
   * forward error correction, or is of another length.
   */
  restore(next: Uint8Array): Int16Array | null {
    const duration = (this.#lastSamples * OPUS_CLOCK_RATE) / this.rate;
    return hasForwardErrorCorrection(next) && opusPacketDuration(next) === duration ? this.#run(next, this.#lastSamples, true) : null;
  }

  /** Frees it: everything is silence from then on. Idempotent. */
  close(): void {
    if (this.#decoder !== null) libopus.free(this.#decoder);
    this.#decoder = null;
  }

  get #longest(): number {
    return (this.rate * LONGEST_MS) / 1000;
  }

  #run(packet: Uint8Array | null, samples: number, fec: boolean): Int16Array | null {
    return this.#decoder === null ? null : libopus.decode(this.#decoder, packet, samples, fec);
  }
}

const LONGEST_MS = 120;

/**
 * Whether a packet has a copy of the one before it (RFC 6716, section 4.2.4): one frame that begins in SILK mode, whose
 * LBRR flag comes after a flag of voice activity for each 20 ms. All are coded as one bit of even chance.
 */
export function hasForwardErrorCorrection(packet: Uint8Array): boolean {
  const config = packet[0] >> 3;
  if (packet.length < 2 || config >= 16 || (packet[0] & 3) !== 0) return false;
  const activityFlags = config >= 12 ? 1 : Math.max(1, config & 3);
  return ((packet[1] >> (7 - activityFlags)) & 1) === 1;
}
