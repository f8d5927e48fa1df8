import type { TransportAddress } from '../../wire/address.ts';
import type { IceFailure, IceOutput, IceState } from './agent.ts';

/**
 * What an agent has to say and its driver has not polled yet, with the state that was last told: a change that is
 * undone before anybody looked is not reported.
 */
export class IceOutbox {
  readonly #datagrams: IceOutput[] = [];
  #state: IceState = 'checking';
  #toldState: IceState = 'checking';
  #reason: IceFailure = 'connect-timeout';
  #selected: TransportAddress | null = null;
  #toldSelected: TransportAddress | null = null;

  get state(): IceState {
    return this.#state;
  }

  get selected(): TransportAddress | null {
    return this.#selected;
  }

  transmit(data: Uint8Array, to: TransportAddress): void {
    this.#datagrams.push({ type: 'transmit', data, to });
  }

  select(address: TransportAddress): void {
    this.#selected = address;
  }

  enter(state: 'checking' | 'connected'): void {
    this.#state = state;
  }

  /** Ends the agent: nothing more is sent. */
  fail(reason: IceFailure): void {
    this.#state = 'failed';
    this.#reason = reason;
    this.#datagrams.length = 0;
  }

  /** The next output; `wakeAt` is given when there is none. */
  poll(wakeAt: number): IceOutput {
    const datagram = this.#datagrams.shift();
    if (datagram) return datagram;
    if (this.#selected && this.#selected !== this.#toldSelected) {
      this.#toldSelected = this.#selected;
      return { type: 'selected', address: this.#selected };
    }
    if (this.#state !== this.#toldState) {
      this.#toldState = this.#state;
      return this.#state === 'failed'
        ? { type: 'state', state: 'failed', reason: this.#reason }
        : { type: 'state', state: this.#state };
    }
    return { type: 'timeout', at: this.#state === 'failed' ? Number.POSITIVE_INFINITY : wakeAt };
  }
}
