import { seededRandom } from '../../support/random.ts';

/** Two machines, a virtual clock and a lossy path between them. Everything follows from the seed. */

export interface Machine<Output extends { type: string }> {
  handlePacket(data: Uint8Array, now: number): void;
  handleTimeout(now: number): void;
  poll(): Output | { type: 'transmit'; data: Uint8Array } | { type: 'timeout'; at: number };
}

export interface PathOptions {
  readonly loss?: number;
  readonly duplication?: number;
  /** One-way delay, ms. */
  readonly delay?: number;
  /** Random part added to the delay of each packet, ms: what reorders. */
  readonly jitter?: number;
}

export class Prng {
  /** In [0, 1). */
  readonly next: () => number;

  constructor(seed: number) {
    this.next = seededRandom(seed);
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  readonly randomize = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.below(256);
  };
}

interface Flight {
  readonly at: number;
  readonly order: number;
  readonly to: 0 | 1;
  readonly data: Uint8Array;
}

/** What happens to a packet on its way; the default applies the path's loss. */
export type Verdict = 'pass' | 'drop';

export class VirtualNetwork<Output extends { type: string }> {
  now = 0;
  /** Called for every packet, before loss. Return 'drop' to lose it, or undefined to let chance decide. */
  tap: ((from: 0 | 1, data: Uint8Array) => Verdict | undefined) | null = null;
  readonly packets: { from: 0 | 1; data: Uint8Array; at: number }[] = [];
  record = false;
  readonly #machines: readonly [Machine<Output>, Machine<Output>];
  readonly #onOutput: (who: 0 | 1, output: Output) => void;
  readonly #path: Required<PathOptions>;
  readonly #prng: Prng;
  readonly #flights: Flight[] = [];
  readonly #deadlines: [number, number] = [Infinity, Infinity];
  #order = 0;

  constructor(
    machines: readonly [Machine<Output>, Machine<Output>],
    prng: Prng,
    path: PathOptions,
    onOutput: (who: 0 | 1, output: Output) => void,
  ) {
    this.#machines = machines;
    this.#prng = prng;
    this.#path = { loss: 0, duplication: 0, delay: 10, jitter: 0, ...path };
    this.#onOutput = onOutput;
  }

  /** Drains what a machine has to say; call it after every call of one of its methods. */
  drain(who: 0 | 1): void {
    const machine = this.#machines[who];
    for (let count = 0; ; count++) {
      if (count > 100_000) throw new Error('poll never ends');
      const output = machine.poll();
      if (output.type === 'timeout') {
        this.#deadlines[who] = (output as { at: number }).at;
        return;
      }
      if (output.type === 'transmit') this.#send(who, (output as { data: Uint8Array }).data.slice());
      else this.#onOutput(who, output as Output);
    }
  }

  /** Puts a packet on its way to `to` past loss and tap. */
  inject(to: 0 | 1, data: Uint8Array): void {
    this.#machines[to].handlePacket(data, this.now);
    this.drain(to);
  }

  /** Lets time pass until `isDone` holds, or for at most `limit` ms. True when it held. */
  run(isDone: () => boolean, limit: number): boolean {
    const end = this.now + limit;
    for (let steps = 0; !isDone(); steps++) {
      if (steps > 2_000_000) throw new Error('the machines never come to rest');
      const flight = this.#flights[0];
      const at = Math.min(flight?.at ?? Infinity, ...this.#deadlines);
      if (at > end) {
        this.now = end;
        return false;
      }
      this.now = Math.max(this.now, at);
      if (flight !== undefined && flight.at <= at) {
        this.#pop();
        this.#machines[flight.to].handlePacket(flight.data, this.now);
        this.drain(flight.to);
      } else {
        const who = this.#deadlines[0] <= this.#deadlines[1] ? 0 : 1;
        this.#machines[who].handleTimeout(this.now);
        this.drain(who);
      }
    }
    return true;
  }

  /** Lets `ms` pass. */
  sleep(ms: number): void {
    this.run(() => false, ms);
  }

  #send(from: 0 | 1, data: Uint8Array): void {
    if (this.record) this.packets.push({ from, data, at: this.now });
    const verdict = this.tap?.(from, data);
    if (verdict === 'drop') return;
    if (verdict === undefined && this.#prng.next() < this.#path.loss) return;
    this.#fly(from, data);
    if (this.#prng.next() < this.#path.duplication) this.#fly(from, data);
  }

  #fly(from: 0 | 1, data: Uint8Array): void {
    const at = this.now + this.#path.delay + this.#prng.next() * this.#path.jitter;
    this.#push({ at, order: this.#order++, to: from === 0 ? 1 : 0, data });
  }

  #push(flight: Flight): void {
    const heap = this.#flights;
    let i = heap.push(flight) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(flight, heap[parent])) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = flight;
  }

  #pop(): void {
    const heap = this.#flights;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child += 1;
      if (!isBefore(heap[child], last)) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
  }
}

function isBefore(a: Flight, b: Flight): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
