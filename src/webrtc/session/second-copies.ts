/**
 * While a call comes up, what is not media leaves twice: the same bytes again a moment later. A lost datagram then costs
 * that moment, where a timer that knows its job waits for more than a round trip. To a peer that has the first copy the
 * second is nothing: an answered STUN transaction, a DTLS record that it has seen (RFC 9147, section 4.5.1). It costs some
 * 6 KB a call.
 */
export class SecondCopies {
  readonly #waiting: { readonly data: Uint8Array; readonly at: number }[] = [];
  #left = MAX_COPIES;
  #until = Infinity;

  /** When the next copy is due; Infinity for none. */
  get at(): number {
    return this.#waiting.length === 0 ? Infinity : this.#waiting[0].at;
  }

  /** Whether nothing will leave twice any more. */
  isOver(now: number): boolean {
    return this.#waiting.length === 0 && (now >= this.#until || this.#left === 0);
  }

  /** DTLS is up: what is left are channels that open, and the first events. */
  connected(now: number): void {
    this.#until = now + SET_UP_REST;
  }

  /** Keeps a copy of what leaves now. */
  keep(data: Uint8Array, now: number): void {
    if (now >= this.#until || this.#left === 0) return;
    this.#left--;
    this.#waiting.push({ data: data.slice(), at: now + MOMENT });
  }

  /** The next that is due, in the order in which they left; null when none is. */
  poll(now: number): Uint8Array | null {
    return this.at <= now ? this.#waiting.shift()!.data : null;
  }
}

/** Milliseconds: losses come in bursts, and a set-up at a round trip of 100 ms takes ten times as long. */
const MOMENT = 20;
/** Milliseconds after DTLS: four round trips, where those are long. */
const SET_UP_REST = 1_000;
/** Datagrams of one call, three times what a set-up takes. */
const MAX_COPIES = 48;
