/**
 * Distributions of what a worker's loop meets, in memory that the main thread reads at any time: one writer.
 */
export interface RelayHistogram {
  /** Without the prefix of all metrics. */
  readonly name: string;
  readonly help: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Upper bounds of the buckets, ascending; beyond the last there is one more. */
  readonly bounds: readonly number[];
}

/** The values of one, summed over the workers. */
export interface RelayHistogramValues extends RelayHistogram {
  /** By bucket: one more than there are bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

const BATCH = {
  name: 'batch_datagrams',
  help: 'Datagrams that one system call received or sent; the dgram engine has one datagram per call and counts none here',
  bounds: [0, 1, 2, 4, 8, 16, 32, 64, 128],
} as const;

const HISTOGRAMS = {
  receiveBatch: { ...BATCH, labels: { call: 'receive' } },
  sendBatch: { ...BATCH, labels: { call: 'send' } },
  loop: {
    name: 'loop_duration_seconds',
    help: 'Time from waking up to having passed on what was waiting, of rounds that found something',
    labels: {},
    bounds: [0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1],
  },
} as const satisfies Record<string, RelayHistogram>;

const BYTES = 8;
const LIST: readonly RelayHistogram[] = Object.values(HISTOGRAMS);

/** Bytes of memory that one worker's histograms take. */
export const HISTOGRAM_BYTES = LIST.reduce((sum, { bounds }) => sum + (bounds.length + 2) * BYTES, 0);

/** One histogram of one worker: its buckets, then the sum. */
class SharedHistogram {
  readonly #bounds: readonly number[];
  readonly #values: Float64Array;

  constructor({ bounds }: RelayHistogram, memory: SharedArrayBuffer, offset: number) {
    this.#bounds = bounds;
    this.#values = new Float64Array(memory, offset, bounds.length + 2);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > this.#bounds[bucket]) bucket++;
    this.#values[bucket]++;
    this.#values[this.#bounds.length + 1] += value;
  }

  get counts(): number[] {
    return [...this.#values.subarray(0, -1)];
  }

  get sum(): number {
    return this.#values[this.#bounds.length + 1];
  }
}

/** The histograms of one worker. */
export class HistogramBlock {
  readonly receiveBatch: SharedHistogram;
  readonly sendBatch: SharedHistogram;
  readonly loop: SharedHistogram;

  constructor(memory: SharedArrayBuffer, offset: number) {
    const make = (histogram: RelayHistogram): SharedHistogram => {
      const made = new SharedHistogram(histogram, memory, offset);
      offset += (histogram.bounds.length + 2) * BYTES;
      return made;
    };
    this.receiveBatch = make(HISTOGRAMS.receiveBatch);
    this.sendBatch = make(HISTOGRAMS.sendBatch);
    this.loop = make(HISTOGRAMS.loop);
  }
}

export function sumHistograms(blocks: readonly HistogramBlock[]): RelayHistogramValues[] {
  return (Object.keys(HISTOGRAMS) as (keyof typeof HISTOGRAMS)[]).map((key) => ({
    ...HISTOGRAMS[key],
    counts: blocks.reduce<number[]>((sums, block) => block[key].counts.map((count, i) => count + (sums[i] ?? 0)), []),
    sum: blocks.reduce((sum, block) => sum + block[key].sum, 0),
  }));
}
