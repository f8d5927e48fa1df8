import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { formatIp, parseAddress } from '../../src/wire/address.ts';
import { TimedQueue } from '../support/timed-queue.ts';
import type { LinkQuality } from './places.ts';

/** Delays and loses datagrams of one direction. Their order stays, as in the queues of routers. */
class Direction {
  readonly #quality: LinkQuality;
  readonly #random: () => number;
  readonly #queue = new TimedQueue();

  constructor(quality: LinkQuality, random: () => number) {
    this.#quality = quality;
    this.#random = random;
  }

  /** Calls `deliver` when the datagram arrives, if it does. */
  pass(deliver: () => void): void {
    const { roundTripMs, jitterMs, loss } = this.#quality;
    if (this.#random() < loss) return;
    this.#queue.push(roundTripMs / 2 - Math.log(1 - this.#random()) * jitterMs, deliver);
  }
}

/** Everything that runs between two places over UDP: whoever sends to `address` reaches `target`, and is answered. */
export class UdpLink {
  /** Where to send to instead of `target`. */
  readonly address: string;
  /** Nothing passes while it is cut. */
  isCut = false;
  readonly #front: UdpSocket;
  readonly #target: { host: string; port: number };
  /** The sockets that stand for those who send to it, by their address. */
  readonly #backs = new Map<string, Promise<UdpSocket>>();
  readonly #quality: LinkQuality;
  readonly #random: () => number;
  readonly #backIp: string;

  private constructor(front: UdpSocket, address: string, target: string, backIp: string, quality: LinkQuality, random: () => number) {
    this.address = address;
    this.#front = front;
    const { ip, port } = parseAddress(target);
    this.#target = { host: formatIp(ip), port };
    this.#quality = quality;
    this.#random = random;
    this.#backIp = backIp;
    const there = new Map<string, Direction>();
    front.on('message', (data, from) => {
      const client = `${from.address}:${from.port}`;
      let direction = there.get(client);
      if (direction === undefined) there.set(client, (direction = new Direction(quality, random)));
      if (!this.isCut) direction.pass(() => void this.#forward(client, from, data));
    });
  }

  /** @param at its own IPv4 address and port; `backIp`: where the target sees packets come from */
  static async open(at: string, target: string, backIp: string, quality: LinkQuality, random: () => number): Promise<UdpLink> {
    const { ip, port } = parseAddress(at);
    return new UdpLink(await bind(formatIp(ip), port), at, target, backIp, quality, random);
  }

  /** The share of the datagrams that is lost, one way. */
  get loss(): number {
    return this.#quality.loss;
  }

  async close(): Promise<void> {
    this.#front.close();
    for (const back of this.#backs.values()) (await back).close();
  }

  async #forward(client: string, from: { address: string; port: number }, data: Uint8Array): Promise<void> {
    let back = this.#backs.get(client);
    if (back === undefined) this.#backs.set(client, (back = this.#openBack(from)));
    const socket = await back;
    if (!this.isCut) send(socket, data, this.#target.port, this.#target.host);
  }

  async #openBack(client: { address: string; port: number }): Promise<UdpSocket> {
    const back = await bind(this.#backIp, 0);
    const direction = new Direction(this.#quality, this.#random);
    back.on('message', (data) => {
      if (!this.isCut) direction.pass(() => send(this.#front, data, client.port, client.address));
    });
    return back;
  }
}

async function bind(ip: string, port: number): Promise<UdpSocket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
  // A port at which nobody listens, because somebody was killed, is no fault of the link's.
  socket.on('error', () => undefined);
  socket.bind(port, ip);
  await once(socket, 'listening');
  return socket;
}

function send(socket: UdpSocket, data: Uint8Array, port: number, host: string): void {
  try {
    socket.send(data, port, host);
  } catch {
    // It was closed while the datagram was under way.
  }
}

/** `a=candidate` lines of an answer, with each address replaced by what `route` makes of it; without it where null. */
export function rewriteCandidates(answer: string, route: (address: string) => string | null): string {
  return answer
    .split('\r\n')
    .flatMap((line) => {
      const parts = line.split(' ');
      if (!line.startsWith('a=candidate:')) return [line];
      const address = route(`${parts[4]}:${parts[5]}`);
      if (address === null) return [];
      const { ip, port } = parseAddress(address);
      return [parts.with(4, formatIp(ip)).with(5, String(port)).join(' ')];
    })
    .join('\r\n');
}

