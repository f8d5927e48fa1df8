/**
 * Opus (RFC 6716) for one voice: mono, 16 bit, 20 ms frames out, any packet in.
 *
 *    0 1 2 3 4 5 6 7
 *   +-+-+-+-+-+-+-+-+
 *   | config  |s| c |   the TOC byte: mode, bandwidth and frame size; stereo; frames per packet
 *   +-+-+-+-+-+-+-+-+
 *
 * libopus resamples inside: a decoder at 8 kHz is cheaper than one at 48 kHz, and no second resampler is needed.
 */
import { Decoder, Encoder } from '@evan/opus';

/** Sample rates of PCM audio towards agents. */
export type PcmRate = 8000 | 16000 | 24000 | 48000;

/** RTP clock of Opus, whatever is coded inside (RFC 7587, section 4.1). */
export const OPUS_CLOCK_RATE = 48_000;

/** A packet of 20 ms of digital silence. */
export const OPUS_SILENCE: Uint8Array = Uint8Array.of(0xf8, 0xff, 0xfe);

/** Duration of one outgoing frame. */
export const FRAME_MS = 20;

/**
 * Duration of an Opus packet in samples at 48 kHz, from its TOC byte and frame count (RFC 6716, section 3.1).
 * 0 for bytes that are no Opus packet: empty, no frame count, no frames, or longer than 120 ms.
 */
export function opusPacketDuration(packet: Uint8Array): number {
  if (packet.length === 0) return 0;
  const toc = packet[0];
  const frame = frameDuration(toc >> 3);
  switch (toc & 3) {
    case 0:
      return frame;
    case 1:
    case 2:
      return frame * 2;
    default: {
      if (packet.length < 2) return 0;
      const total = frame * (packet[1] & 0x3f);
      return total <= MAX_PACKET ? total : 0;
    }
  }
}

/** Decodes to mono at one rate. Nothing that arrives makes it throw. */
export class OpusDecoder {
  readonly rate: PcmRate;
  #decoder: Decoder;
  #invalid = 0;
  /** The last good packet: how a concealed one sounds, and how long it is. */
  #lastConfig: number;
  #lastDuration: number;
  readonly #conceal = new Uint8Array(1);

  constructor(rate: PcmRate) {
    this.rate = rate;
    this.#decoder = new Decoder({ channels: 1, sample_rate: rate });
    this.#lastConfig = DEFAULT_CONFIG;
    this.#lastDuration = frameDuration(DEFAULT_CONFIG);
  }

  /** Packets that were no Opus; each became silence. */
  get invalid(): number {
    return this.#invalid;
  }

  /** Samples of one packet, in memory that belongs to the caller. Data that is no Opus is counted and gives silence. */
  decode(packet: Uint8Array): Int16Array {
    const duration = opusPacketDuration(packet);
    if (duration === 0) return this.#silence();
    try {
      const samples = toSamples(this.#decoder.decode(packet));
      this.#lastConfig = packet[0] >> 3;
      this.#lastDuration = duration;
      return samples;
    } catch {
      return this.#silence();
    }
  }

  /**
   * Samples in place of a lost packet, as long as the last one: libopus continues the sound and fades it out.
   * A frame of length zero means "not available" to a decoder (RFC 6716, section 3.2.1), so a bare TOC byte asks for it.
   */
  conceal(): Int16Array {
    this.#conceal[0] = this.#lastConfig << 3;
    const frame = frameDuration(this.#lastConfig);
    const count = Math.max(1, Math.round(this.#lastDuration / frame));
    try {
      if (count === 1) return toSamples(this.#decoder.decode(this.#conceal));
      const samples = new Int16Array((this.#lastDuration * this.rate) / OPUS_CLOCK_RATE);
      let at = 0;
      for (let i = 0; i < count; i++) {
        const part = toSamples(this.#decoder.decode(this.#conceal));
        samples.set(part, at);
        at += part.length;
      }
      return samples;
    } catch {
      return this.#silence();
    }
  }

  #silence(): Int16Array {
    this.#invalid++;
    return new Int16Array((this.#lastDuration * this.rate) / OPUS_CLOCK_RATE);
  }
}

/**
 * Encodes 20 ms frames at 32 kbit/s. Left to itself libopus then codes in CELT mode, which costs a quarter of what SILK
 * does; only SILK has forward error correction, so {@link protect} asks for that where packets are lost.
 */
export class OpusEncoder {
  readonly rate: PcmRate;
  /** Samples of one 20 ms frame. */
  readonly frameSize: number;
  readonly #encoder: Encoder;
  #protected = false;

  constructor(rate: PcmRate) {
    this.rate = rate;
    this.frameSize = (rate * FRAME_MS) / 1000;
    const encoder = new Encoder({ channels: 1, sample_rate: rate, application: 'audio' });
    encoder.bitrate = 32_000;
    encoder.complexity = 5;
    encoder.dtx = false;
    this.#encoder = encoder;
  }

  /** Whether the next frames carry what the one before needs to be restored (RFC 6716, section 2.1.7). */
  protect(wanted: boolean): void {
    if (wanted === this.#protected) return;
    this.#protected = wanted;
    this.#encoder.signal = wanted ? 'voice' : 'auto';
    this.#encoder.inband_fec = wanted;
    this.#encoder.packet_loss = wanted ? EXPECTED_LOSS_PERCENT : 0;
  }

  /** @throws {RangeError} when `samples` are not exactly one frame. */
  encode(samples: Int16Array): Uint8Array {
    if (samples.length !== this.frameSize) {
      throw new RangeError(`an Opus frame takes ${this.frameSize} samples, not ${samples.length}`);
    }
    return this.#encoder.encode(samples);
  }
}

const EXPECTED_LOSS_PERCENT = 10;

/** 120 ms (RFC 6716, section 3.2.5, R5). */
const MAX_PACKET = 5760;

/** SILK, wide band, 20 ms: what silence before the first packet is taken for. */
const DEFAULT_CONFIG = 9;

/** Samples at 48 kHz of one frame, by configuration number (RFC 6716, table 2). */
function frameDuration(config: number): number {
  if (config < 12) return SILK_DURATIONS[config & 3];
  if (config < 16) return 480 << (config & 1);
  return 120 << (config & 3);
}

const SILK_DURATIONS = [480, 960, 1920, 2880] as const;

function toSamples(bytes: Uint8Array): Int16Array {
  return new Int16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1);
}
