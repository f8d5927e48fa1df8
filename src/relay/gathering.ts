/**
 * Decides when a worker's loop lets packets gather before it reads them.
 *
 * A round of the loop costs two to six system calls and as many wake-ups, however few packets it finds. Where packets
 * come so fast that a short sleep turns several small rounds into one, sleeping saves more than it costs; where they
 * do not, it would only delay them. So the load of the last {@link WINDOW_MS} decides alone, with hysteresis:
 *
 *          expected datagrams per sleep ≥ SWITCH_ON
 *   at once ────────────────────────────────────► gathering
 *           ◄────────────────────────────────────
 *          expected datagrams per sleep < SWITCH_OFF
 *
 * A sleep lasts as long as the limit, so no packet waits longer than that for others. After a full batch there is none.
 */
const WINDOW_MS = 20;
/** Datagrams per sleep. Below about four, measured, a sleep costs as much CPU as it saves. */
const SWITCH_ON = 6;
const SWITCH_OFF = 4;

/** Longest that packets may gather for unless configured, microseconds. */
export const GATHER_US = 200;

export class Gathering {
  /** Whether rounds are put off at present. */
  active = false;

  readonly #limitMs: number;
  #windowStart = 0;
  #windowDatagrams = 0;

  /** @param limitUs longest time that a packet may wait, microseconds; 0 means never. */
  constructor(limitUs: number) {
    this.#limitMs = limitUs / 1000;
  }

  /** A round has read `datagrams`, having begun to at `now`, milliseconds. */
  hasRead(datagrams: number, now: number): void {
    this.#windowDatagrams += datagrams;
    const elapsed = now - this.#windowStart;
    if (elapsed < WINDOW_MS) return;
    const perSleep = (this.#windowDatagrams / elapsed) * this.#limitMs;
    this.active = perSleep >= (this.active ? SWITCH_OFF : SWITCH_ON);
    this.#windowStart = now;
    this.#windowDatagrams = 0;
  }

  /** Milliseconds to sleep before the next read; 0 for none. */
  get pause(): number {
    return this.active ? this.#limitMs : 0;
  }
}
