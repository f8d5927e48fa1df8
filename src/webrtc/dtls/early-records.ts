const maxRecords = 32;
const maxBytes = 1 << 14;

/**
 * Records that arrived before the keys of their epoch, or application data before the Finished in front of it (RFC
 * 6347, section 4.1 and 4.2.4: reordering), and with DTLS 1.3 all that a client sends before it is known who it is. Bounded, because nobody has authenticated them.
 */
export class EarlyRecords {
  #records: Uint8Array[] = [];
  #bytes = 0;

  /** Keeps a copy; false when there is no room. */
  keep(record: Uint8Array): boolean {
    if (this.#records.length >= maxRecords || this.#bytes + record.length > maxBytes) return false;
    // Not slice(): that of a Buffer shares memory, and a socket hands out Buffers.
    this.#records.push(new Uint8Array(record));
    this.#bytes += record.length;
    return true;
  }

  /** All records in the order of their arrival; none are kept any more. */
  take(): Uint8Array[] {
    const records = this.#records;
    this.#records = [];
    this.#bytes = 0;
    return records;
  }
}
