import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/**
 * The same path for HTTP: bytes of TCP connections arrive half a round trip after they were sent. Connections are made at
 * once, as if they had been open already: what the first request of a page costs besides, a client that calls again does
 * not pay.
 */
export class DelayedHttp {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #oneWayMs = 0;

  private constructor(port: number) {
    this.#server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1');
      this.#pass(client, upstream);
      this.#pass(upstream, client);
    });
  }

  /** @param origin `http://127.0.0.1:port` */
  static async open(origin: string): Promise<DelayedHttp> {
    const path = new DelayedHttp(Number(new URL(origin).port));
    path.#server.listen(0, '127.0.0.1');
    await once(path.#server, 'listening');
    return path;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** From the next bytes on; while none are under way, which would be overtaken. */
  impose(roundTripMs: number): void {
    this.#oneWayMs = roundTripMs / 2;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #pass(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (bytes) => setTimeout(() => to.write(bytes), this.#oneWayMs));
    from.on('end', () => setTimeout(() => to.end(), this.#oneWayMs));
    from.on('error', () => to.destroy());
    from.on('close', () => this.#sockets.delete(from));
  }
}
