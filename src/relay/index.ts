export { RELAY_COUNTERS, type RelayCounter, type RelayCounterKey, type RelayCounters } from './counters.ts';
export { DROP_REASONS, DROP_REASON_LIST, type DropReason } from './drop-reason.ts';
export { explain } from './explain.ts';
export { DEFAULT_ALLOWED_TARGETS } from './networks.ts';
export type { HandoverFigures } from './handover-engine.ts';
export type { RecoveryFigures } from './recovery-desk.ts';
export type { SourceRate } from './source-limit.ts';
export { type Relay, type RelayDump, type RelayOptions, startRelay } from './relay.ts';
