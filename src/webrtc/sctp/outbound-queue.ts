import type { SctpSendOptions } from './association-types.ts';
import { Fifo } from './fifo.ts';
import { ssnNext } from './serial.ts';

/**
 * Messages that wait for their first transmission, one queue per stream.
 *
 * Streams take turns message by message: a fragmented message keeps its turn to the end, because without I-DATA its
 * fragments need consecutive TSNs (RFC 9260, section 6.9), and then every other stream with data comes first. So a
 * small event waits for one large message at most, however many are queued.
 */

/** How a message may be lost (RFC 3758, RFC 7496). Both limits infinite: reliable. */
export interface Reliability {
  /** Retransmissions before it is given up. */
  readonly maxRetransmits: number;
  /** When it is given up, in the clock of `now`. */
  readonly expiresAt: number;
}

export interface OutboundMessage extends Reliability {
  readonly streamId: number;
  readonly ppid: number;
  readonly data: Uint8Array;
  readonly ordered: boolean;
  /** Stream sequence number, given with the first fragment; 0 when unordered. */
  ssn: number;
}

/** A piece of a message that fits one packet. */
export interface Fragment {
  readonly message: OutboundMessage;
  /** View of the message's data. */
  readonly data: Uint8Array;
  readonly begins: boolean;
  readonly ends: boolean;
}

interface Stream {
  readonly id: number;
  readonly messages: Fifo<OutboundMessage>;
  nextSsn: number;
  bufferedBytes: number;
  /** In the round of streams that wait for their turn. */
  isWaiting: boolean;
}

/** A large message only fills up the rest of a packet when that is worth a chunk header. */
const MIN_FILL_BYTES = 256;

export class OutboundQueue {
  readonly #streams = new Map<number, Stream>();
  readonly #round = new Fifo<Stream>();
  readonly #pmdcs: number;
  readonly #bufferedLow: (streamId: number) => void;
  readonly #lowThreshold: number;
  /** The stream whose turn it is, and how much of its first message has been sent. */
  #current: Stream | null = null;
  #offset = 0;
  #bufferedBytes = 0;
  #expired = 0;

  /**
   * @param pmdcs largest piece of user data, bytes.
   * @param bufferedLow called when what is buffered on a stream falls to `lowThreshold` bytes or below.
   */
  constructor(pmdcs: number, lowThreshold: number, bufferedLow: (streamId: number) => void) {
    this.#pmdcs = pmdcs;
    this.#lowThreshold = lowThreshold;
    this.#bufferedLow = bufferedLow;
  }

  get isEmpty(): boolean {
    return this.#bufferedBytes === 0;
  }

  /** User data that waits, on all streams, bytes. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Messages given up before any of them was sent. */
  get expired(): number {
    return this.#expired;
  }

  bufferedAmount(streamId: number): number {
    return this.#streams.get(streamId)?.bufferedBytes ?? 0;
  }

  /** Takes over `message`; its data is not empty. */
  enqueue(message: OutboundMessage): void {
    const stream = this.#stream(message.streamId);
    stream.messages.push(message);
    stream.bufferedBytes += message.data.length;
    this.#bufferedBytes += message.data.length;
    if (!stream.isWaiting && stream !== this.#current) this.#wait(stream);
  }

  /** The next piece of at most `room` bytes; null when nothing waits or it should start a new packet. */
  next(room: number, now: number): Fragment | null {
    if (this.#offset === 0) this.#current = this.#nextStream(now);
    const stream = this.#current;
    if (stream === null) return null;
    const message = stream.messages.at(0)!;
    const left = message.data.length - this.#offset;
    const length = Math.min(left, this.#pmdcs, room);
    if (length < left && length < this.#pmdcs && (left <= this.#pmdcs || length < MIN_FILL_BYTES)) {
      return null;
    }
    const begins = this.#offset === 0;
    if (begins && message.ordered) {
      message.ssn = stream.nextSsn;
      stream.nextSsn = ssnNext(stream.nextSsn);
    }
    const data = message.data.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    const ends = length === left;
    if (ends) this.#finishCurrent(stream);
    this.#release(stream, length);
    return { message, data, begins, ends };
  }

  /** Forgets the unsent rest of a message, if it is partly sent. */
  discardRest(message: OutboundMessage): void {
    const stream = this.#current;
    if (stream === null || stream.messages.at(0) !== message || this.#offset === 0) return;
    const left = message.data.length - this.#offset;
    this.#finishCurrent(stream);
    this.#release(stream, left);
  }

  /** After a stream reset its sequence numbers begin at 0 (RFC 6525, section 5.2.2). */
  resetStream(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.nextSsn = 0;
    if (stream.bufferedBytes === 0 && stream !== this.#current) this.#streams.delete(streamId);
  }

  #stream(id: number): Stream {
    let stream = this.#streams.get(id);
    if (stream === undefined) {
      stream = { id, messages: new Fifo(), nextSsn: 0, bufferedBytes: 0, isWaiting: false };
      this.#streams.set(id, stream);
    }
    return stream;
  }

  #wait(stream: Stream): void {
    stream.isWaiting = true;
    this.#round.push(stream);
  }

  /** The stream whose turn it is, its expired messages dropped. It keeps its turn until its message has begun. */
  #nextStream(now: number): Stream | null {
    let stream = this.#current ?? this.#round.shift();
    for (; stream !== undefined; stream = this.#round.shift()) {
      stream.isWaiting = false;
      for (let message = stream.messages.at(0); message !== undefined; message = stream.messages.at(0)) {
        if (now < message.expiresAt) return stream;
        stream.messages.shift();
        this.#expired += 1;
        this.#release(stream, message.data.length);
      }
    }
    return null;
  }

  #finishCurrent(stream: Stream): void {
    stream.messages.shift();
    this.#current = null;
    this.#offset = 0;
    if (stream.messages.length > 0) this.#wait(stream);
  }

  #release(stream: Stream, bytes: number): void {
    const before = stream.bufferedBytes;
    stream.bufferedBytes -= bytes;
    this.#bufferedBytes -= bytes;
    if (before > this.#lowThreshold && stream.bufferedBytes <= this.#lowThreshold) this.#bufferedLow(stream.id);
  }
}

/** @throws as `SctpAssociation.send` says of what is wrong with the message itself. */
export function requireSendable(
  streamId: number,
  data: Uint8Array,
  options: SctpSendOptions,
  limits: { readonly streams: number; readonly maxMessageSize: number },
): void {
  const { streams, maxMessageSize } = limits;
  if (!isStream(streamId, streams)) throw new RangeError(`there is no stream ${streamId}`);
  if (data.length === 0) throw new RangeError('SCTP cannot carry an empty message');
  if (maxMessageSize > 0 && data.length > maxMessageSize) {
    throw new RangeError(`a message of ${data.length} bytes is larger than the ${maxMessageSize} that the peer takes`);
  }
  if (options.maxRetransmits !== undefined && options.maxLifetime !== undefined) {
    throw new TypeError('give either maxRetransmits or maxLifetime');
  }
}

export function isStream(streamId: number, count: number): boolean {
  return Number.isInteger(streamId) && streamId >= 0 && streamId < count;
}
