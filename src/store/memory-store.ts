import type { FlowStore, FlowStoreEntry } from './flow-store.ts';

/** Keeps entries in this process: for tests, and where relays live and die inside one process. */
export class MemoryStore implements FlowStore {
  readonly #entries = new Map<string, { readonly value: string; readonly until: number }>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  async read(keys: readonly string[]): Promise<(string | null)[]> {
    return keys.map((key) => this.#find(key));
  }

  async write(entries: readonly FlowStoreEntry[], ttlMs: number): Promise<void> {
    const until = this.#now() + ttlMs;
    for (const { key, value } of entries) this.#entries.set(key, { value, until });
  }

  async close(): Promise<void> {
    this.#entries.clear();
  }

  #find(key: string): string | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    if (this.#now() < entry.until) return entry.value;
    this.#entries.delete(key);
    return null;
  }
}
