/** An event of the Realtime protocol. */
export interface RealtimeEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface ReceivedEvent {
  readonly event: RealtimeEvent;
  /** Milliseconds of `performance.now()`. */
  readonly at: number;
}

/** Everything that arrived on a data channel, to be awaited by type. Each wait consumes what it passes. */
export class EventMailbox implements AsyncIterable<ReceivedEvent> {
  /** All events so far, consumed or not. */
  readonly all: ReceivedEvent[] = [];
  #next = 0;
  #wake: (() => void)[] = [];
  #closed = false;

  put(event: RealtimeEvent): void {
    this.all.push({ event, at: performance.now() });
    this.#wakeAll();
  }

  /** No more events will come: waits for them fail instead of lasting for ever. */
  close(): void {
    this.#closed = true;
    this.#wakeAll();
  }

  /**
   * The next event of this type; those before it are passed over.
   * @throws {Error} when the channel closes first; it names the events that came instead.
   */
  async next(type: string): Promise<ReceivedEvent> {
    const passed: string[] = [];
    for await (const received of this) {
      if (received.event.type === type) return received;
      passed.push(received.event.type);
    }
    throw new Error(`the data channel closed before ${type} came; there were: ${passed.join(', ') || 'no events'}`);
  }

  /**
   * The first event of this type, come or yet to come; consumes nothing.
   * @throws {Error} when the channel closes first.
   */
  async seen(type: string): Promise<ReceivedEvent> {
    for (;;) {
      const found = this.all.find(({ event }) => event.type === type);
      if (found) return found;
      if (this.#closed) throw new Error(`the data channel closed and ${type} had not come`);
      await this.#change();
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedEvent> {
    for (;;) {
      while (this.#next < this.all.length) yield this.all[this.#next++];
      if (this.#closed) return;
      await this.#change();
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
