import type { DtlsDropReason } from './counters.ts';
import { maxPlaintextLength } from './record.ts';
import type { RecordHeader } from './record.ts';
import { plaintextProtection } from './record-protection.ts';
import type { ReadProtection, WriteProtection } from './record-protection.ts';
import { ReplayWindow } from './replay-window.ts';

interface ReadEpoch {
  readonly protection: ReadProtection;
  readonly window: ReplayWindow;
}

interface WriteEpoch {
  readonly protection: WriteProtection;
  /** Next sequence number. At 48 bits and a million records a second it lasts for eight years. */
  sequence: number;
}

/**
 * The record layer (RFC 6347, section 4.1): epochs, each with its protection, its sequence numbers and its replay
 * window. Knows nothing of what records carry, nor of which version chose the protection of an epoch.
 */
export class RecordLayer {
  readonly #read: ReadEpoch[] = [{ protection: plaintextProtection, window: new ReplayWindow() }];
  readonly #write: WriteEpoch[] = [{ protection: plaintextProtection, sequence: 0 }];

  /** The epoch that is to be written by what has no epoch of its own, such as alerts. */
  get writeEpoch(): number {
    return this.#write.length - 1;
  }

  get readEpoch(): number {
    return this.#read.length - 1;
  }

  /** Opens the next epoch for reading. */
  addReadEpoch(protection: ReadProtection): void {
    this.#read.push({ protection, window: new ReplayWindow() });
  }

  /** Opens the next epoch for writing. */
  addWriteEpoch(protection: WriteProtection): void {
    this.#write.push({ protection, sequence: 0 });
  }

  /** Bytes that a record of this epoch is longer than its fragment. */
  overhead(epoch: number): number {
    return this.#write[epoch].protection.overhead;
  }

  /** Writes one record; `out` has room for the fragment and the overhead. Returns the offset behind it. */
  seal(type: number, epoch: number, fragment: Uint8Array, out: Uint8Array, at: number): number {
    const write = this.#write[epoch];
    return write.protection.seal(type, epoch, write.sequence++, fragment, out, at);
  }

  /**
   * The fragment of a record, or why it is dropped. `unknown-epoch` also says that its keys may still come.
   *
   * Epoch 0 authenticates nothing, so anybody could move its window: there only an exact repetition is dropped, and a
   * record that is older than the window passes. Its handshake message is recognised as old by its own number.
   */
  open(header: RecordHeader, datagram: Uint8Array): Uint8Array | DtlsDropReason {
    if (header.epoch >= this.#read.length) return 'unknown-epoch';
    const { protection, window } = this.#read[header.epoch];
    const verdict = window.check(header.sequence);
    if (verdict === 'replayed' || (verdict === 'too-old' && header.epoch > 0)) return verdict;
    const fragment = protection.open(header, datagram);
    if (fragment === null) return 'unauthentic';
    window.accept(header.sequence);
    return fragment.length > maxPlaintextLength ? 'oversized-record' : fragment;
  }
}
