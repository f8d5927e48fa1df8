import type { UdpSocketHandler } from '../../src/net/udp-socket.ts';
import { LoopbackHosts } from '../call-parts/loopback-hosts.ts';
import type { OpenSocket } from '../support/core-end.ts';
import { percentile } from '../support/stats.ts';

export interface PacingErrors {
  readonly frames: number;
  /** How far from its place each frame came, ms. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/**
 * The ears of many callers on one socket: when each voice frame was sent, by the kernel's own clock, and by its RTP
 * timestamp when it should have been. What is inside is not looked at while that is measured, so that the ears leave the
 * processor to the server that they listen to.
 */
export class Ears {
  readonly #hosts = new LoopbackHosts({ timestamps: true });
  /** How late each frame was by its timestamp, per caller, ms. */
  readonly #offsets: number[][] = [];
  listening = false;

  /** A socket for one more caller. While this listens, its handler sees no media: with some of it, it would report the rest lost. */
  readonly openSocket: OpenSocket = (handler) => this.#hosts.open(this.#between(handler));

  /** Of all frames that were sent while this listened: the median of each caller's counts as its place. */
  errors(): PacingErrors {
    const errors = Float64Array.from(
      this.#offsets.flatMap((offsets) => {
        const middle = percentile(offsets.toSorted((a, b) => a - b), 50);
        return offsets.map((ms) => Math.abs(ms - middle));
      }),
    ).sort();
    return { frames: errors.length, p50: percentile(errors, 50), p99: percentile(errors, 99), max: errors.at(-1) ?? Number.NaN };
  }

  #between(handler: UdpSocketHandler): UdpSocketHandler {
    const offsets: number[] = [];
    this.#offsets.push(offsets);
    return {
      datagram: (data, from) => {
        if (!this.listening || !isMedia(data)) handler.datagram(data, from);
        else if (data.length > LONGEST_SILENCE) offsets.push(this.#hosts.sentAt - rtpTimestamp(data) / 48);
      },
      batchEnd: () => handler.batchEnd(),
    };
  }
}

/** SRTP, and not SRTCP: RFC 7983 for the first byte, RFC 5761 for the second. */
function isMedia(data: Uint8Array): boolean {
  return data[0] >= 128 && data[0] < 192 && (data[1] < 192 || data[1] >= 224);
}

/** Wraps after a day: no bench takes so long, but one may begin near the end. */
function rtpTimestamp(data: Uint8Array): number {
  return (data[4] << 24) | (data[5] << 16) | (data[6] << 8) | data[7];
}

/** Header, a few bytes and the tag. */
const LONGEST_SILENCE = 48;
