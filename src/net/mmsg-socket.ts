import type { TransportAddress } from '../wire/address.ts';
import { AddressBook } from './address-book.ts';
import { type Libc, type Watch, requireLibc } from './libc.ts';
import { ReceiveVector, SendVector } from './message-vector.ts';
import { NetError } from './net-error.ts';
import type { UdpSocketOptions } from './open-udp-socket.ts';
import { type RawSocket, openRawSocket } from './raw-socket.ts';
import { createUdpSocketCounters, MAX_DATAGRAM_BYTES, type UdpSocket, type UdpSocketHandler } from './udp-socket.ts';

const BATCH = 64;
/** Batches per wake-up at most, so that a flood leaves the event loop its turn. */
const MAX_BATCHES = 8;

/** A UDP socket that libuv only watches: datagrams come and go by recvmmsg and sendmmsg. */
export async function openMmsgSocket(options: Required<Omit<UdpSocketOptions, 'engine'>>): Promise<UdpSocket> {
  const libc = requireLibc();
  if (libc.watch === null) {
    throw new NetError('ENOSYS', 'The mmsg engine cannot run here: this koffi cannot watch sockets. Use --engine dgram');
  }
  const socket = openRawSocket(libc, { ...options, reusePort: false });
  return new MmsgSocket(libc, libc.watch, socket, options.handler);
}

class MmsgSocket implements UdpSocket {
  readonly address: TransportAddress;
  readonly counters = createUdpSocketCounters();
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #handler: UdpSocketHandler;
  readonly #in: ReceiveVector;
  readonly #out: SendVector;
  readonly #senders = new AddressBook();
  readonly #watch: Watch;
  #closed = false;

  constructor(libc: Libc, watch: NonNullable<Libc['watch']>, socket: RawSocket, handler: UdpSocketHandler) {
    this.address = socket.address;
    this.#libc = libc;
    this.#fd = socket.fd;
    this.#handler = handler;
    this.#in = new ReceiveVector(libc, BATCH);
    this.#out = new SendVector(libc, BATCH, socket.address.family);
    this.#watch = watch(socket.fd, () => this.#drain());
  }

  send(data: Uint8Array, to: TransportAddress): void {
    const out = this.#out;
    if (this.#closed) return;
    if (data.length > MAX_DATAGRAM_BYTES || to.port === 0 || to.family > this.address.family) {
      this.counters.sendErrors++;
      return;
    }
    out.memory.set(data, out.slotAt(out.used));
    out.push(data.length, to.family, to.ip, 0, to.port);
    if (out.full) this.flush();
  }

  flush(): void {
    if (this.#closed || this.#out.used === 0) return;
    this.#out.send(this.#fd);
    this.counters.sent = this.#out.sent;
    this.counters.sentBytes = this.#out.sentBytes;
    this.counters.sendErrors += this.#out.takeErrors();
    this.counters.sendCalls = this.#out.calls;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    this.#watch.close();
    this.#libc.close(this.#fd);
  }

  #drain(): void {
    for (let round = 0; round < MAX_BATCHES && !this.#closed; round++) {
      const count = this.#in.receive(this.#fd);
      this.counters.receiveCalls++;
      for (let i = 0; i < count && !this.#closed; i++) this.#deliver(i);
      if (count < BATCH) break;
    }
    if (!this.#closed) this.#handler.batchEnd();
  }

  #deliver(i: number): void {
    const vector = this.#in;
    vector.read(i);
    if (vector.truncated) {
      this.counters.oversize++;
      return;
    }
    this.counters.received++;
    this.counters.receivedBytes += vector.length;
    const { family, ipOffset, port } = vector.from;
    const start = vector.slotAt(i);
    this.#handler.datagram(
      vector.memory.subarray(start, start + vector.length),
      this.#senders.intern(vector.memory, ipOffset, family, port),
    );
  }
}
