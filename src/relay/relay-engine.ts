import type { Worker } from 'node:worker_threads';
import type { TransportAddress } from '../wire/address.ts';
import type { HandoverEngine, SocketPair } from './handover-engine.ts';
import type { RelayWorkerSetup, WorkerMail } from './worker-setup.ts';

export interface EngineOptions {
  readonly udp: TransportAddress;
  /** Worker i takes this port + i; with port 0 each takes any free one. */
  readonly trunk: TransportAddress;
  readonly receiveBuffer: number;
  readonly sendBuffer: number;
  /** One entry per worker. */
  readonly workers: readonly RelayWorkerSetup[];
  /** Open sockets to use instead of opening any, one pair per worker; the engine closes them. */
  readonly inherited?: readonly SocketPair[];
}

/** Running relay workers. What they say, but for that they run or are held, are `RecoveryMessage`s and `PeerReports`. */
export interface RelayEngine {
  readonly udp: TransportAddress;
  readonly trunk: readonly TransportAddress[];
  readonly threads: readonly Worker[];
  /** Resolves when every worker forwards. What comes before that waits in the sockets. */
  readonly started: Promise<unknown>;
  tell(worker: number, mail: WorkerMail): void;
  /** Null where sockets cannot change hands. */
  readonly handover: HandoverEngine | null;
  /** Ends the workers, then closes the sockets. Called once. */
  close(): Promise<void>;
}
