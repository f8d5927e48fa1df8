/** Writes the presentation language of TLS (RFC 5246, section 4); the counterpart of `ByteReader`. Chainable. */
export class ByteWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  uint8(value: number): this {
    return this.#integer(value, 1);
  }

  uint16(value: number): this {
    return this.#integer(value, 2);
  }

  uint24(value: number): this {
    return this.#integer(value, 3);
  }

  bytes(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** opaque<0..2^8-1>. */
  vector8(bytes: Uint8Array): this {
    return this.uint8(bytes.length).bytes(bytes);
  }

  /** opaque<0..2^16-1>. */
  vector16(bytes: Uint8Array): this {
    return this.uint16(bytes.length).bytes(bytes);
  }

  /** opaque<0..2^24-1>. */
  vector24(bytes: Uint8Array): this {
    return this.uint24(bytes.length).bytes(bytes);
  }

  /** uint16<0..2^16-2>. */
  uint16List(values: readonly number[]): this {
    this.uint16(values.length * 2);
    for (const value of values) this.uint16(value);
    return this;
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #integer(value: number, size: number): this {
    this.#reserve(size);
    for (let shift = size - 1; shift >= 0; shift--) this.#bytes[this.#length++] = (value >>> (8 * shift)) & 0xff;
    return this;
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + size));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
