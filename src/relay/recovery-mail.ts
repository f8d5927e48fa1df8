import { FLOW_RECORD_BYTES, writeFlowRecord } from './flow-record.ts';
import type { FlowRecovery } from './recovery.ts';

/** From a worker to the recovery desk: flow records, those to look up first. */
export interface RecoveryMessage {
  readonly records: Uint8Array;
  readonly lookups: number;
}

/** Records that one batch of packets can make at most; the refreshing of flows comes in portions of this, too. */
const CAPACITY = 4096;

/**
 * A worker's side of recovery: notes what the core asks and tells, to be posted to the main thread once per batch. The
 * packet path never waits for it; what does not fit is left out, for the client asks again and flows are told again.
 */
export class RecoveryMail implements FlowRecovery {
  readonly #post: (message: RecoveryMessage) => void;
  readonly #lookups = new Uint8Array(CAPACITY * FLOW_RECORD_BYTES);
  readonly #learned = new Uint8Array(CAPACITY * FLOW_RECORD_BYTES);
  #lookupCount = 0;
  #learnedCount = 0;

  constructor(post: (message: RecoveryMessage) => void) {
    this.#post = post;
  }

  lookup(ip: Uint8Array, ipOffset: number, family: 4 | 6, port: number): void {
    if (this.#lookupCount === CAPACITY) return;
    writeFlowRecord(this.#lookups, this.#lookupCount++ * FLOW_RECORD_BYTES, ip, ipOffset, family, port, null, 0);
  }

  learned(ip: Uint8Array, ipOffset: number, family: 4 | 6, port: number, target: Uint8Array, targetOffset: number): void {
    if (this.#learnedCount === CAPACITY) this.flush();
    writeFlowRecord(this.#learned, this.#learnedCount++ * FLOW_RECORD_BYTES, ip, ipOffset, family, port, target, targetOffset);
  }

  /** A batch of packets is done: posts what came of it. */
  flush(): void {
    if (this.#lookupCount + this.#learnedCount === 0) return;
    const lookupBytes = this.#lookupCount * FLOW_RECORD_BYTES;
    const learnedBytes = this.#learnedCount * FLOW_RECORD_BYTES;
    const records = new Uint8Array(lookupBytes + learnedBytes);
    records.set(this.#lookups.subarray(0, lookupBytes));
    records.set(this.#learned.subarray(0, learnedBytes), lookupBytes);
    this.#post({ records, lookups: this.#lookupCount });
    this.#lookupCount = 0;
    this.#learnedCount = 0;
  }
}
