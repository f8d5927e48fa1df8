import { type Libc, kernelMemory, MSG_DONTWAIT, requireLibc, type Watch } from '../../src/net/libc.ts';
import { NetError } from '../../src/net/net-error.ts';
import { openRawSocket, type RawSocket } from '../../src/net/raw-socket.ts';
import { AF_INET } from '../../src/net/sockaddr.ts';
import { createUdpSocketCounters, MAX_DATAGRAM_BYTES, type UdpSocket, type UdpSocketHandler } from '../../src/net/udp-socket.ts';
import { parseAddress, type TransportAddress } from '../../src/wire/address.ts';

/**
 * Thousands of hosts on one socket: host i has the address 127.1.0.0 + i, as every address of 127.0.0.0/8 is local on
 * Linux. IP_PKTINFO (ip(7)) says for each datagram which of them it is for, or from. So a server sees as many 5-tuples
 * as there are callers, and the load generator makes one system call for all that is due, whatever server it drives.
 *
 * Per message, besides what `src/net/message-vector.ts` describes, one control message of 32 bytes:
 *
 *   struct cmsghdr:     0 length u64 (28), 8 level i32 (IPPROTO_IP), 12 type i32 (IP_PKTINFO)
 *   struct in_pktinfo: 16 interface i32, 20 the host's address when sending, 24 the host's address when received
 *
 * When asked for, one more comes before it (SO_TIMESTAMPNS, socket(7)): when the kernel took the datagram, which on
 * loopback is when it was sent, however late this process gets to run.
 *
 *   struct cmsghdr:     0 length u64 (32), 8 level i32 (SOL_SOCKET), 12 type i32 (SO_TIMESTAMPNS)
 *   struct timespec:   16 seconds i64, 24 nanoseconds i64
 */
export class LoopbackHosts {
  readonly #libc: Libc;
  readonly #socket: RawSocket;
  readonly #in: Messages;
  readonly #out: Messages;
  readonly #watch: Watch;
  readonly #hosts: (Host | null)[] = [];
  readonly #senders = new Map<number, TransportAddress>();
  /** Hosts with datagrams in the batch that is being handed over. */
  readonly #served = new Set<Host>();
  #queued = 0;
  #corked = false;
  readonly #stamped: boolean;
  /** When the datagram was sent that is being handed over, in ms of this process's `performance.now()`; NaN unless asked for. */
  sentAt = Number.NaN;

