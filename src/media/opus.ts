/**
 * Opus (RFC 6716): what a packet says of itself.
 *
 *    0 1 2 3 4 5 6 7
 *   +-+-+-+-+-+-+-+-+
 *   | config  |s| c |   the TOC byte: mode, bandwidth and frame size; stereo; frames per packet
 *   +-+-+-+-+-+-+-+-+
 */
/** Sample rates of PCM audio towards agents. */
export type PcmRate = 8000 | 16000 | 24000 | 48000;

/** RTP clock of Opus, whatever is coded inside (RFC 7587, section 4.1). */
export const OPUS_CLOCK_RATE = 48_000;

/** A packet of 20 ms of digital silence. */
export const OPUS_SILENCE: Uint8Array = Uint8Array.of(0xf8, 0xff, 0xfe);

/**
 * A packet of 20 ms without data (RFC 6716, section 3.2.1): nothing is said until the next one that has some. A receiver
 * that gets it before packets stop to come does not take the pause for loss.
 */
export const OPUS_DTX: Uint8Array = OPUS_SILENCE.slice(0, 1);

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

/** 120 ms (RFC 6716, section 3.2.5, R5). */
const MAX_PACKET = 5760;

/** Samples at 48 kHz of one frame, by configuration number (RFC 6716, table 2). */
function frameDuration(config: number): number {
  if (config < 12) return SILK_DURATIONS[config & 3];
  if (config < 16) return 480 << (config & 1);
  return 120 << (config & 3);
}

const SILK_DURATIONS = [480, 960, 1920, 2880] as const;
