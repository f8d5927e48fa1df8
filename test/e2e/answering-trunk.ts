import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { TRUNK_HEADER_BYTES, TrunkCookies, TrunkReader } from '../../src/wire/trunk.ts';

const LOOPBACK = '127.0.0.1';
/** Of an entry, before the client's address. */
const ENTRY_FIXED_BYTES = 6;

/**
 *   relays ◄──► front │ inner, one per relay ◄──► transceiver
 *
 * Stands before a transceiver, at the address that it advertises. Once told to `hush`, it lets through to a client only
 * what follows a packet of that client: the transceiver answers and says nothing by itself, not even a report. So a relay
 * that has forgotten everything learns no flow on the way back.
 */
export class AnsweringTrunk implements Disposable {
  readonly address: string;
  readonly #front: Socket;
  readonly #cookies: TrunkCookies;
  #transceiverPort = 0;
  readonly #inner = new Map<number, Socket>();
  /** Clients that were heard since it was hushed; null while everything passes. */
  #heard: Set<string> | null = null;

  private constructor(front: Socket, secret: string) {
    this.address = `${LOOPBACK}:${front.address().port}`;
    this.#front = front;
    this.#cookies = new TrunkCookies(secret);
    front.on('message', (data, relay) => this.#fromRelay(data, relay));
  }

  static async open(secret: string): Promise<AnsweringTrunk> {
    const front = createSocket('udp4').bind(0, LOOPBACK);
    await once(front, 'listening');
    return new AnsweringTrunk(front, secret);
  }

  /** Takes its place before the transceiver whose trunk, of one worker, is at this address. */
  standBefore(transceiver: string): void {
    this.#transceiverPort = Number(transceiver.split(':')[1]);
  }

  hush(): void {
    this.#heard = new Set();
  }

  unhush(): void {
    this.#heard = null;
  }

  [Symbol.dispose](): void {
    for (const socket of [this.#front, ...this.#inner.values()]) socket.close();
  }

  #fromRelay(data: Buffer, { port }: RemoteInfo): void {
    this.#entries(data, (client) => this.#heard?.add(client));
    let inner = this.#inner.get(port);
    if (inner === undefined) {
      inner = createSocket('udp4').on('message', (answer) => this.#fromTransceiver(answer, port));
      this.#inner.set(port, inner);
    }
    inner.send(data, this.#transceiverPort, LOOPBACK);
  }

  #fromTransceiver(data: Buffer, relayPort: number): void {
    const passing = [data.subarray(0, TRUNK_HEADER_BYTES)];
    this.#entries(data, (client, entry) => {
      if (this.#heard?.has(client) !== false) passing.push(entry);
    });
    if (passing.length > 1) this.#front.send(Buffer.concat(passing), relayPort, LOOPBACK);
  }

  #entries(data: Buffer, visit: (client: string, entry: Buffer) => void): void {
    const reader = new TrunkReader(this.#cookies);
    if (reader.open(data) !== null) return;
    while (reader.next()) {
      const { ipOffset, viaOffset, port, payloadOffset, payloadLength } = reader;
      visit(`${data.toString('hex', ipOffset, viaOffset)} ${port}`, data.subarray(ipOffset - ENTRY_FIXED_BYTES, payloadOffset + payloadLength));
    }
  }
}
