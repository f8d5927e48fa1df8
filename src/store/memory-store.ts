import type { FlowStoreEntry } from './flow-store.ts';
import type { TicketStore } from './ticket-store.ts';

/** Keeps entries in this process: for tests, and where everything lives and dies inside one process. */
export class MemoryStore implements TicketStore {
  readonly #entries = new Map<string, { readonly value: string; readonly until: number }>();
  readonly #capacity: number;

  /** `capacity`: entries; beyond, the oldest is forgotten. */
  constructor(capacity = 10_000) {
    this.#capacity = capacity;
  }

  async read(keys: readonly string[]): Promise<(string | null)[]> {
    return keys.map((key) => this.#find(key));
  }

  async write(entries: readonly FlowStoreEntry[], ttlMs: number): Promise<void> {
    const until = performance.now() + ttlMs;
    for (const { key, value } of entries) {
      // What is written last is forgotten last.
      this.#entries.delete(key);
      this.#entries.set(key, { value, until });
    }
    for (const key of this.#entries.keys()) {
      if (this.#entries.size <= this.#capacity) break;
      this.#entries.delete(key);
    }
  }

  async claim(key: string, value: string, ttlMs: number): Promise<string> {
    const there = this.#find(key);
    if (there === null) await this.write([{ key, value }], ttlMs);
    return there ?? value;
  }

  async close(): Promise<void> {
    this.#entries.clear();
  }

  #find(key: string): string | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    if (performance.now() < entry.until) return entry.value;
    this.#entries.delete(key);
    return null;
  }
}
