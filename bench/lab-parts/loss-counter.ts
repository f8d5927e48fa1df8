import type { UdpSocketHandler } from '../../src/net/udp-socket.ts';
import { isRtp } from '../../test/support/rtp.ts';
import type { TransportAddress } from '../../src/wire/address.ts';

/** Sequence numbers that jump so far are another stream's. */
const MAX_JUMP = 1000;

/**
 * Counts what got lost on the last way to a caller, by the RTP sequence numbers (RFC 3550, section 5.1), which SRTP leaves
 * readable. The lab's links keep the order, so whatever a packet skips is lost; what is sent again later comes with a number
 * that has passed and does not count.
 */
export class LossCounter implements UdpSocketHandler {
  expected = 0;
  lost = 0;
  readonly #handler: UdpSocketHandler;
  #highest = -1;

  constructor(handler: UdpSocketHandler) {
    this.#handler = handler;
  }

  datagram(data: Uint8Array, from: TransportAddress): void {
    if (isRtp(data)) this.#count((data[2] << 8) | data[3]);
    this.#handler.datagram(data, from);
  }

  batchEnd(): void {
    this.#handler.batchEnd();
  }

  #count(sequence: number): void {
    const ahead = (sequence - this.#highest) & 0xffff;
    if (this.#highest >= 0 && (ahead === 0 || ahead > 0x8000)) return;
    if (this.#highest >= 0 && ahead <= MAX_JUMP) {
      this.expected += ahead;
      this.lost += ahead - 1;
    }
    this.#highest = sequence;
  }
}
