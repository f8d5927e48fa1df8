/**
 * The one shape of every state machine in `webrtc`: input and time go in through `handle…(…, now)` methods, output
 * comes out of `poll()`, which the caller drains until it returns a {@link Timeout}. Nothing here does I/O, reads a
 * clock or starts a timer.
 *
 *   machine.handleDatagram(bytes, now);        // or handleTimeout(now), send(…, now), close(now)
 *   for (let out = machine.poll(); out.type !== 'timeout'; out = machine.poll()) act(out);
 *   wake up at out.at
 *
 * Ownership. Input bytes belong to the caller and may be overwritten once the method returns: copy what is kept.
 * An output object and its bytes are valid until the next call of any method of that machine: act on it or copy it.
 *
 * Faults. A transient fault (malformed, replayed or unauthentic input) is counted under a literal reason and dropped
 * inside. A fatal one surfaces as an output that ends the machine. Methods never throw on network input.
 *
 * Time. `now` is milliseconds on any monotonic clock, fractions allowed. It never runs backwards. A private field for times,
 * or for what exceeds 31 bits, begins as `Number.NaN` or an infinity: V8 then keeps a float in place. One that begins
 * as undefined or as an integer gets a new object with each store, 16 bytes of garbage and up to 80 ns.
 */
export interface Timeout {
  readonly type: 'timeout';
  /** When `handleTimeout` wants to be called next, in the clock of `now`; Infinity when nothing is pending. */
  readonly at: number;
}

/** Fills `bytes` with random values. Cryptographic in production, seeded in tests. */
export type RandomSource = (bytes: Uint8Array) => void;
