import type { TransportArrival } from './transport-feedback.ts';

/** Packets noted between two feedbacks. Audio sends five in that time; what is beyond this is left out. */
const CAPACITY = 128;

/** Arrivals by transport-wide sequence number, until the next feedback. Noting one allocates nothing. */
export class TransportLog {
  readonly #sequences = new Uint16Array(CAPACITY);
  readonly #times = new Float64Array(CAPACITY);
  #count = 0;

  get empty(): boolean {
    return this.#count === 0;
  }

  note(sequence: number, now: number): void {
    if (this.#count === CAPACITY) return;
    this.#sequences[this.#count] = sequence;
    this.#times[this.#count++] = now;
  }

  /** What has arrived, ascending from the oldest, each sequence number once. Empties the log. */
  take(): TransportArrival[] {
    const arrivals: TransportArrival[] = [];
    for (let i = 0; i < this.#count; i++) arrivals.push({ sequence: this.#sequences[i], at: this.#times[i] });
    this.#count = 0;
    const [first] = arrivals;
    if (!first) return arrivals;
    const distance = ({ sequence }: TransportArrival): number => ((sequence - first.sequence) << 16) >> 16;
    arrivals.sort((a, b) => distance(a) - distance(b) || a.at - b.at);
    return arrivals.filter((arrival, i) => i === 0 || arrival.sequence !== arrivals[i - 1].sequence);
  }
}
