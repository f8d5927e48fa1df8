import type { UdpSocketHandler } from '../../src/net/udp-socket.ts';
import { readUint32 } from '../../src/wire/integers.ts';
import { SerialUnwrapper } from '../../src/webrtc/rtp/serial-unwrapper.ts';
import { isRtp } from '../../test/support/rtp.ts';
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
    const timestamps = new SerialUnwrapper(32);
    this.#offsets.push(offsets);
    return {
      datagram: (data, from) => {
        if (!this.listening || !isRtp(data)) handler.datagram(data, from);
        else if (data.length > LONGEST_SILENCE) offsets.push(this.#hosts.sentAt - timestamps.unwrap(readUint32(data, TIMESTAMP)) / 48);
      },
      batchEnd: () => handler.batchEnd(),
    };
  }
}

/** Where RTP has its timestamp (RFC 3550, section 5.1). */
const TIMESTAMP = 4;
/** Header, a few bytes and the tag. */
const LONGEST_SILENCE = 48;
