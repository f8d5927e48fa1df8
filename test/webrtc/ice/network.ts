import { parseAddress, sameAddress, type TransportAddress } from '../../../src/wire/address.ts';
import type { IceOutput } from '../../../src/webrtc/ice/agent.ts';
import { seededRandom } from '../../support/random.ts';

export interface IceMachine {
  handleStun(data: Uint8Array, from: TransportAddress, now: number): boolean;
  handleTimeout(now: number): void;
  poll(): IceOutput;
}

export interface Impairments {
  /** Chance that a datagram is lost. */
  loss?: number;
  /** Chance that it arrives twice. */
  duplication?: number;
  /** Milliseconds one way; each datagram takes between the two, so they overtake one another. */
  minDelay?: number;
  maxDelay?: number;
}

interface Datagram {
  readonly at: number;
  readonly data: Uint8Array;
  readonly from: TransportAddress;
  readonly to: TransportAddress;
}

interface Host {
  machine: IceMachine;
  address: TransportAddress;
  readonly events: string[];
  wakeAt: number;
}

/** Two or more ICE agents on a virtual clock, joined by a network that loses, repeats and reorders. */
export class VirtualNetwork {
  now = 0;
  readonly sent: Datagram[] = [];
  impairments: Impairments;
  readonly #random: () => number;
  readonly #hosts: Host[] = [];
  #inFlight: Datagram[] = [];

  constructor(seed: number, impairments: Impairments = {}) {
    this.#random = seededRandom(seed);
    this.impairments = impairments;
  }

  add(machine: IceMachine, address: string): Host {
    const host: Host = { machine, address: parseAddress(address), events: [], wakeAt: 0 };
    this.#hosts.push(host);
    this.#drain(host);
    return host;
  }

  /** Acts on what a machine wants after a method of it was called from outside. */
  drain(): void {
    for (const host of this.#hosts) this.#drain(host);
  }

  send(data: Uint8Array, from: TransportAddress, to: TransportAddress): void {
    const { loss = 0, duplication = 0, minDelay = 10, maxDelay = minDelay } = this.impairments;
    this.sent.push({ at: this.now, data: data.slice(), from, to });
    const copies = this.#random() < loss ? 0 : this.#random() < duplication ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const at = this.now + minDelay + this.#random() * (maxDelay - minDelay);
      this.#inFlight.push({ at, data: data.slice(), from, to });
    }
  }

  /** Lets time pass up to `until` milliseconds. */
  run(until: number): void {
    for (;;) {
      const arrival = this.#inFlight.reduce((min, datagram) => Math.min(min, datagram.at), Infinity);
      const wake = this.#hosts.reduce((min, host) => Math.min(min, host.wakeAt), Infinity);
      const next = Math.min(arrival, wake);
      if (next > until) break;
      this.now = Math.max(this.now, next);
      const due = this.#inFlight.filter((datagram) => datagram.at <= this.now);
      this.#inFlight = this.#inFlight.filter((datagram) => datagram.at > this.now);
      for (const { data, from, to } of due) {
        const host = this.#hosts.find((candidate) => sameAddress(candidate.address, to));
        host?.machine.handleStun(data, from, this.now);
        if (host) this.#drain(host);
      }
      for (const host of this.#hosts) {
        if (host.wakeAt > this.now) continue;
        host.machine.handleTimeout(this.now);
        this.#drain(host);
        if (host.wakeAt <= this.now) throw new Error('a machine asks to be woken in the past');
      }
    }
    this.now = until;
  }

  #drain(host: Host): void {
    for (let out = host.machine.poll(); ; out = host.machine.poll()) {
      if (out.type === 'timeout') {
        host.wakeAt = out.at;
        return;
      }
      if (out.type === 'transmit') this.send(out.data, host.address, out.to);
      else if (out.type === 'selected') host.events.push(`selected ${out.address.ip.join('.')}:${out.address.port}`);
      else host.events.push(out.state === 'failed' ? `failed ${out.reason}` : out.state);
    }
  }
}

