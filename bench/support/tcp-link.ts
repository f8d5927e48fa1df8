import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { formatIp, parseAddress } from '../../src/wire/address.ts';
import { TimedQueue } from './timed-queue.ts';

export interface TcpLinkOptions {
  readonly roundTripMs: number;
  /** Round trips of handshakes before the first byte: two for TCP's and that of TLS 1.3, none for a connection that is open already. */
  readonly handshakes: number;
}

/** Everything that runs between two places over TCP. Loss is not played. */
export class TcpLink {
  /** Of what is sent from now on. */
  roundTripMs: number;
  readonly #server: ReturnType<typeof createServer>;
  readonly #sockets = new Set<Socket>();

  private constructor(target: string, { roundTripMs, handshakes }: TcpLinkOptions) {
    this.roundTripMs = roundTripMs;
    const { ip, port } = parseAddress(target);
    this.#server = createServer((near) => {
      const far = connect(port, formatIp(ip));
      const readyAt = performance.now() + handshakes * this.roundTripMs;
      pipe(near, far, () => Math.max(0, readyAt - performance.now()) + this.roundTripMs / 2);
      pipe(far, near, () => this.roundTripMs / 2);
      for (const socket of [near, far]) this.#sockets.add(socket.setNoDelay());
    });
  }

  /** @param at its own address and port, `target`: whom it leads to */
  static async open(at: string, target: string, options: TcpLinkOptions): Promise<TcpLink> {
    const link = new TcpLink(target, options);
    const { ip, port } = parseAddress(at);
    link.#server.listen(port, formatIp(ip));
    await once(link.#server, 'listening');
    return link;
  }

  /** Where to connect to instead of `target`. */
  get address(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  /** Ends all connections, so that the next request has to make a new one. */
  reset(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  close(): void {
    this.reset();
    this.#server.close();
  }
}

function pipe(from: Socket, to: Socket, delayMs: () => number): void {
  const queue = new TimedQueue();
  from.on('data', (data) => queue.push(delayMs(), () => to.writable && to.write(data)));
  from.on('end', () => queue.push(delayMs(), () => to.end()));
  from.on('error', () => to.destroy());
}
