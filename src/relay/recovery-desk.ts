import type { FlowStore } from '../store/flow-store.ts';
import { FLOW_CLIENT_BYTES, FLOW_RECORD_BYTES, FLOW_TARGET_OFFSET } from './flow-record.ts';
import type { FlowSeal } from './flow-seal.ts';
import type { RecoveryMessage } from './recovery-mail.ts';

/** What the recovery cache did, all growing but `queued`. */
export interface RecoveryFigures {
  lookups: number;
  hits: number;
  misses: number;
  /** Lookups that were not answered, or not asked because too many were waiting. */
  lookupErrors: number;
  /** Values that no relay of this deployment has written. */
  forged: number;
  written: number;
  writeBatches: number;
  writeErrors: number;
  /** Flows not written because too many were waiting. */
  writesDropped: number;
  /** Lookups and flows that wait now. */
  queued: number;
}

export interface RecoveryDeskOptions {
  readonly store: FlowStore;
  readonly seal: FlowSeal;
  readonly ttlMs: number;
  /** Hands answers, flow records, to the worker that asked. */
  readonly answer: (worker: number, records: Uint8Array) => void;
}

/** Flows that are found or written with one command or pipeline. */
const BATCH = 512;
const MAX_READS_AT_ONCE = 8;
const MAX_WAITING_LOOKUPS = 16_384;
const MAX_WAITING_WRITES = 131_072;
/** What is learned within this time is written together. */
const WRITE_DELAY_MS = 20;
const RETRY_MS = 250;

interface Lookup {
  readonly worker: number;
  readonly record: Uint8Array;
}

/**
 * The main thread's side of recovery: takes the workers' questions to the store, and writes what they learn behind
 * them. Everything that waits is bounded; a store that fails costs lookups, never a packet of a known flow.
 */
export class RecoveryDesk {
  readonly figures: RecoveryFigures = {
    lookups: 0, hits: 0, misses: 0, lookupErrors: 0, forged: 0, written: 0, writeBatches: 0, writeErrors: 0, writesDropped: 0, queued: 0,
  };
  readonly #options: RecoveryDeskOptions;
  #lookups: Lookup[] = [];
  #reads = 0;
  /** Record by client, so that a flow that moves is written once, to where it is now. */
  readonly #writes = new Map<string, Uint8Array>();
  #writeTimer: NodeJS.Timeout | null = null;
  #writing = false;
  #closed = false;

  constructor(options: RecoveryDeskOptions) {
    this.#options = options;
  }

  /** Takes what a worker posted. */
  handle(worker: number, { records, lookups }: RecoveryMessage): void {
    if (this.#closed) return;
    for (let at = 0; at < records.length; at += FLOW_RECORD_BYTES) {
      const record = records.subarray(at, at + FLOW_RECORD_BYTES);
      if (at < lookups * FLOW_RECORD_BYTES) this.#ask({ worker, record });
      else this.#note(record);
    }
    this.#readNext();
    if (this.#writes.size > 0) this.#writeSoon(WRITE_DELAY_MS);
    this.#count();
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#writeTimer) clearTimeout(this.#writeTimer);
    await this.#options.store.close();
  }

  #ask(lookup: Lookup): void {
    this.figures.lookups++;
    if (this.#lookups.length < MAX_WAITING_LOOKUPS) this.#lookups.push(lookup);
    else this.figures.lookupErrors++;
  }

  #note(record: Uint8Array): void {
    const client = Buffer.from(record.buffer, record.byteOffset, FLOW_CLIENT_BYTES).toString('latin1');
    if (this.#writes.size < MAX_WAITING_WRITES || this.#writes.has(client)) this.#writes.set(client, record);
    else this.figures.writesDropped++;
  }

  #readNext(): void {
    while (this.#lookups.length > 0 && this.#reads < MAX_READS_AT_ONCE) void this.#read(this.#lookups.splice(0, BATCH));
  }

  async #read(lookups: readonly Lookup[]): Promise<void> {
    this.#reads++;
    const keys = lookups.map(({ record }) => this.#options.seal.keys(clientOf(record)));
    try {
      const values = await this.#options.store.read(keys.flat());
      let at = 0;
      const found = lookups.filter(({ record }, i) => {
        const candidates = values.slice(at, (at += keys[i].length));
        return this.#fill(record, candidates);
      });
      this.figures.hits += found.length;
      this.figures.misses += lookups.length - found.length;
      if (!this.#closed) this.#answer(found);
    } catch {
      this.figures.lookupErrors += lookups.length;
    }
    this.#reads--;
    this.#readNext();
    this.#count();
  }

  /** Completes the record with the transceiver of the first value that is ours. */
  #fill(record: Uint8Array, values: readonly (string | null)[]): boolean {
    for (const value of values) {
      if (value === null) continue;
      const target = this.#options.seal.open(clientOf(record), value);
      if (target !== null) {
        record.set(target, FLOW_TARGET_OFFSET);
        return true;
      }
      this.figures.forged++;
    }
    return false;
  }

  #answer(found: readonly Lookup[]): void {
    for (const worker of new Set(found.map((lookup) => lookup.worker))) {
      const own = found.filter((lookup) => lookup.worker === worker);
      this.#options.answer(worker, Buffer.concat(own.map(({ record }) => record)));
    }
  }

  #writeSoon(delayMs: number): void {
    if (this.#writing || this.#writeTimer !== null || this.#closed) return;
    this.#writeTimer = setTimeout(() => {
      this.#writeTimer = null;
      void this.#write();
    }, delayMs).unref();
  }

  /** Writes one batch, which stays waiting until it is known to be written. */
  async #write(): Promise<void> {
    this.#writing = true;
    const { store, seal, ttlMs } = this.#options;
    const batch = [...firstOf(this.#writes, BATCH)];
    let delay = 0;
    try {
      const entries = batch.map(([, record]) => ({
        key: seal.key(clientOf(record)),
        value: seal.seal(clientOf(record), record.subarray(FLOW_TARGET_OFFSET)),
      }));
      await store.write(entries, ttlMs);
      for (const [client, record] of batch) if (this.#writes.get(client) === record) this.#writes.delete(client);
      this.figures.written += batch.length;
      this.figures.writeBatches++;
    } catch {
      this.figures.writeErrors++;
      delay = RETRY_MS;
    }
    this.#writing = false;
    this.#count();
    if (this.#writes.size > 0) this.#writeSoon(delay);
  }

  #count(): void {
    this.figures.queued = this.#lookups.length + this.#writes.size;
  }
}

function clientOf(record: Uint8Array): Uint8Array {
  return record.subarray(0, FLOW_CLIENT_BYTES);
}

function* firstOf<K, V>(map: ReadonlyMap<K, V>, count: number): Iterable<[K, V]> {
  let left = count;
  for (const entry of map) {
    if (left-- === 0) return;
    yield entry;
  }
}
