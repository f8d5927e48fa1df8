import type { TransportAddress } from '../wire/address.ts';
import type { RelayWorkerSetup } from './worker-setup.ts';

/** What a worker of the `dgram` engine is told. */
export interface DgramWorkerSetup extends RelayWorkerSetup {
  readonly udp: TransportAddress;
  readonly trunk: TransportAddress;
  readonly receiveBuffer: number;
  readonly sendBuffer: number;
}

/** What it says to the main thread first: that it is open, or that it cannot. */
export type DgramWorkerMessage =
  | { readonly type: 'open'; readonly udp: TransportAddress; readonly trunk: TransportAddress }
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

/** The message to it that ends it; any other is `WorkerMail`. */
export const CLOSE = 'close';
