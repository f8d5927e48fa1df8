export type { FlowStore, FlowStoreEntry } from './flow-store.ts';
export { MemoryStore } from './memory-store.ts';
export { RedisStore } from './redis-store.ts';
export type { TicketStore } from './ticket-store.ts';
