import { TrunkBundler } from '../../../src/net/trunk-bundler.ts';
import { openUdpSocket } from '../../../src/net/open-udp-socket.ts';
import type { UdpSocket } from '../../../src/net/udp-socket.ts';
import { type TransportAddress, parseAddress } from '../../../src/wire/address.ts';
import { pathProbeNumber, WORKER_REPORT_BYTES, writeWorkerReport } from '../../../src/wire/path-probe.ts';
import { TrunkCookies, TrunkReader } from '../../../src/wire/trunk.ts';

export interface ReceivedEntry {
  readonly relay: TransportAddress;
  readonly client: TransportAddress;
  readonly payload: Buffer;
}

/** Speaks the trunk and nothing else: what came is awaited by `next`, what goes is given to `send`. Probes it answers itself. */
export class FakeTransceiver {
  readonly #socket: UdpSocket;
  readonly #bundler: TrunkBundler;
  readonly #received: ReceivedEntry[] = [];
  #waiting: ((entry: ReceivedEntry) => void)[] = [];

  private constructor(socket: UdpSocket, bundler: TrunkBundler) {
    this.#socket = socket;
    this.#bundler = bundler;
  }

  static async open(secret: string): Promise<FakeTransceiver> {
    const cookies = new TrunkCookies(secret);
    const reader = new TrunkReader(cookies);
    const socket = await openUdpSocket({
      address: parseAddress('127.0.0.1:0'),
      handler: {
        datagram(data, relay) {
          if (reader.open(data) !== null) return;
          while (reader.next()) {
            if (reader.control) {
              fake.#report(relay, pathProbeNumber(data, reader.payloadOffset));
              continue;
            }
            const ip = data.slice(reader.ipOffset, reader.ipOffset + (reader.family === 4 ? 4 : 16));
            const payload = Buffer.from(data.slice(reader.payloadOffset, reader.payloadOffset + reader.payloadLength));
            fake.#take({ relay, client: { family: reader.family, ip, port: reader.port }, payload });
          }
        },
        batchEnd: () => undefined,
      },
    });
    const fake = new FakeTransceiver(socket, new TrunkBundler({ socket, cookies, towardsClients: true }));
    return fake;
  }

  get address(): TransportAddress {
    return this.#socket.address;
  }

  /** The next packet that a relay has forwarded. */
  next(): Promise<ReceivedEntry> {
    const entry = this.#received.shift();
    return entry ? Promise.resolve(entry) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Entries that nobody has asked for. */
  get unread(): number {
    return this.#received.length;
  }

  send(relay: TransportAddress, client: TransportAddress, payload: Uint8Array, verified: boolean): void {
    this.#bundler.queue(relay, client, null, verified, payload);
    this.#bundler.flush();
  }

  /** Returns what it cannot take; `target` is whom it names. */
  handBack({ relay, client, payload }: ReceivedEntry, target: TransportAddress | null): void {
    this.#bundler.handBack(relay, client, null, target, payload);
    this.#bundler.flush();
  }

  close(): Promise<void> {
    return this.#socket.close();
  }

  #report(relay: TransportAddress, number: number): void {
    const report = new Uint8Array(WORKER_REPORT_BYTES);
    writeWorkerReport(report, { accepting: true, cluster: 0, workers: 1, readySince: 0 }, number);
    this.#bundler.tell(relay, report);
    this.#bundler.flush();
  }

  #take(entry: ReceivedEntry): void {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(entry);
    else this.#received.push(entry);
  }
}
