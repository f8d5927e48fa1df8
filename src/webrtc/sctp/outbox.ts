import { Fifo } from './fifo.ts';
import { PacketWriter } from './packet.ts';

/**
 * Control chunks on their way out. Some travel alone under a tag of their own (INIT, INIT ACK, ABORT, SHUTDOWN
 * COMPLETE …), the others are bundled under the peer's tag, before any data (RFC 9260, section 6.10).
 */
export class Outbox {
  readonly #writer: PacketWriter;
  readonly #alone = new Fifo<{ tag: number; chunk: Uint8Array }>();
  readonly #bundled = new Fifo<Uint8Array>();
  readonly #capacity: number;

  constructor(sourcePort: number, destinationPort: number, mtu: number) {
    this.#writer = new PacketWriter(sourcePort, destinationPort, mtu);
    this.#writer.begin(0);
    this.#capacity = this.#writer.room;
  }

  /** The largest chunk that fits a packet, bytes. */
  get capacity(): number {
    return this.#capacity;
  }

  get hasBundled(): boolean {
    return this.#bundled.length > 0;
  }

  sendAlone(tag: number, chunk: Uint8Array): void {
    this.#alone.push({ tag, chunk });
  }

  /** A chunk that no packet can hold is dropped: only the echo of an oversized HEARTBEAT can be. */
  bundle(chunk: Uint8Array): void {
    if (chunk.length <= this.#capacity) this.#bundled.push(chunk);
  }

  clearBundled(): void {
    this.#bundled.clear();
  }

  /** The next packet with a chunk that travels alone, or null. */
  nextAlone(): Uint8Array | null {
    const alone = this.#alone.shift();
    if (alone === undefined) return null;
    this.#writer.begin(alone.tag);
    this.#writer.append(alone.chunk);
    return this.#writer.finish();
  }

  /**
   * The next packet under the peer's tag, or null: `first` if given, the bundled chunks, and when all of these are in,
   * what `fill` adds. Valid until the next call.
   */
  nextBundle(peerTag: number, first: Uint8Array | null, fill: (packet: PacketWriter) => void): Uint8Array | null {
    const writer = this.#writer;
    writer.begin(peerTag);
    if (first !== null) writer.append(first);
    let chunk = this.#bundled.at(0);
    for (; chunk !== undefined && chunk.length <= writer.room; chunk = this.#bundled.at(0)) {
      writer.append(chunk);
      this.#bundled.shift();
    }
    if (chunk === undefined) fill(writer);
    return writer.isEmpty ? null : writer.finish();
  }
}
