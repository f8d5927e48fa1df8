import type { TransportArrival } from './transport-feedback.ts';

/** Packets noted between two feedbacks. Audio sends a dozen in that time; what is beyond this is left out. */
const CAPACITY = 128;

/** Arrivals by transport-wide sequence number, until the next feedback. Noting one allocates nothing. */
export class TransportLog {
  /** Sequence number and time in turn, in one piece: what is touched for every packet shall lie together. */
  readonly #arrivals = new Float64Array(2 * CAPACITY);
  #count = 0;

  get empty(): boolean {
    return this.#count === 0;
  }

  note(sequence: number, now: number): void {
    if (this.#count === CAPACITY) return;
    const at = 2 * this.#count++;
    this.#arrivals[at] = sequence;
    this.#arrivals[at + 1] = now;
  }

  /** What has arrived, ascending from the oldest, each sequence number once. Empties the log. */
  take(): TransportArrival[] {
    const arrivals: TransportArrival[] = [];
    for (let i = 0; i < this.#count; i++) arrivals.push({ sequence: this.#arrivals[2 * i], at: this.#arrivals[2 * i + 1] });
    this.#count = 0;
    const [first] = arrivals;
    if (!first) return arrivals;
    const distance = ({ sequence }: TransportArrival): number => ((sequence - first.sequence) << 16) >> 16;
    arrivals.sort((a, b) => distance(a) - distance(b) || a.at - b.at);
    return arrivals.filter((arrival, i) => i === 0 || arrival.sequence !== arrivals[i - 1].sequence);
  }
}
