import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type TransportAddress, formatIp } from '../../../src/wire/address.ts';

/** A client of a relay: a plain socket of Node's own, independent of the code under test. */
export class TestClient {
  readonly #socket: Socket;
  readonly #to: TransportAddress;
  readonly #received: Buffer[] = [];
  #waiting: ((data: Buffer) => void)[] = [];

  private constructor(socket: Socket, to: TransportAddress) {
    this.#socket = socket;
    this.#to = to;
    socket.on('message', (data) => {
      const waiting = this.#waiting.shift();
      if (waiting) waiting(data);
      else this.#received.push(data);
    });
  }

  /** A client on loopback; `to` is where it sends. */
  static async open(to: TransportAddress, port = 0): Promise<TestClient> {
    const socket = createSocket(to.family === 4 ? 'udp4' : 'udp6');
    socket.bind(port, to.family === 4 ? '127.0.0.1' : '::1');
    await once(socket, 'listening');
    return new TestClient(socket, to);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  get unread(): number {
    return this.#received.length;
  }

  send(data: Uint8Array): void {
    this.#socket.send(data, this.#to.port, formatIp(this.#to.ip));
  }

  next(): Promise<Buffer> {
    const data = this.#received.shift();
    return data ? Promise.resolve(data) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  async close(): Promise<void> {
    this.#socket.close();
    await once(this.#socket, 'close');
  }
}
