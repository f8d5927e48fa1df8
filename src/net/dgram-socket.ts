import { type RemoteInfo, type Socket, createSocket } from 'node:dgram';
import { type TransportAddress, formatIp, parseIp } from '../wire/address.ts';
import { AddressBook } from './address-book.ts';
import { bindError } from './net-error.ts';
import type { UdpSocketOptions } from './open-udp-socket.ts';
import { createUdpSocketCounters, MAX_DATAGRAM_BYTES, type UdpSocket, type UdpSocketHandler } from './udp-socket.ts';

const BATCH = 64;
const MAX_REMEMBERED = 65_536;

/** A UDP socket over node:dgram: one system call per datagram, on every platform. */
export async function openDgramSocket(options: Required<Omit<UdpSocketOptions, 'engine'>>): Promise<UdpSocket> {
  const { address } = options;
  const socket = createSocket({
    type: address.family === 4 ? 'udp4' : 'udp6',
    recvBufferSize: options.receiveBuffer,
    sendBufferSize: options.sendBuffer,
    // Hosts are always literal here; Node's own look-up would put each send off to the next tick.
    lookup: (host, _options, done) => done(null, host, address.family),
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => reject(bindError(error.code ?? error.message, address, error)));
    socket.bind({ address: formatIp(address.ip), port: address.port, exclusive: true }, resolve);
  });
  socket.removeAllListeners('error');
  return new DgramSocket(socket, { ...address, port: socket.address().port }, options.handler);
}

class DgramSocket implements UdpSocket {
  readonly address: TransportAddress;
  readonly counters = createUdpSocketCounters();
  readonly #socket: Socket;
  readonly #handler: UdpSocketHandler;
  readonly #senders = new AddressBook();
  /** Text ↔ bytes of addresses seen lately: node:dgram speaks text. */
  readonly #bytesOf = new Map<string, Uint8Array>();
  readonly #textOf = new WeakMap<TransportAddress, string>();
  #queue: { data: Uint8Array; to: TransportAddress }[] = [];
  #batchEnds = false;
  #closing: Promise<void> | null = null;

  constructor(socket: Socket, address: TransportAddress, handler: UdpSocketHandler) {
    this.address = address;
    this.#socket = socket;
    this.#handler = handler;
    socket.on('message', (data, from) => this.#receive(data, from));
    // An unconnected socket reports passing network errors here (ICMP on some systems); sends report theirs themselves.
    socket.on('error', () => undefined);
  }

  send(data: Uint8Array, to: TransportAddress): void {
    if (this.#closing) return;
    if (data.length > MAX_DATAGRAM_BYTES || to.port === 0 || to.family > this.address.family) {
      this.counters.sendErrors++;
      return;
    }
    this.#queue.push({ data: new Uint8Array(data), to });
    if (this.#queue.length >= BATCH) this.flush();
  }

  flush(): void {
    const queue = this.#queue;
    if (queue.length === 0) return;
    this.#queue = [];
    for (const { data, to } of queue) {
      this.counters.sendCalls++;
      this.#socket.send(data, to.port, this.#text(to), (error) => {
        if (error) this.counters.sendErrors++;
        else {
          this.counters.sent++;
          this.counters.sentBytes += data.length;
        }
      });
    }
  }

  close(): Promise<void> {
    if (this.#closing) return this.#closing;
    this.flush();
    this.#closing = new Promise((resolve) => this.#socket.close(() => resolve()));
    return this.#closing;
  }

  #receive(data: Uint8Array, info: RemoteInfo): void {
    if (this.#closing) return;
    this.counters.receiveCalls++;
    if (data.length > MAX_DATAGRAM_BYTES) {
      this.counters.oversize++;
      return;
    }
    const ip = this.#bytes(info.address);
    if (ip === null) return;
    this.counters.received++;
    this.counters.receivedBytes += data.length;
    if (!this.#batchEnds) {
      // libuv hands over what is waiting in one go, then comes to immediates.
      this.#batchEnds = true;
      setImmediate(() => {
        this.#batchEnds = false;
        if (!this.#closing) this.#handler.batchEnd();
      });
    }
    this.#handler.datagram(data, this.#senders.intern(ip, 0, ip.length === 4 ? 4 : 6, info.port));
  }

  #bytes(text: string): Uint8Array | null {
    const known = this.#bytesOf.get(text);
    if (known) return known;
    const ip = parseIp(text.replace(/%.*$/, ''));
    if (ip === null) return null;
    if (this.#bytesOf.size >= MAX_REMEMBERED) this.#bytesOf.clear();
    this.#bytesOf.set(text, ip);
    return ip;
  }

  #text(to: TransportAddress): string {
    let text = this.#textOf.get(to);
    if (text === undefined) {
      text = this.address.family === 6 && to.family === 4 ? `::ffff:${formatIp(to.ip)}` : formatIp(to.ip);
      this.#textOf.set(to, text);
    }
    return text;
  }
}
