/** Addresses and keys that are counted at a time, each; beyond that the ones not seen for longest are forgotten. */
const MAX_COUNTED = 20_000;
const WINDOW_MS = 60_000;

interface Window {
  readonly endsAt: number;
  requests: number;
}

/**
 * Counts requests by whoever sends them, in a window of a minute that begins with the first. Pure: `now` is monotonic, ms.
 * What is counted is bounded, so that nobody can fill the memory by changing his name.
 */
export class RateLimit {
  readonly #max: number;
  /** The one seen longest ago first. */
  readonly #windows = new Map<string, Window>();

  /** @param max requests per minute */
  constructor(max: number) {
    this.#max = max;
  }

  /** Counts a request. Returns the milliseconds until there is room again, 0 when there is. */
  take(who: string, now: number): number {
    const known = this.#windows.get(who);
    const window = known !== undefined && now < known.endsAt ? known : { endsAt: now + WINDOW_MS, requests: 0 };
    this.#windows.delete(who);
    this.#windows.set(who, window);
    if (this.#windows.size > MAX_COUNTED) this.#windows.delete(this.#windows.keys().next().value!);
    return ++window.requests > this.#max ? window.endsAt - now : 0;
  }
}
