import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Crossing, PathConditions } from './delayed-path.ts';
import type { PathOrder } from './path-worker.ts';

/** A {@link DelayedPath} that runs in another thread. */
export class PathThread {
  /** `127.0.0.1:port`, to be told to callers. */
  readonly address: string;
  readonly #worker: Worker;

  private constructor(worker: Worker, address: string) {
    this.#worker = worker;
    this.address = address;
  }

  /** @param relay `127.0.0.1:port` */
  static async open(relay: string): Promise<PathThread> {
    const worker = new Worker(new URL('./path-worker.js', import.meta.url), { workerData: { relay } });
    const [address] = (await once(worker, 'message')) as [string];
    return new PathThread(worker, address);
  }

  /** A new path for the next call: what is under way goes nowhere. */
  async impose(conditions: PathConditions): Promise<void> {
    await this.#ask({ type: 'impose', conditions });
  }

  /** How late the path delivered because the machine was busy, ms, one for each datagram. */
  async lateness(): Promise<number[]> {
    return (await this.#ask({ type: 'lateness' })) as number[];
  }

  /** What has crossed since conditions were last imposed. */
  async crossings(): Promise<Crossing[]> {
    return (await this.#ask({ type: 'crossings' })) as Crossing[];
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  async #ask(order: PathOrder): Promise<unknown> {
    const reply = once(this.#worker, 'message');
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(order);
    return (await reply)[0];
  }
}