  constructor({ timestamps = false } = {}) {
    this.#stamped = timestamps;
    this.#libc = requireLibc();
    if (this.#libc.watch === null) throw new NetError('ENOSYS', 'The load generator cannot run here: this koffi cannot watch sockets');
    const address = parseAddress('0.0.0.0:0');
    this.#socket = openRawSocket(this.#libc, { address, reusePort: false, receiveBuffer: BUFFER, sendBuffer: BUFFER });
    const on = kernelMemory(4);
    on[0] = 1;
    this.#libc.setsockopt(this.#socket.fd, IPPROTO_IP, IP_PKTINFO, on, 4);
    if (timestamps) this.#libc.setsockopt(this.#socket.fd, SOL_SOCKET, SO_TIMESTAMPNS, on, 4);
    this.#in = new Messages(this.#libc, timestamps ? STAMP_BYTES + HOST_BYTES : HOST_BYTES);
    this.#out = new Messages(this.#libc, HOST_BYTES);
    this.#watch = this.#libc.watch(this.#socket.fd, () => this.#receive());
  }

  /** One more host. Its socket has no counters. */
  open(handler: UdpSocketHandler): UdpSocket {
    const index = this.#hosts.length;
    const ip = Uint8Array.of(127, 1 + (index >> 16), index >> 8, index);
    const host: Host = {
      handler,
      address: { family: 4, ip, port: this.#socket.address.port },
      counters: createUdpSocketCounters(),
      send: (data, to) => this.#send(ip, data, to),
      flush: () => {
        if (!this.#corked) this.#flush();
      },
      close: async () => {
        this.#flush();
        this.#hosts[index] = null;
      },
    };
    this.#hosts.push(host);
    return host;
  }

  /** What the hosts send during `act` leaves together. */
  together(act: () => void): void {
    this.#corked = true;
    act();
    this.#corked = false;
    this.#flush();
  }

  /** To be called once. */
  close(): void {
    this.#flush();
    this.#watch.close();
    this.#libc.close(this.#socket.fd);
  }

  #send(from: Uint8Array, data: Uint8Array, to: TransportAddress): void {
    this.#out.write(this.#queued++, from, data, to);
    if (this.#queued === BATCH) this.#flush();
  }

  #flush(): void {
    const count = this.#queued;
    this.#queued = 0;
    // What the kernel does not take is lost, as it would be on a real network, and shows as loss.
    if (count > 0) this.#libc.sendmmsg(this.#socket.fd, this.#out.memory, count, MSG_DONTWAIT);
  }

  #receive(): void {
    const messages = this.#in;
    let count = BATCH;
    // A flood leaves the event loop its turn.
    for (let round = 0; round < MAX_BATCHES && count === BATCH; round++) {
      count = this.#libc.recvmmsg(this.#socket.fd, messages.memory, BATCH, MSG_DONTWAIT, null);
      this.together(() => {
        for (let i = 0; i < count; i++) this.#deliver(i);
        for (const host of this.#served) host.handler.batchEnd();
        this.#served.clear();
      });
    }
  }

  #deliver(i: number): void {
    const { memory } = this.#in;
    const control = this.#in.controlAt(i);
    if (this.#stamped) this.sentAt = this.#in.wordAt(control + 16) * 1e3 + this.#in.wordAt(control + 24) / 1e6 - performance.timeOrigin;
    const at = control + (this.#stamped ? STAMP_BYTES : 0) + HOST_RECEIVED;
    const host = this.#hosts[((memory[at + 1] - 1) << 16) | (memory[at + 2] << 8) | memory[at + 3]];
    if (!host) return;
    const start = this.#in.slotAt(i);
    this.#served.add(host);
    host.handler.datagram(memory.subarray(start, start + this.#in.lengthOf(i)), this.#sender(this.#in.nameAt(i)));
  }

  /** Servers are few, and all on 127.0.0.1: the port tells them apart. */
  #sender(at: number): TransportAddress {
    const { memory } = this.#in;
    const port = (memory[at + 2] << 8) | memory[at + 3];
    let sender = this.#senders.get(port);
    if (!sender) this.#senders.set(port, (sender = { family: 4, ip: memory.slice(at + 4, at + 8), port }));
    return sender;
  }
}

interface Host extends UdpSocket {
  readonly handler: UdpSocketHandler;
}

const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const SOL_SOCKET = 1;
const SO_TIMESTAMPNS = 35;
const BUFFER = 4 * 1024 * 1024;
const BATCH = 64;
const MAX_BATCHES = 8;
const HEADER_BYTES = 64;
const IOVEC_BYTES = 16;
const NAME_BYTES = 16;
const STAMP_BYTES = 32;
const HOST_BYTES = 32;
const CONTROL_BYTES = STAMP_BYTES + HOST_BYTES;
const CONTROL_LENGTH = 28;
const HOST_SENDING = 20;
const HOST_RECEIVED = 24;

/** `BATCH` messages with their control messages in one buffer, for recvmmsg(2) or sendmmsg(2). */
class Messages {
  readonly memory = kernelMemory(BATCH * (HEADER_BYTES + IOVEC_BYTES + NAME_BYTES + CONTROL_BYTES + MAX_DATAGRAM_BYTES));
  readonly #words = new Uint32Array(this.memory.buffer);

  /** @param controlBytes how long the control messages of each message are */
  constructor(libc: Libc, controlBytes: number) {
    const base = libc.addressOf(this.memory);
    for (let i = 0; i < BATCH; i++) {
      const header = i * HEADER_BYTES;
      this.#pointer(header, base + this.nameAt(i));
      this.#words[(header + 8) >> 2] = NAME_BYTES;
      this.#pointer(header + 16, base + this.#iovecAt(i));
      this.#words[(header + 24) >> 2] = 1;
      this.#pointer(header + 32, base + this.controlAt(i));
      // The kernel writes the length that it has used, which is all of it.
      this.#words[(header + 40) >> 2] = controlBytes;
      this.#pointer(this.#iovecAt(i), base + this.slotAt(i));
      this.#words[(this.#iovecAt(i) + 8) >> 2] = MAX_DATAGRAM_BYTES;
      this.memory[this.nameAt(i)] = AF_INET;
      this.#words[this.controlAt(i) >> 2] = CONTROL_LENGTH;
      this.#words[(this.controlAt(i) + 8) >> 2] = IPPROTO_IP;
      this.#words[(this.controlAt(i) + 12) >> 2] = IP_PKTINFO;
    }
  }

  nameAt(i: number): number {
    return BATCH * (HEADER_BYTES + IOVEC_BYTES) + i * NAME_BYTES;
  }

  controlAt(i: number): number {
    return BATCH * (HEADER_BYTES + IOVEC_BYTES + NAME_BYTES) + i * CONTROL_BYTES;
  }

  slotAt(i: number): number {
    return BATCH * (HEADER_BYTES + IOVEC_BYTES + NAME_BYTES + CONTROL_BYTES) + i * MAX_DATAGRAM_BYTES;
  }

  /** The low half of a number of 64 bits: enough for seconds until 2106. */
  wordAt(at: number): number {
    return this.#words[at >> 2];
  }

  /** Of the datagram that message `i` has received. */
  lengthOf(i: number): number {
    return this.#words[(i * HEADER_BYTES + 56) >> 2];
  }

  write(i: number, from: Uint8Array, data: Uint8Array, to: TransportAddress): void {
    const { memory } = this;
    const name = this.nameAt(i);
    memory[name + 2] = to.port >> 8;
    memory[name + 3] = to.port;
    const host = this.controlAt(i) + HOST_SENDING;
    for (let byte = 0; byte < 4; byte++) {
      memory[name + 4 + byte] = to.ip[byte];
      memory[host + byte] = from[byte];
    }
    memory.set(data, this.slotAt(i));
    this.#words[(this.#iovecAt(i) + 8) >> 2] = data.length;
  }

  #iovecAt(i: number): number {
    return BATCH * HEADER_BYTES + i * IOVEC_BYTES;
  }

  #pointer(at: number, address: number): void {
    this.#words[at >> 2] = address;
    this.#words[(at >> 2) + 1] = address / 0x1_0000_0000;
  }
}
