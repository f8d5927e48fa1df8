import type { PcmRate } from './opus.ts';

/**
 * The last seconds of a PCM stream, addressed by their position in it: milliseconds since the first sample written.
 * What a turn sounded like is `slice(turn.startMs, turn.endMs)`.
 */
export class AudioHistory {
  readonly rate: PcmRate;
  readonly #chunks: Int16Array[] = [];
  /** Positions, in samples, of the first one kept and of the next to come. */
  #start = 0;
  #end = 0;

  constructor(rate: PcmRate) {
    this.rate = rate;
  }

  /** Appends samples; the array is kept and must not change afterwards. */
  write(samples: Int16Array): void {
    this.#chunks.push(samples);
    this.#end += samples.length;
  }

  /** Forgets all but (at least) the last `ms`. */
  keep(ms: number): void {
    const wanted = (this.rate * ms) / 1000;
    while (this.#end - this.#start - (this.#chunks[0]?.length ?? Infinity) >= wanted) {
      this.#start += this.#chunks.shift()!.length;
    }
  }

  /** A copy of the samples between two positions, as far as they are still there. */
  slice(fromMs: number, toMs: number): Int16Array {
    const from = Math.max(this.#start, Math.round((fromMs * this.rate) / 1000));
    const to = Math.min(this.#end, Math.round((toMs * this.rate) / 1000));
    const samples = new Int16Array(Math.max(0, to - from));
    let at = this.#start;
    for (const chunk of this.#chunks) {
      const part = chunk.subarray(Math.max(0, from - at), Math.max(0, to - at));
      if (part.length > 0) samples.set(part, Math.max(at, from) - from);
      at += chunk.length;
      if (at >= to) break;
    }
    return samples;
  }
}
