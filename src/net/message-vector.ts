import { EAGAIN, type Libc, MSG_DONTWAIT, MSG_TRUNC, kernelMemory } from './libc.ts';
import { SOCKADDR_MAX, SockaddrView, readSockaddr, writeSockaddr } from './sockaddr.ts';
import { MAX_DATAGRAM_BYTES } from './udp-socket.ts';

/**
 * Vectors of messages for recvmmsg(2) and sendmmsg(2), 64-bit Linux:
 *
 *   struct mmsghdr, 64 bytes:  0 name*, 8 namelen u32, 16 iov*, 24 iovlen u64, 32 control*, 40 controllen u64,
 *                              48 flags u32, 56 msg_len u32
 *   struct iovec, 16 bytes:    0 base*, 8 length u64
 *
 * A vector's memory: headers, iovecs, names, then `count` slots for datagrams, `MAX_DATAGRAM_BYTES` each. Vectors that
 * share one buffer copy from each other with `copyWithin`, which makes no view per packet.
 */
const HEADER_BYTES = 64;
const IOVEC_BYTES = 16;
const NAME_OFFSET = 0;
const NAMELEN_OFFSET = 8;
const IOV_OFFSET = 16;
const IOVLEN_OFFSET = 24;
const FLAGS_OFFSET = 48;
const MSG_LEN_OFFSET = 56;

const MESSAGE_BYTES = HEADER_BYTES + IOVEC_BYTES + SOCKADDR_MAX + MAX_DATAGRAM_BYTES;

/** One buffer for the vectors that are made with it, `messages` in all. */
export class VectorMemory {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  /** The machine address of its first byte. */
  readonly base: number;
  #taken = 0;

  constructor(libc: Libc, messages: number) {
    this.bytes = kernelMemory(messages * MESSAGE_BYTES);
    this.words = new Uint32Array(this.bytes.buffer);
    this.base = libc.addressOf(this.bytes);
  }

  /** Where the next `messages` messages lie. */
  take(messages: number): number {
    const start = this.#taken;
    this.#taken += messages * MESSAGE_BYTES;
    if (this.#taken > this.bytes.length) throw new RangeError('More messages than this memory was made for');
    return start;
  }
}

class MessageVector {
  readonly count: number;
  /** All of the buffer that this vector is part of; `slotAt` tells where in it. */
  readonly memory: Uint8Array;
  protected readonly words: Uint32Array;
  protected readonly base: number;
  /** The vector as the kernel is given it. */
  protected readonly headers: Uint8Array;
  readonly #start: number;
  readonly #iovecs: number;
  readonly #names: number;
  readonly #slots: number;

  constructor(libc: Libc, count: number, shared = new VectorMemory(libc, count)) {
    this.count = count;
    this.#start = shared.take(count);
    this.#iovecs = this.#start + count * HEADER_BYTES;
    this.#names = this.#iovecs + count * IOVEC_BYTES;
    this.#slots = this.#names + count * SOCKADDR_MAX;
    this.memory = shared.bytes;
    this.words = shared.words;
    this.base = shared.base;
    this.headers = this.memory.subarray(this.#start);
    for (let i = 0; i < count; i++) {
      this.writePointer(this.headerAt(i) + NAME_OFFSET, this.base + this.nameAt(i));
      this.writePointer(this.headerAt(i) + IOV_OFFSET, this.base + this.iovecAt(i));
      this.words[(this.headerAt(i) + IOVLEN_OFFSET) >> 2] = 1;
      this.writePointer(this.iovecAt(i), this.base + this.slotAt(i));
    }
  }

  /** Where the datagram of message `i` is in `memory`. */
  slotAt(i: number): number {
    return this.#slots + i * MAX_DATAGRAM_BYTES;
  }

  /** The machine address of an offset in `memory`. */
  addressAt(offset: number): number {
    return this.base + offset;
  }

  protected headerAt(i: number): number {
    return this.#start + i * HEADER_BYTES;
  }

  protected iovecAt(i: number): number {
    return this.#iovecs + i * IOVEC_BYTES;
  }

  protected nameAt(i: number): number {
    return this.#names + i * SOCKADDR_MAX;
  }

  protected writePointer(at: number, address: number): void {
    this.words[at >> 2] = address;
    this.words[(at >> 2) + 1] = address / 0x1_0000_0000;
  }
}

/** Receives up to `count` datagrams with one system call. Fields of the current message are set by `read`. */
export class ReceiveVector extends MessageVector {
  /** Of the message last `read`: */
  length = 0;
  readonly from = new SockaddrView();
  truncated = false;

