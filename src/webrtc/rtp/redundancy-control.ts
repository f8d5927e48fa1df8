/**
 * How many older frames travel with each new one, decided by the loss that the peer reports (RTCP, RFC 3550 section
 * 6.4.1): none on a clean path, because each one costs as much as the voice itself.
 *
 *        2 %             8 %          of the packets lost: at once
 *   0 ────────►  1  ────────►  2
 *   0 ◄────────  1  ◄────────  2
 *      below 1 %      below 4 %       three reports in a row
 */
export class RedundancyControl {
  #distance = 0;
  /** Reports in a row that would be content with less. */
  #better = 0;

  /** Older frames in each packet: 0, 1 or 2. */
  get distance(): number {
    return this.#distance;
  }

  /** One report: the share of packets lost in its interval, 0 to 1. */
  handleLoss(loss: number): void {
    const wanted = loss >= RAISE[1] ? 2 : loss >= RAISE[0] ? 1 : 0;
    if (wanted > this.#distance) this.#distance = wanted;
    this.#better = this.#distance > 0 && loss < LOWER[this.#distance - 1] ? this.#better + 1 : 0;
    if (this.#better < PATIENCE) return;
    this.#distance--;
    this.#better = 0;
  }
}

/** Loss from which on a distance of 1, of 2 is used … */
const RAISE = [0.02, 0.08] as const;
/** … and below which it is given up. */
const LOWER = [0.01, 0.04] as const;
/** Reports come every second or few: a path that drops a packet now and then must not switch back and forth. */
const PATIENCE = 3;
