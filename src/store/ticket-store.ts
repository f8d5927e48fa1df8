import type { FlowStore } from './flow-store.ts';

/** The same cache, for those who have to agree on something: who was first. */
export interface TicketStore extends FlowStore {
  /**
   * Writes an entry unless there is one under its key.
   * @returns what is there then: `value`, or what was there before. @throws when there is no answer, soon.
   */
  claim(key: string, value: string, ttlMs: number): Promise<string>;
}
