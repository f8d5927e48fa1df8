import { AddressTable } from './address-table.ts';

/** A jump of the sequence by more than this is a peer that has restarted, not loss. */
const RESTART_GAP = 1000;

/** Counts the trunk datagrams that never came, by the gaps in each peer's sequence. Nothing is allocated per datagram. */
export class TrunkLossMeter {
  readonly #peers: AddressTable;
  readonly #next: Uint32Array;

  constructor(maxPeers = 4096) {
    this.#peers = new AddressTable({ capacity: maxPeers });
    this.#next = new Uint32Array(maxPeers);
  }

  /**
   * Takes the sequence number of a datagram from the IPv4 peer at `ipOffset`. Returns the change of the number of
   * lost ones: the size of a gap, -1 when one turns up late, else 0.
   */
  record(ip: Uint8Array, ipOffset: number, port: number, sequence: number, now: number): number {
    const peer = this.#peers.obtain(ip, ipOffset, 4, port, now);
    const ahead = this.#peers.inserted ? 0 : (sequence - this.#next[peer]) | 0;
    if (ahead < 0 && ahead >= -RESTART_GAP) return -1;
    this.#next[peer] = sequence + 1;
    return ahead > 0 && ahead <= RESTART_GAP ? ahead : 0;
  }
}
