import { INITIAL_WINDOW_PACKETS, MAX_BURST } from './protocol-parameters.ts';

/**
 * Congestion control of the one path (RFC 9260, section 7.2). All sizes count user data bytes; one packet carries
 * at most PMDCS of them (the path maximum DATA chunk size).
 *
 *             acknowledged,      cwnd > ssthresh
 *   SLOW START ────────────────► CONGESTION AVOIDANCE   (+1 PMDCS per window)
 *   (+1 PMDCS per SACK)               │
 *       ▲       T3 expires            │ 3 missing reports
 *       └──────────────────────── FAST RECOVERY ──► left when the exit TSN is acknowledged
 *     cwnd = 1 PMDCS              cwnd = ssthresh = cwnd / 2
 */
export class CongestionControl {
  readonly #pmdcs: number;
  #window: number;
  #threshold = Infinity;
  #partialBytesAcked = 0;
  #burstLimit = Infinity;

  constructor(pmdcs: number) {
    this.#pmdcs = pmdcs;
    this.#window = INITIAL_WINDOW_PACKETS * pmdcs;
  }

  /** cwnd, bytes. */
  get window(): number {
    return this.#window;
  }

  /** ssthresh, bytes; Infinity before the first loss. */
  get threshold(): number {
    return this.#threshold;
  }

  /** True while more data may be in flight. */
  maySend(outstanding: number): boolean {
    return outstanding < this.#window && outstanding < this.#burstLimit;
  }

  /** Something happened (input, time-out, send): from here on, at most Max.Burst packets leave (section 6.1, rule D). */
  newEvent(outstanding: number): void {
    this.#burstLimit = outstanding + MAX_BURST * this.#pmdcs;
  }

  /** The cumulative TSN moved outside of fast recovery. The window only grows while it is what limits the sender. */
  acknowledged(bytes: number, outstandingBefore: number): void {
    const wasFull = outstandingBefore + this.#pmdcs > this.#window;
    if (this.#window <= this.#threshold) {
      if (wasFull) this.#window += Math.min(bytes, this.#pmdcs);
      return;
    }
    this.#partialBytesAcked += bytes;
    if (this.#partialBytesAcked < this.#window) return;
    if (wasFull) {
      this.#partialBytesAcked -= this.#window;
      this.#window += this.#pmdcs;
    } else {
      this.#partialBytesAcked = this.#window;
    }
  }

  /** Everything in flight has been acknowledged (section 7.2.2). */
  allAcknowledged(): void {
    this.#partialBytesAcked = 0;
  }

  /** Missing reports: fast recovery begins. */
  lost(): void {
    this.#threshold = Math.max(this.#window / 2, 4 * this.#pmdcs);
    this.#window = this.#threshold;
    this.#partialBytesAcked = 0;
  }

  /** The retransmission timer ran out. */
  timedOut(): void {
    this.#threshold = Math.max(this.#window / 2, 4 * this.#pmdcs);
    this.#window = this.#pmdcs;
    this.#partialBytesAcked = 0;
  }
}
