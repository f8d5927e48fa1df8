import { ssnDistance, ssnNext, tsnAdd, tsnDistance } from './serial.ts';

/**
 * Puts DATA chunks together to messages and ordered messages into order (RFC 9260, sections 6.5, 6.6 and 6.9).
 *
 *   chunk ─► run of neighbouring fragments ─► whole message ─► unordered: delivered
 *                                                          └► ordered: held until its stream sequence number is next
 *
 * Every step takes constant time however the peer cuts its messages: fragments are linked, not searched.
 */

export interface DataHeader {
  readonly tsn: number;
  readonly streamId: number;
  readonly ssn: number;
  readonly ppid: number;
  readonly unordered: boolean;
  readonly begins: boolean;
  readonly ends: boolean;
}

/** Takes a message whose data is its own memory. */
export type Deliver = (streamId: number, ppid: number, data: Uint8Array) => void;

interface Fragment {
  readonly data: Uint8Array;
  next: Fragment | null;
}

/** Fragments of one message with consecutive TSNs. */
interface Run {
  readonly header: DataHeader;
  first: number;
  last: number;
  begins: boolean;
  ends: boolean;
  bytes: number;
  fragments: number;
  head: Fragment;
  tail: Fragment;
}

interface Message {
  readonly ppid: number;
  readonly data: Uint8Array;
}

interface InboundStream {
  nextSsn: number;
  /** Whole ordered messages that came before their turn, by stream sequence number. */
  readonly held: Map<number, Message>;
}

/** What keeping a chunk costs beside its data, bytes, so that tiny chunks cannot fill the memory unseen. */
const OVERHEAD_BYTES = 64;

export class Reassembly {
  readonly #deliver: Deliver;
  readonly #maxMessageSize: number;
  readonly #byFirst = new Map<number, Run>();
  readonly #byLast = new Map<number, Run>();
  readonly #streams = new Map<number, InboundStream>();
  #heldBytes = 0;

  constructor(maxMessageSize: number, deliver: Deliver) {
    this.#maxMessageSize = maxMessageSize;
    this.#deliver = deliver;
  }

  /** Memory held by what cannot be delivered yet, bytes. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** What keeping a chunk with `length` bytes of data would add to `heldBytes`. */
  static cost(length: number): number {
    return length + OVERHEAD_BYTES;
  }

  /** Takes a chunk that has not been seen before; `data` is copied. False when its message is larger than allowed. */
  add(header: DataHeader, data: Uint8Array): boolean {
    if (data.length > this.#maxMessageSize) return false;
    if (header.begins && header.ends) {
      this.#complete(header, data.slice());
      return true;
    }
    const run = this.#join(header, data);
    if (run.bytes > this.#maxMessageSize) return false;
    if (run.begins && run.ends) {
      this.#remove(run);
      this.#complete(run.header, assemble(run));
    }
    return true;
  }

  /** The peer gave up what is missing up to `newCumulativeTsn` (RFC 3758, section 3.6). */
  forwardTsn(newCumulativeTsn: number): void {
    for (const run of this.#byFirst.values()) {
      if (tsnDistance(run.first, newCumulativeTsn) >= 0) this.#remove(run);
    }
  }

  /** On an ordered stream, everything up to `ssn` has been given up unless it is here. */
  forwardStream(streamId: number, ssn: number): void {
    const stream = this.#stream(streamId);
    if (ssnDistance(stream.nextSsn, ssn) < 0) return;
    const passed = [...stream.held.keys()].filter((held) => ssnDistance(held, ssn) >= 0);
    passed.sort((a, b) => ssnDistance(b, a));
    for (const held of passed) this.#release(streamId, stream, held);
    stream.nextSsn = ssnNext(ssn);
    this.#releaseInOrder(streamId, stream);
  }

  /** The peer starts the stream anew (RFC 6525, section 5.2.2). */
  resetStream(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    for (const message of stream.held.values()) this.#heldBytes -= Reassembly.cost(message.data.length);
    this.#streams.delete(streamId);
  }

  /** The streams on which something ordered has arrived since their last reset. */
  get streamIds(): number[] {
    return [...this.#streams.keys()];
  }

  #join(header: DataHeader, data: Uint8Array): Run {
    const { tsn } = header;
    const fragment: Fragment = { data: data.slice(), next: null };
    this.#heldBytes += Reassembly.cost(data.length);
    const before = header.begins ? undefined : this.#byLast.get(tsnAdd(tsn, -1));
    const after = header.ends ? undefined : this.#byFirst.get(tsnAdd(tsn, 1));
    let run: Run;
    if (before !== undefined && !before.ends && isSameMessage(before.header, header)) {
      run = before;
      this.#byLast.delete(run.last);
      run.tail.next = fragment;
      run.tail = fragment;
      run.last = tsn;
      run.ends = header.ends;
      run.bytes += data.length;
      run.fragments += 1;
    } else {
      run = {
        header, first: tsn, last: tsn, begins: header.begins, ends: header.ends,
        bytes: data.length, fragments: 1, head: fragment, tail: fragment,
      };
      this.#byFirst.set(tsn, run);
    }
    if (after !== undefined && !after.begins && isSameMessage(after.header, header)) {
      this.#byFirst.delete(after.first);
      run.tail.next = after.head;
      run.tail = after.tail;
      run.last = after.last;
      run.ends = after.ends;
      run.bytes += after.bytes;
      run.fragments += after.fragments;
    }
    this.#byLast.set(run.last, run);
    return run;
  }

  #remove(run: Run): void {
    this.#byFirst.delete(run.first);
    this.#byLast.delete(run.last);
    this.#heldBytes -= run.bytes + run.fragments * OVERHEAD_BYTES;
  }

  #complete(header: DataHeader, data: Uint8Array): void {
    if (header.unordered) {
      this.#deliver(header.streamId, header.ppid, data);
      return;
    }
    const stream = this.#stream(header.streamId);
    const ahead = ssnDistance(stream.nextSsn, header.ssn);
    if (ahead === 0) {
      stream.nextSsn = ssnNext(header.ssn);
      this.#deliver(header.streamId, header.ppid, data);
      this.#releaseInOrder(header.streamId, stream);
    } else if (ahead > 0 && !stream.held.has(header.ssn)) {
      stream.held.set(header.ssn, { ppid: header.ppid, data });
      this.#heldBytes += Reassembly.cost(data.length);
    }
  }

  #releaseInOrder(streamId: number, stream: InboundStream): void {
    while (this.#release(streamId, stream, stream.nextSsn)) stream.nextSsn = ssnNext(stream.nextSsn);
  }

  #release(streamId: number, stream: InboundStream, ssn: number): boolean {
    const message = stream.held.get(ssn);
    if (message === undefined) return false;
    stream.held.delete(ssn);
    this.#heldBytes -= Reassembly.cost(message.data.length);
    this.#deliver(streamId, message.ppid, message.data);
    return true;
  }

  #stream(id: number): InboundStream {
    let stream = this.#streams.get(id);
    if (stream === undefined) {
      stream = { nextSsn: 0, held: new Map() };
      this.#streams.set(id, stream);
    }
    return stream;
  }
}

function isSameMessage(a: DataHeader, b: DataHeader): boolean {
  return a.streamId === b.streamId && a.unordered === b.unordered && (a.unordered || a.ssn === b.ssn);
}

function assemble(run: Run): Uint8Array {
  const data = new Uint8Array(run.bytes);
  let at = 0;
  for (let fragment: Fragment | null = run.head; fragment !== null; fragment = fragment.next) {
    data.set(fragment.data, at);
    at += fragment.data.length;
  }
  return data;
}
