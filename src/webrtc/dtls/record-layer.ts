import type { DtlsDropReason } from './counters.ts';
import { maxPlaintextLength, parseRecordHeader } from './record.ts';
import type { RecordHeader } from './record.ts';
import { plaintextProtection } from './record-protection.ts';
import type { OpenedFragment, ReadProtection, UnifiedReadProtection, WriteProtection } from './record-protection.ts';
import { ReplayWindow } from './replay-window.ts';
import { expandSequence, isUnifiedHeader, parseUnifiedHeader } from './unified-header.ts';
import type { UnifiedHeader } from './unified-header.ts';

interface ReadEpoch<Protection> {
  readonly protection: Protection;
  readonly window: ReplayWindow;
}

interface WriteEpoch {
  readonly protection: WriteProtection;
  /** Next sequence number. At 48 bits and a million records a second it lasts for eight years. */
  sequence: number;
}

/** Names one record of a direction (RFC 9147, section 4). */
export interface RecordNumber {
  readonly epoch: number;
  readonly sequence: number;
}

/** A record whose protection has been taken off. */
export interface OpenedRecord extends RecordNumber, OpenedFragment {}

/** A unified header has two bits of its epoch: this many epochs can be told apart. */
const unifiedEpochs = 4;
/** DTLS 1.3: up to here retransmissions may need the keys. */
const firstDataEpoch13 = 3;

/** The record that begins at `at`, in either form; null when it is in neither. */
export function parseRecord(datagram: Uint8Array, at: number): RecordHeader | UnifiedHeader | null {
  return isUnifiedHeader(datagram[at]) ? parseUnifiedHeader(datagram, at) : parseRecordHeader(datagram, at);
}

/**
 * The record layer (RFC 6347, section 4.1; RFC 9147, section 4): epochs, each with its protection, its sequence numbers
 * and its replay window. Knows nothing of what records carry, nor of which version chose the protection of an epoch.
 */
export class RecordLayer {
  readonly #read = new Map<number, ReadEpoch<ReadProtection>>([[0, { protection: plaintextProtection, window: new ReplayWindow() }]]);
  readonly #readUnified = new Map<number, ReadEpoch<UnifiedReadProtection>>();
  readonly #write = new Map<number, WriteEpoch>([[0, { protection: plaintextProtection, sequence: 0 }]]);
  #readEpoch = 0;
  #writeEpoch = 0;

  /** The epoch that is to be written by what has no epoch of its own, such as alerts. */
  get writeEpoch(): number {
    return this.#writeEpoch;
  }

  get readEpoch(): number {
    return this.#readEpoch;
  }

  /** Opens an epoch with classic headers for reading. */
  addReadEpoch(epoch: number, protection: ReadProtection): void {
    this.#read.set(epoch, { protection, window: new ReplayWindow() });
    this.#readEpoch = epoch;
  }

  /** Opens an epoch with unified headers for reading. The one that looks the same in a header is closed. */
  addUnifiedReadEpoch(epoch: number, protection: UnifiedReadProtection): void {
    this.#readUnified.delete(epoch - unifiedEpochs);
    this.#readUnified.set(epoch, { protection, window: new ReplayWindow() });
    this.#readEpoch = epoch;
  }

  /** Opens an epoch for writing. The one in front of it stays open while handshake messages may have to be repeated. */
  addWriteEpoch(epoch: number, protection: WriteProtection): void {
    if (epoch > firstDataEpoch13) this.#write.delete(epoch - 1);
    this.#write.set(epoch, { protection, sequence: 0 });
    this.#writeEpoch = epoch;
  }

  /** Bytes that a record of this epoch is longer than its fragment. */
  overhead(epoch: number): number {
    return this.#write.get(epoch)!.protection.overhead;
  }

  /** The number of the record that `seal` writes next. */
  nextSequence(epoch: number): number {
    return this.#write.get(epoch)!.sequence;
  }

  /** Writes one record; `out` has room for the fragment and the overhead. Returns the offset behind it. */
  seal(type: number, epoch: number, fragment: Uint8Array, out: Uint8Array, at: number): number {
    const write = this.#write.get(epoch)!;
    return write.protection.seal(type, epoch, write.sequence++, fragment, out, at);
  }

  /** The epoch of a record, null when there are no keys for it. */
  epochOf(header: RecordHeader | UnifiedHeader): number | null {
    if (header.form === 'classic') return this.#read.has(header.epoch) ? header.epoch : null;
    for (const epoch of this.#readUnified.keys()) if (epoch % unifiedEpochs === header.epochBits) return epoch;
    return null;
  }

  /**
   * The fragment of a record, or why it is dropped. `unknown-epoch` also says that its keys may still come.
   *
   * Epoch 0 authenticates nothing, so anybody could move its window: there only an exact repetition is dropped, and a
   * record that is older than the window passes. Its handshake message is recognised as old by its own number.
   */
  open(header: RecordHeader | UnifiedHeader, datagram: Uint8Array): OpenedRecord | DtlsDropReason {
    const epoch = this.epochOf(header);
    if (epoch === null) return 'unknown-epoch';
    return header.form === 'unified'
      ? this.#openUnified(header, epoch, datagram)
      : this.#openClassic(header, datagram);
  }

  #openClassic(header: RecordHeader, datagram: Uint8Array): OpenedRecord | DtlsDropReason {
    const { type, epoch, sequence } = header;
    const { protection, window } = this.#read.get(epoch)!;
    const verdict = window.check(sequence);
    if (verdict === 'replayed' || (verdict === 'too-old' && epoch > 0)) return verdict;
    const fragment = protection.open(header, datagram);
    if (fragment === null) return 'unauthentic';
    window.accept(sequence);
    return fragment.length > maxPlaintextLength ? 'oversized-record' : { type, epoch, sequence, fragment };
  }

  #openUnified(header: UnifiedHeader, epoch: number, datagram: Uint8Array): OpenedRecord | DtlsDropReason {
    const { protection, window } = this.#readUnified.get(epoch)!;
    const bits = protection.sequenceBits(header, datagram);
    if (bits === null) return 'malformed-record';
    const sequence = expandSequence(bits, header.sequenceLength * 8, window.expected);
    const verdict = window.check(sequence);
    if (verdict !== 'fresh') return verdict;
    const opened = protection.open(header, sequence, datagram);
    if (opened === null) return 'unauthentic';
    window.accept(sequence);
    return opened.fragment.length > maxPlaintextLength ? 'oversized-record' : { ...opened, epoch, sequence };
  }
}
