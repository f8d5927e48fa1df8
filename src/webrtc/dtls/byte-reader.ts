/**
 * Reads the presentation language of TLS (RFC 5246, section 4): big-endian integers and vectors with a length prefix.
 * Reading past the end returns zeros and empty views and is remembered, so that a decoder checks once, at its end,
 * with {@link ByteReader.complete}. Views share memory with the input; nothing is copied.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #overrun = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Bytes that are left. */
  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  /** True when nothing was missing so far. */
  get intact(): boolean {
    return !this.#overrun;
  }

  /** True when nothing was missing and nothing is left: the input had exactly the shape that was read. */
  get complete(): boolean {
    return !this.#overrun && this.#at === this.#bytes.length;
  }

  uint8(): number {
    return this.#integer(1);
  }

  uint16(): number {
    return this.#integer(2);
  }

  uint24(): number {
    return this.#integer(3);
  }

  /** The next `length` bytes. */
  bytes(length: number): Uint8Array {
    if (length > this.remaining) {
      this.#overrun = true;
      this.#at = this.#bytes.length;
      return this.#bytes.subarray(0, 0);
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** opaque<0..2^8-1>. */
  vector8(): Uint8Array {
    return this.bytes(this.uint8());
  }

  /** opaque<0..2^16-1>. */
  vector16(): Uint8Array {
    return this.bytes(this.uint16());
  }

  /** opaque<0..2^24-1>. */
  vector24(): Uint8Array {
    return this.bytes(this.uint24());
  }

  /** uint16<0..2^16-2>; an odd length counts as an overrun. */
  uint16List(): number[] {
    const reader = new ByteReader(this.vector16());
    const list: number[] = [];
    while (reader.remaining > 0) list.push(reader.uint16());
    if (!reader.complete) this.#overrun = true;
    return list;
  }

  #integer(size: number): number {
    const bytes = this.bytes(size);
    let value = 0;
    for (let i = 0; i < bytes.length; i++) value = value * 256 + bytes[i];
    return value;
  }
}
