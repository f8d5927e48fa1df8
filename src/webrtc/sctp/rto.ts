import { PROMPT_SLACK, RTO_ALPHA, RTO_BETA, RTO_INITIAL, RTO_MAX, RTO_MIN } from './protocol-parameters.ts';

/** The retransmission time-out (RFC 9260, section 6.3.1), ms. */
export class RetransmissionTimeout {
  #srtt = -1;
  #variation = 0;
  readonly #initial: number;
  #rto: number;
  #backOffs = 0;

  /** `initial`: until the first measurement, ms. `roundTrip`: what something else has measured, if it has. */
  constructor(initial = RTO_INITIAL, roundTrip: number | null = null) {
    this.#initial = initial;
    this.#rto = initial;
    if (roundTrip !== null) this.sample(roundTrip);
  }

  get value(): number {
    return this.#rto;
  }

  /**
   * The same for what the peer answers at once, without the time for which it may delay an acknowledgement: the set-up, and
   * data that asks to be acknowledged at once (RFC 7053).
   */
  get promptValue(): number {
    if (this.#srtt < 0) return this.#rto;
    return Math.min(this.#rto, (1.5 * this.#srtt + PROMPT_SLACK) * 2 ** this.#backOffs);
  }

  /** Smoothed round-trip time, ms; null before the first measurement. */
  get smoothedRoundTrip(): number | null {
    return this.#srtt < 0 ? null : this.#srtt;
  }

  /** Takes one measured round trip; the caller leaves out what was retransmitted (Karn's rule). */
  sample(roundTrip: number): void {
    if (this.#srtt < 0) {
      this.#srtt = roundTrip;
      this.#variation = roundTrip / 2;
    } else {
      this.#variation += RTO_BETA * (Math.abs(this.#srtt - roundTrip) - this.#variation);
      this.#srtt += RTO_ALPHA * (roundTrip - this.#srtt);
    }
    this.endBackOff();
  }

  /** Back to what the measurements say. */
  endBackOff(): void {
    this.#backOffs = 0;
    this.#rto =
      this.#srtt < 0 ? this.#initial : Math.min(RTO_MAX, Math.max(RTO_MIN, this.#srtt + 4 * this.#variation));
  }

  /** Doubles the time-out after an expiry (section 6.3.3, rule E2). */
  backOff(): void {
    this.#backOffs += 1;
    this.#rto = Math.min(RTO_MAX, this.#rto * 2);
  }
}
