import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { seededRandom } from '../../test/support/random.ts';
import { DeliveryQueue } from '../support/delivery-queue.ts';
import { dissect } from './dissection.ts';

/** What the path does to every datagram, both ways alike. */
export interface PathConditions {
  /** Of the path alone, ms: half of it one way, half the other. */
  readonly roundTripMs: number;
  /** Chance that a datagram is lost, 0 to 1. */
  readonly loss: number;
  /** The same seed loses the same datagrams, counted in the order in which they come. */
  readonly seed: number;
}

/** A datagram that went over the path, or was to. */
export interface Crossing {
  readonly from: 'caller' | 'server';
  /** Unix time, ms. */
  readonly sentAt: number;
  /** The same at the other end; null when it was lost, or is under way. */
  readonly arrivedAt: number | null;
  /** {@link dissect} */
  readonly what: string;
}

/**
 * A UDP path with delay and loss between callers and a relay, in user space: callers are told its address as the
 * relay's. Each caller's address gets a socket of its own towards the relay, so that the relay can tell them apart.
 *
 *   caller ──► [ path ] ── half the round trip later, or never ──► relay
 */
export class DelayedPath {
  readonly #front: Socket;
  readonly #relay: { readonly address: string; readonly port: number };
  readonly #callers = new Map<string, Socket>();
  /** Both ways: the delay is the same for all. */
  readonly #inFlight = new DeliveryQueue();
  #crossings: (Omit<Crossing, 'what' | 'arrivedAt'> & { arrivedAt: number | null; readonly data: Buffer })[] = [];
  #conditions: PathConditions = { roundTripMs: 0, loss: 0, seed: 1 };
  #chance: Readonly<Record<Crossing['from'], () => number>> = { caller: () => 1, server: () => 1 };

  private constructor(front: Socket, relay: { address: string; port: number }) {
    this.#front = front;
    this.#relay = relay;
    front.on('message', (data, from) => this.#fromCaller(data, from));
  }

  /** @param relay `127.0.0.1:port` */
  static async open(relay: string): Promise<DelayedPath> {
    const front = createSocket('udp4');
    front.bind(0, '127.0.0.1');
    await once(front, 'listening');
    const [address, port] = relay.split(':');
    return new DelayedPath(front, { address, port: Number(port) });
  }

  /** `127.0.0.1:port`, to be told to callers. */
  get address(): string {
    return `127.0.0.1:${this.#front.address().port}`;
  }

  /** When this path delivered late because the process was busy: milliseconds, one for each datagram. */
  get lateness(): readonly number[] {
    return this.#inFlight.lateness;
  }

  /** What has crossed since the callers were forgotten, in the order in which it was sent. */
  get crossings(): readonly Crossing[] {
    return this.#crossings.map(({ data, ...crossing }) => ({ ...crossing, what: dissect(data) }));
  }

  /** From the next datagram on. What is under way arrives as it was to. */
  impose(conditions: PathConditions): void {
    this.#conditions = conditions;
    const { seed } = conditions;
    this.#chance = { caller: seededRandom(2 * seed), server: seededRandom(2 * seed + 1) };
  }

  /** Forgets the callers, so that what still comes for them goes nowhere. */
  forgetCallers(): void {
    for (const socket of this.#callers.values()) socket.close();
    this.#callers.clear();
    this.#inFlight.clear();
    this.#crossings = [];
  }

  /** Nothing passes any more. */
  close(): void {
    this.forgetCallers();
    this.#front.close();
  }

  #fromCaller(data: Buffer, from: RemoteInfo): void {
    const name = `${from.address}:${from.port}`;
    let socket = this.#callers.get(name);
    if (!socket) {
      socket = createSocket('udp4');
      socket.on('message', (back) => this.#send('server', back, () => this.#front.send(back, from.port, from.address)));
      this.#callers.set(name, socket);
    }
    const { address, port } = this.#relay;
    this.#send('caller', data, () => socket.send(data, port, address));
  }

  #send(from: Crossing['from'], data: Buffer, deliver: () => void): void {
    const { roundTripMs, loss } = this.#conditions;
    const crossing = { from, data, sentAt: unixTime(), arrivedAt: null as number | null };
    this.#crossings.push(crossing);
    if (this.#chance[from]() < loss) return;
    this.#inFlight.push(roundTripMs / 2, () => {
      deliver();
      crossing.arrivedAt = unixTime();
    });
  }
}

function unixTime(): number {
  return performance.timeOrigin + performance.now();
}
