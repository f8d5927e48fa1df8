import { once } from 'node:events';
import { EventEmitter } from 'node:events';
import { randomFillSync } from 'node:crypto';
import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import { TrunkBundler } from '../../src/net/trunk-bundler.ts';
import type { UdpSocket, UdpSocketHandler } from '../../src/net/udp-socket.ts';
import { DtlsCertificate, loadSrtpCiphers, Offerer, type OffererOptions, type Session } from '../../src/webrtc/index.ts';
import { formatAddress, parseAddress, type TransportAddress } from '../../src/wire/address.ts';
import { readEndpoint4 } from '../../src/wire/locator.ts';
import { TrunkCookies, TrunkReader } from '../../src/wire/trunk.ts';

export const SECRET = 'a secret for the tests';
const certificate = await DtlsCertificate.generate();
const { ciphers } = loadSrtpCiphers();

/** An offer of Earshot's own client core. */
export function newOffer(options: { audio?: boolean; data?: boolean; channels?: OffererOptions['channels'] } = {}): Offerer {
  const { audio = true, data = true, channels = [] } = options;
  return new Offerer({ certificate, audio, data, channels, ciphers, random: randomFillSync, ntpEpochOffset: performance.timeOrigin });
}

/** The relay's end of a trunk, on a real socket: callers of the test speak through it under addresses of their choice. */
export class TestRelay implements UdpSocketHandler {
  readonly callers = new Map<number, TestCaller>();
  /** Datagrams for clients that came in, by client port, whether there is a caller or not. */
  readonly returned = new Map<number, number>();
  /** What the shard could not take: the client's port, and who has the call. */
  readonly handedBack: { readonly port: number; readonly target: string | null; readonly payload: Uint8Array }[] = [];
  /** Messages of the shard that are of no client. */
  readonly told = new EventEmitter();
  #socket!: UdpSocket;
  #bundler!: TrunkBundler;
  readonly #reader: TrunkReader;

  private constructor(cookies: TrunkCookies) {
    this.#reader = new TrunkReader(cookies);
  }

  static async open(secret = SECRET): Promise<TestRelay> {
    const cookies = new TrunkCookies(secret);
    const relay = new TestRelay(cookies);
    relay.#socket = await openUdpSocket({ address: parseAddress('127.0.0.1:0'), handler: relay });
    relay.#bundler = new TrunkBundler({ socket: relay.#socket, cookies, towardsClients: false });
    return relay;
  }

  send(to: TransportAddress, client: TransportAddress, data: Uint8Array): void {
    this.#bundler.queue(to, client, null, false, data);
    this.#bundler.flush();
  }

  /** A message of no client. */
  tell(to: TransportAddress, message: Uint8Array): void {
    this.#bundler.tell(to, message);
    this.#bundler.flush();
  }

  /** Bytes that are no trunk datagram. */
  sendRaw(to: TransportAddress, data: Uint8Array): void {
    this.#socket.send(data, to);
    this.#socket.flush();
  }

  datagram(data: Uint8Array): void {
    if (this.#reader.open(data) !== null || !this.#reader.towardsClients) throw new Error('no trunk datagram for clients');
    while (this.#reader.next()) {
      const { port, payloadOffset, payloadLength, handedBack, hasTarget, targetOffset, control } = this.#reader;
      const payload = data.slice(payloadOffset, payloadOffset + payloadLength);
      if (control) {
        this.told.emit('message', payload);
        continue;
      }
      if (handedBack) {
        this.handedBack.push({ port, target: hasTarget ? formatAddress(readEndpoint4(data, targetOffset)) : null, payload });
        this.told.emit('handed-back');
        continue;
      }
      this.returned.set(port, (this.returned.get(port) ?? 0) + 1);
      this.callers.get(port)?.receive(payload);
    }
  }

  batchEnd(): void {
    // Callers flush what they answer.
  }

  close(): Promise<void> {
    return this.#socket.close();
  }
}

/** One caller behind a test relay, in real time. `events` emits the type of each session output, `heard` per payload. */
export class TestCaller {
  readonly session: Session;
  readonly events = new EventEmitter();
  readonly address: TransportAddress;
  readonly messages: string[] = [];
  heard = 0;
  closeReason: string | null = null;
  relay: TestRelay;
  readonly #shard: TransportAddress;
  #timer: NodeJS.Timeout | undefined;

  constructor(relay: TestRelay, shard: TransportAddress, port: number, session: Session) {
    this.relay = relay;
    this.#shard = shard;
    this.address = { family: 4, ip: new Uint8Array([203, 0, 113, 5]), port };
    this.session = session;
    relay.callers.set(port, this);
    this.drain();
  }

  async until(event: string): Promise<void> {
    await once(this.events, event, { signal: AbortSignal.timeout(10_000) });
  }

  receive(data: Uint8Array): void {
    this.session.handleDatagram(data, parseAddress('127.0.0.1:3478'), performance.now());
    this.drain();
  }

  sendAudio(payload: Uint8Array, timestamp: number): void {
    this.session.sendAudio(payload, timestamp, false, performance.now());
    this.drain();
  }

  drain(): void {
    clearTimeout(this.#timer);
    for (;;) {
      const output = this.session.poll();
      if (output.type === 'timeout') {
        if (output.at < Infinity) {
          this.#timer = setTimeout(() => {
            this.session.handleTimeout(performance.now());
            this.drain();
          }, Math.max(0, output.at - performance.now()));
        }
        return;
      }
      if (output.type === 'transmit') this.relay.send(this.#shard, this.address, output.data);
      else if (output.type === 'audio') this.heard++;
      else if (output.type === 'message' && typeof output.data === 'string') this.messages.push(output.data);
      else if (output.type === 'closed') this.closeReason = output.reason;
      if (output.type !== 'transmit') this.events.emit(output.type);
    }
  }

  close(): void {
    this.session.close(performance.now());
    this.drain();
    clearTimeout(this.#timer);
    this.session.dispose();
    this.relay.callers.delete(this.address.port);
  }
}