  readonly #libc: Libc;

  constructor(libc: Libc, count: number, shared?: VectorMemory) {
    super(libc, count, shared);
    this.#libc = libc;
    for (let i = 0; i < count; i++) {
      this.words[(this.headerAt(i) + NAMELEN_OFFSET) >> 2] = SOCKADDR_MAX;
      this.words[(this.iovecAt(i) + 8) >> 2] = MAX_DATAGRAM_BYTES;
    }
  }

  /** How many datagrams were waiting, up to `count`. Never waits; 0 also for an error, of which UDP has only passing ones. */
  receive(fd: number): number {
    const received = this.#libc.recvmmsg(fd, this.headers, this.count, MSG_DONTWAIT, null);
    return received > 0 ? received : 0;
  }

  /**
   * Sets the fields to message `i`. Its header needs no making ready for the next `receive`: the kernel has written the
   * length of its sender's name, and on one socket all names are equally long.
   */
  read(i: number): void {
    const header = this.headerAt(i) >> 2;
    this.length = this.words[header + (MSG_LEN_OFFSET >> 2)];
    this.truncated = (this.words[header + (FLAGS_OFFSET >> 2)] & MSG_TRUNC) !== 0;
    readSockaddr(this.memory, this.nameAt(i), this.from);
  }
}

/** Sends up to `count` datagrams with one system call. */
export class SendVector extends MessageVector {
  /** Messages that are ready: 0 … `used` - 1. */
  used = 0;
  calls = 0;
  sent = 0;
  sentBytes = 0;

  #errors = 0;
  readonly #libc: Libc;
  readonly #family: 4 | 6;

  constructor(libc: Libc, count: number, socketFamily: 4 | 6, shared?: VectorMemory) {
    super(libc, count, shared);
    this.#libc = libc;
    this.#family = socketFamily;
  }

  get full(): boolean {
    return this.used === this.count;
  }

  /** Datagrams dropped since this was last asked. */
  takeErrors(): number {
    const errors = this.#errors;
    this.#errors = 0;
    return errors;
  }

  /** Adds the `length` bytes that the caller has written at `slotAt(used)`. */
  push(length: number, family: 4 | 6, ip: Uint8Array, ipOffset: number, port: number): void {
    this.pushPointer(this.base + this.slotAt(this.used), length, family, ip, ipOffset, port);
  }

  /** Adds bytes that lie elsewhere, at a machine address that stays valid until `send`. */
  pushPointer(address: number, length: number, family: 4 | 6, ip: Uint8Array, ipOffset: number, port: number): void {
    const i = this.used++;
    const iovec = this.iovecAt(i);
    this.writePointer(iovec, address);
    this.words[(iovec + 8) >> 2] = length;
    const nameLength = writeSockaddr(this.memory, this.nameAt(i), this.#family, family, ip, ipOffset, port);
    this.words[(this.headerAt(i) + NAMELEN_OFFSET) >> 2] = nameLength;
  }

  /**
   * Sends all messages and empties the vector. Never waits: with a full socket buffer the rest is dropped, and a
   * message that the kernel refuses is skipped; both count as errors.
   */
  send(fd: number): void {
    const total = this.used;
    this.used = 0;
    for (let done = 0; done < total; ) {
      // A part of the vector is a view of its own: made only after a refusal.
      const vector = done === 0 ? this.headers : this.memory.subarray(this.headerAt(done));
      const sent = this.#libc.sendmmsg(fd, vector, total - done, MSG_DONTWAIT);
      this.calls++;
      if (sent > 0) {
        for (let i = done; i < done + sent; i++) this.sentBytes += this.words[(this.headerAt(i) + MSG_LEN_OFFSET) >> 2];
        this.sent += sent;
        done += sent;
        continue;
      }
      const dropped = this.#libc.errno() === EAGAIN ? total - done : 1;
      this.#errors += dropped;
      done += dropped;
    }
  }
}
