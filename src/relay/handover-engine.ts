import type { FlowList } from './handover-flows.ts';

/** The descriptors of one worker. */
export interface SocketPair {
  readonly publicFd: number;
  readonly trunkFd: number;
}

/** What an engine does for a handover. */
export interface HandoverEngine {
  /** One per worker. */
  readonly sockets: readonly SocketPair[];
  /** Ends reading from the sockets once all that was read has been sent; gives the flows of each worker. */
  hold(): Promise<FlowList[]>;
  /** Goes on after `hold`; also begins, in an engine that was started with the sockets of another. */
  release(): void;
  /** Gives a held worker flows of the relay before. */
  give(worker: number, flows: FlowList): void;
}

/** What came of a handover. */
export interface HandoverFigures {
  readonly flows: number;
  /** For how long nobody read the sockets, as seen from the side that says it. */
  readonly heldMs: number;
}
