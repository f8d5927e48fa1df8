import { MAX_DATAGRAM_BYTES } from '../net/udp-socket.ts';

/**
 * Where the datagram that is being handled lies, always the same memory: the processor's cache holds it, and a view of
 * each length is made once and lives on. A view per datagram would be garbage that every object holding it on its way
 * through the call has the collector look after.
 */
export class DatagramScratch {
  readonly #memory = new Uint8Array(MAX_DATAGRAM_BYTES);
  readonly #views: (Uint8Array | undefined)[] = [];

  /** A copy of `length` bytes, {@link MAX_DATAGRAM_BYTES} at the most, valid until the next call. */
  copy(data: Uint8Array, offset: number, length: number): Uint8Array {
    const memory = this.#memory;
    // Byte by byte: a view for `set` costs more than a hundred of these.
    for (let i = 0; i < length; i++) memory[i] = data[offset + i];
    return (this.#views[length] ??= memory.subarray(0, length));
  }
}
