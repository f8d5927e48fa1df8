/** Takes the rumble out of a voice: wind, traffic, hum. Second-order Butterworth; one instance per stream. */
export class HighPass {
  readonly #b0: number;
  readonly #a1: number;
  readonly #a2: number;
  #x1 = 0;
  #x2 = 0;
  #y1 = 0;
  #y2 = 0;

  /** @param cutoff Hz at which the level is down by 3 dB. */
  constructor(rate: number, cutoff: number) {
    const k = Math.tan((Math.PI * cutoff) / rate);
    const norm = 1 / (1 + Math.SQRT2 * k + k * k);
    this.#b0 = norm;
    this.#a1 = 2 * (k * k - 1) * norm;
    this.#a2 = (1 - Math.SQRT2 * k + k * k) * norm;
  }

  /** Writes the next samples of the stream, filtered, to the start of `out`. */
  process(input: Int16Array, out: Int16Array): void {
    for (let i = 0; i < input.length; i++) {
      const x = input[i];
      const y = this.#b0 * (x - 2 * this.#x1 + this.#x2) - this.#a1 * this.#y1 - this.#a2 * this.#y2;
      this.#x2 = this.#x1;
      this.#x1 = x;
      this.#y2 = this.#y1;
      this.#y1 = y;
      out[i] = y > 32767 ? 32767 : y < -32768 ? -32768 : Math.round(y);
    }
  }
}
