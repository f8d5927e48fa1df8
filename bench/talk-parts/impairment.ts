/** What a network does to packets one way. Zeros are a clean path. */
export interface Impairment {
  readonly delayMs: number;
  /** Added at random, 0 to this; packets stay in order for it. */
  readonly jitterMs: number;
  /** Share of the packets lost, in bursts of this mean length (Gilbert's model); 1 is almost random loss. */
  readonly loss: number;
  readonly burst: number;
  /** Share of the packets that the next one overtakes. */
  readonly reordered: number;
}

export const CLEAN: Impairment = { delayMs: 0, jitterMs: 0, loss: 0, burst: 1, reordered: 0 };

/** One direction of a path. The same seed gives the same fates. */
export class ImpairedPath {
  readonly #impairment: Impairment;
  readonly #random: () => number;
  #losing = false;
  #lastAt = 0;
  /** Packets that were lost on it. */
  lost = 0;
  /** Until then packets pass untouched: a call is set up first. */
  active = false;

  /** @param random 0 to 1 */
  constructor(impairment: Impairment, random: () => number) {
    this.#impairment = impairment;
    this.#random = random;
  }

  /** Calls `deliver` with the packet at its time, or never. */
  pass(packet: Uint8Array, deliver: (packet: Uint8Array) => void): void {
    const { delayMs, jitterMs, loss, burst, reordered } = this.#impairment;
    if (!this.active || this.#impairment === CLEAN) {
      deliver(packet);
      return;
    }
    this.#losing = this.#random() < (this.#losing ? 1 - 1 / burst : loss / ((1 - loss) * burst));
    if (this.#losing) {
      this.lost++;
      return;
    }
    const now = performance.now();
    const overtaken = this.#random() < reordered ? OVERTAKEN_MS : 0;
    const at = Math.max(this.#lastAt, now + delayMs + this.#random() * jitterMs) + overtaken;
    if (overtaken === 0) this.#lastAt = at;
    const copy = packet.slice();
    setTimeout(() => deliver(copy), at - now);
  }
}

/** A little more than a frame. */
const OVERTAKEN_MS = 25;
