import { DtlsCertificate, DtlsEndpoint } from '../../../src/webrtc/dtls/index.ts';
import type { DtlsConnected, DtlsEndpointOptions, DtlsOutput, DtlsVersion } from '../../../src/webrtc/dtls/index.ts';
import { seededBytes, seededRandom } from '../../support/random.ts';

export const serverCertificate = await DtlsCertificate.generate();
export const clientCertificate = await DtlsCertificate.generate();

export type Side = 'client' | 'server';

export interface Path {
  /** Chance that a datagram is lost. */
  readonly loss?: number;
  /** Chance that it arrives twice. */
  readonly duplication?: number;
  /** One-way delay in ms, and how much a datagram may take longer than that: more than 0 reorders. */
  readonly delay?: number;
  readonly jitter?: number;
}

/** What a test does with a datagram on its way; what it returns is delivered instead. */
export type Tap = (data: Uint8Array, from: Side) => readonly Uint8Array[];

interface Packet {
  readonly at: number;
  readonly order: number;
  readonly to: Side;
  readonly data: Uint8Array;
}

/** Every version that two of ours can agree on; what holds for each is tested with each. */
export const versions: readonly DtlsVersion[] = ['1.2', '1.3'];

/** Makes pairs that speak one version. */
export function pairsOf(version: DtlsVersion): (...args: ConstructorParameters<typeof Pair>) => Pair {
  const only = { versions: [version] };
  return (seed, path, client, server) => new Pair(seed, path, { ...only, ...client }, { ...only, ...server });
}

/** Two endpoints, a virtual clock and a path that loses, delays, repeats and reorders as its seed says. */
export class Pair {
  readonly client: DtlsEndpoint;
  readonly server: DtlsEndpoint;
  readonly outputs: Record<Side, DtlsOutput[]> = { client: [], server: [] };
  /** Every datagram that was sent, in order. */
  readonly sent: { readonly from: Side; readonly data: Uint8Array }[] = [];
  /** What `handleDatagram` returned for every datagram that was delivered. */
  readonly accepted: Record<Side, boolean[]> = { client: [], server: [] };
  tap: Tap | null = null;
  now = 0;
  readonly #path: Path;
  readonly #random: () => number;
  #wire: Packet[] = [];
  #order = 0;

  constructor(seed = 1, path: Path = {}, client: Partial<DtlsEndpointOptions> = {}, server: Partial<DtlsEndpointOptions> = {}) {
    this.#path = path;
    this.#random = seededRandom(seed);
    this.server = new DtlsEndpoint({ ...defaults('server', seed), ...server });
    this.client = new DtlsEndpoint({ ...defaults('client', seed), ...client });
  }

  /** Runs until `done`, or until nothing is left to happen, or the virtual time is over. */
  run(done: () => boolean = () => this.connected, until = 40_000): this {
    this.#collect();
    while (!done()) {
      const packet = this.#nextPacket();
      const timers = (['client', 'server'] as const).map((side) => ({ side, at: this.#deadline(side) }));
      const at = Math.min(packet?.at ?? Number.POSITIVE_INFINITY, ...timers.map((timer) => timer.at));
      if (at > until) break;
      this.now = Math.max(this.now, at);
      if (packet && packet.at <= at) {
        this.#wire.splice(this.#wire.indexOf(packet), 1);
        this.deliver(packet.to, packet.data);
      } else {
        for (const timer of timers) if (timer.at <= this.now) this[timer.side].handleTimeout(this.now);
      }
      this.#collect();
    }
    return this;
  }

  /** Runs until nothing is under way; timers do not fire. */
  settle(): this {
    this.#collect();
    for (let packet = this.#nextPacket(); packet; packet = this.#nextPacket()) {
      this.now = Math.max(this.now, packet.at);
      this.#wire.splice(this.#wire.indexOf(packet), 1);
      this.deliver(packet.to, packet.data);
      this.#collect();
    }
    return this;
  }

  deliver(to: Side, data: Uint8Array): boolean {
    // A Buffer, as sockets give them, whose memory is overwritten after the call.
    const memory = Buffer.from(data);
    const accepted = this[to].handleDatagram(memory, this.now);
    memory.fill(0xee);
    this.accepted[to].push(accepted);
    return accepted;
  }

  /** Both connected, and nothing of the handshake is under way or unacknowledged any more. */
  get quiet(): boolean {
    return this.connected && (['client', 'server'] as const).every((side) => this.#deadline(side) === Number.POSITIVE_INFINITY);
  }

  get connected(): boolean {
    return this.client.state === 'connected' && this.server.state === 'connected';
  }

  outcome(side: Side): DtlsConnected {
    return this.find(side, 'connected')!;
  }

  find<T extends DtlsOutput['type']>(side: Side, type: T): Extract<DtlsOutput, { type: T }> | undefined {
    return this.outputs[side].find((output): output is Extract<DtlsOutput, { type: T }> => output.type === type);
  }

  /** Payloads that arrived as application data. */
  received(side: Side): string[] {
    return this.outputs[side].flatMap((output) => (output.type === 'data' ? [Buffer.from(output.data).toString()] : []));
  }

  #collect(): void {
    for (const side of ['client', 'server'] as const) {
      for (let out = this[side].poll(); out.type !== 'timeout'; out = this[side].poll()) {
        if (out.type === 'transmit') this.#send(side, out.data.slice());
        else this.outputs[side].push(out);
      }
    }
  }

  #send(from: Side, data: Uint8Array): void {
    this.sent.push({ from, data });
    const { loss = 0, duplication = 0, delay = 10, jitter = 0 } = this.#path;
    for (const packet of this.tap ? this.tap(data, from) : [data]) {
      if (this.#random() < loss) continue;
      const copies = this.#random() < duplication ? 2 : 1;
      for (let i = 0; i < copies; i++) {
        const at = this.now + delay + this.#random() * jitter;
        this.#wire.push({ at, order: this.#order++, to: from === 'client' ? 'server' : 'client', data: packet });
      }
    }
  }

  #nextPacket(): Packet | undefined {
    return this.#wire.toSorted((a, b) => a.at - b.at || a.order - b.order)[0];
  }

  #deadline(side: Side): number {
    const output = this[side].poll();
    return output.type === 'timeout' ? output.at : this.now;
  }
}

function defaults(role: Side, seed: number): DtlsEndpointOptions {
  const [own, peer] = role === 'server' ? [serverCertificate, clientCertificate] : [clientCertificate, serverCertificate];
  return {
    role,
    certificate: own,
    remoteFingerprints: [peer.fingerprint('sha-256')],
    srtpProfiles: ['AEAD_AES_128_GCM', 'AES128_CM_HMAC_SHA1_80'],
    random: seededBytes(role === 'server' ? seed : seed ^ 0x5555),
    now: 0,
  };
}
