/**
 * Acknowledgements of DTLS 1.3 (RFC 9147, section 7):
 *
 *   struct { uint64 epoch; uint64 sequence_number; } RecordNumber;
 *   struct { RecordNumber record_numbers<0..2^16-1>; } ACK;
 */
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import type { RecordNumber } from './record-layer.ts';

const recordNumberLength = 16;
/** How many records are remembered to be acknowledged: more than the longest flight has, and an ACK stays small. */
const maxRemembered = 64;
/**
 * How long the rest of a flight may follow before what has arrived is acknowledged, in milliseconds; a quarter of the
 * first retransmission time-out (RFC 9147, section 7.1).
 */
const partialFlightDelay = 50;

/** Numbers that this side cannot have used, above 2^53, are left out. */
export function decodeAck(fragment: Uint8Array): RecordNumber[] | null {
  const reader = new ByteReader(fragment);
  const list = new ByteReader(reader.vector16());
  const numbers: RecordNumber[] = [];
  while (list.remaining > 0) {
    const epoch = readUint64(list);
    const sequence = readUint64(list);
    if (Number.isSafeInteger(epoch) && Number.isSafeInteger(sequence)) numbers.push({ epoch, sequence });
  }
  return reader.complete && list.complete ? numbers : null;
}

/** How many records an ACK of `length` bytes names. */
export function ackCapacity(length: number): number {
  return Math.floor((length - 2) / recordNumberLength);
}

export function encodeAck(numbers: readonly RecordNumber[]): Uint8Array {
  const list = new ByteWriter();
  for (const { epoch, sequence } of numbers) {
    for (const value of [epoch, sequence]) list.uint16(0).uint24(Math.floor(value / 2 ** 24)).uint24(value % 2 ** 24);
  }
  return new ByteWriter().vector16(list.finish()).finish();
}

/** The records of the peer's flight that have arrived, and when to say so. */
export class Acknowledgements {
  #numbers: RecordNumber[] = [];
  #deadline = Number.POSITIVE_INFINITY;
  #flightOver = false;

  /** When `take` is due; Infinity when nothing is. */
  get deadline(): number {
    return this.#deadline;
  }

  /** A record whose handshake messages were all taken. `at once`: it is the last of its flight, or repeats one. */
  add({ epoch, sequence }: RecordNumber, due: 'at once' | 'later', now: number): void {
    this.#numbers.push({ epoch, sequence });
    if (this.#numbers.length > maxRemembered) this.#numbers.shift();
    this.#flightOver = due === 'at once';
    this.#deadline = Math.min(this.#deadline, this.#flightOver ? now : now + partialFlightDelay);
  }

  /** What to acknowledge now, in the order of the numbers. Of a flight that goes on it is told again the next time, as this ACK may be lost. */
  take(): readonly RecordNumber[] {
    const numbers = this.#numbers.toSorted((a, b) => a.epoch - b.epoch || a.sequence - b.sequence);
    this.#deadline = Number.POSITIVE_INFINITY;
    if (this.#flightOver) this.#numbers = [];
    return numbers;
  }

  /** A flight of ours has answered the peer's. */
  clear(): void {
    this.#numbers = [];
    this.#deadline = Number.POSITIVE_INFINITY;
  }
}

function readUint64(reader: ByteReader): number {
  return (reader.uint16() * 2 ** 24 + reader.uint24()) * 2 ** 24 + reader.uint24();
}
