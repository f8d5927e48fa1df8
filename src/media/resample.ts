/**
 * Sample-rate conversion by a rational factor: a windowed-sinc low-pass in polyphase form. One instance carries the
 * history of one stream, so frames of any length join without a seam. The delay is half the filter:
 * {@link Resampler.delayMs}.
 */

/** Converts one mono 16-bit stream between two of the rates 8, 16, 24 and 48 kHz. */
export class Resampler {
  readonly from: number;
  readonly to: number;
  /** Group delay of the filter, in milliseconds. */
  readonly delayMs: number;
  readonly #up: number;
  readonly #down: number;
  readonly #taps: number;
  /** Coefficients by phase, each phase reversed so that it runs along the input. */
  readonly #phases: readonly Float64Array[];
  /** The last `taps - 1` input samples, then the current input. */
  #window: Float64Array;
  /** Where the next output lies, in units of 1/up input samples from the start of the current input. */
  #phase = 0;

  /**
   * @param crossings zero crossings of the sinc on each side, counted at the lower rate: 16 for ears; a detector is
   * content with 4, at a quarter of the cost and delay.
   */
  constructor(from: number, to: number, crossings = 16) {
    if (!(from > 0) || !(to > 0)) throw new RangeError(`cannot resample from ${from} Hz to ${to} Hz`);
    const divisor = greatestCommonDivisor(from, to);
    this.from = from;
    this.to = to;
    this.#up = to / divisor;
    this.#down = from / divisor;
    const { phases, taps } = design(this.#up, this.#down, crossings);
    this.#phases = phases;
    this.#taps = taps;
    this.#window = new Float64Array(taps - 1);
    this.delayMs = ((taps * this.#up - 1) / 2 / (from * this.#up)) * 1000;
  }

  /** Converts the next samples of the stream. The result has its own memory. */
  process(input: Int16Array): Int16Array {
    const history = this.#taps - 1;
    if (this.#window.length < history + input.length) {
      const larger = new Float64Array(history + input.length);
      larger.set(this.#window.subarray(0, history));
      this.#window = larger;
    }
    const window = this.#window;
    for (let i = 0; i < input.length; i++) window[history + i] = input[i]!;

    const end = input.length * this.#up;
    const output = new Int16Array(Math.max(0, Math.ceil((end - this.#phase) / this.#down)));
    const taps = this.#taps;
    for (let i = 0; i < output.length; i++, this.#phase += this.#down) {
      const coefficients = this.#phases[this.#phase % this.#up];
      const start = Math.floor(this.#phase / this.#up);
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) sum += window[start + tap] * coefficients[tap];
      output[i] = sum > 32767 ? 32767 : sum < -32768 ? -32768 : Math.round(sum);
    }
    this.#phase -= end;
    window.copyWithin(0, input.length, input.length + history);
    return output;
  }
}

/** Pass band edge as a part of the lower Nyquist frequency; the rest is the transition. */
const CUTOFF = 0.91;
/** Kaiser window shape: about 80 dB in the stop band. */
const BETA = 8;

function design(up: number, down: number, crossings: number): { phases: Float64Array[]; taps: number } {
  const widest = Math.max(up, down);
  const taps = Math.ceil((2 * crossings * widest) / up);
  const length = taps * up;
  const centre = (length - 1) / 2;
  const cutoff = CUTOFF / widest;
  const prototype = new Float64Array(length);
  for (let i = 0; i < length; i++) {
    const x = i - centre;
    const sinc = x === 0 ? cutoff : Math.sin(Math.PI * cutoff * x) / (Math.PI * x);
    const edge = (2 * i) / (length - 1) - 1;
    prototype[i] = sinc * (bessel(BETA * Math.sqrt(1 - edge * edge)) / bessel(BETA)) * up;
  }
  const phases: Float64Array[] = [];
  for (let phase = 0; phase < up; phase++) {
    const coefficients = new Float64Array(taps);
    let sum = 0;
    for (let tap = 0; tap < taps; tap++) sum += prototype[phase + tap * up];
    // Each phase passes a constant unchanged: no ripple at the output's phase rate.
    for (let tap = 0; tap < taps; tap++) coefficients[taps - 1 - tap] = prototype[phase + tap * up] / sum;
    phases.push(coefficients);
  }
  return { phases, taps };
}

/** Modified Bessel function of the first kind, order zero. */
function bessel(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
