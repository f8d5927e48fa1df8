import { randomFillSync } from 'node:crypto';
import type { UdpSocket, UdpSocketHandler } from '../../src/net/udp-socket.ts';
import { DtlsCertificate, loadSrtpCiphers, Offerer, type OffererOptions, type Session, type SessionOutput } from '../../src/webrtc/index.ts';
import type { TransportAddress } from '../../src/wire/address.ts';

const { ciphers } = loadSrtpCiphers();
let certificate: Promise<DtlsCertificate> | null = null;

/** An offer of Earshot's own client core, under this process's one certificate. */
export async function makeOffer(options: Omit<OffererOptions, 'certificate' | 'ciphers' | 'random' | 'ntpEpochOffset'>): Promise<Offerer> {
  certificate ??= DtlsCertificate.generate();
  return new Offerer({ certificate: await certificate, ciphers, random: randomFillSync, ntpEpochOffset: performance.timeOrigin, ...options });
}

/** Gives a call its socket. */
export type OpenSocket = (handler: UdpSocketHandler) => UdpSocket | Promise<UdpSocket>;

/**
 * Runs the calling end of one session on a socket: feeds it, sends what it has to say, and hands everything else to
 * `act`. Whoever owns it calls `tick` now and then, `drain` after each method of the session, and `close`.
 */
export class CoreEnd implements UdpSocketHandler {
  readonly session: Session;
  readonly #act: (output: Exclude<SessionOutput, { type: 'timeout' | 'transmit' }>) => void;
  #socket: UdpSocket | null = null;
  #deadline = 0;

  constructor(session: Session, act: (output: Exclude<SessionOutput, { type: 'timeout' | 'transmit' }>) => void) {
    this.session = session;
    this.#act = act;
  }

  /** Opens the socket, and sends the first check. */
  async open(openSocket: OpenSocket): Promise<void> {
    this.#socket = await openSocket(this);
    this.drain();
  }

  /** Timers that are due. */
  tick(now: number): void {
    if (now < this.#deadline) return;
    this.session.handleTimeout(now);
    this.drain();
  }

  datagram(data: Uint8Array, from: TransportAddress): void {
    this.session.handleDatagram(data, from, performance.now());
    this.drain();
  }

  batchEnd(): void {
    this.#socket?.flush();
  }

  drain(): void {
    let output = this.session.poll();
    for (; output.type !== 'timeout'; output = this.session.poll()) {
      if (output.type === 'transmit') this.#socket?.send(output.data, output.to);
      else this.#act(output);
    }
    this.#deadline = output.at;
    this.#socket?.flush();
  }

  async close(): Promise<void> {
    this.session.close(performance.now());
    this.drain();
    this.session.dispose();
    await this.#socket?.close();
    this.#socket = null;
  }
}
