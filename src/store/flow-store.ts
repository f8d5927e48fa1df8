/**
 * A small cache outside this process: text by key, each entry with a time to live. It may be slow, forget anything at
 * any time, or be gone: whoever uses it must do as well without.
 */
export interface FlowStore {
  /** The values of these keys, null where there is none. @throws when there is no answer, soon. */
  read(keys: readonly string[]): Promise<readonly (string | null)[]>;
  /** Writes entries, each to be forgotten after `ttlMs`. @throws when it is not known to have been done, soon. */
  write(entries: readonly FlowStoreEntry[], ttlMs: number): Promise<void>;
  /** Idempotent. What is under way may be lost. */
  close(): Promise<void>;
}

export interface FlowStoreEntry {
  readonly key: string;
  readonly value: string;
}
