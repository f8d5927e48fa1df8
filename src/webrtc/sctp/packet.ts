import { readUint16, readUint32, writeUint16, writeUint32 } from '../../wire/integers.ts';
import { verifyPacketChecksum, writePacketChecksum } from './crc32c.ts';

/**
 * SCTP packets (RFC 9260, section 3): a common header and chunks, each padded to four bytes.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-------------------------------+-------------------------------+
 *   |       source port             |     destination port          |
 *   +-------------------------------+-------------------------------+
 *   |                       verification tag                        |
 *   +---------------------------------------------------------------+
 *   |            checksum (CRC32c, least significant byte first)    |
 *   +---------------+---------------+-------------------------------+
 *   |  chunk type   |  chunk flags  |  chunk length, header included|
 *   +---------------+---------------+-------------------------------+
 *   |  value, zero-padded to a multiple of four; padding not counted|
 *   +---------------------------------------------------------------+
 */

export const ChunkType = {
  data: 0,
  init: 1,
  initAck: 2,
  sack: 3,
  heartbeat: 4,
  heartbeatAck: 5,
  abort: 6,
  shutdown: 7,
  shutdownAck: 8,
  error: 9,
  cookieEcho: 10,
  cookieAck: 11,
  shutdownComplete: 14,
  reconfig: 130,
  forwardTsn: 192,
} as const;

/** Flag of ABORT and SHUTDOWN COMPLETE: the verification tag is the sender's own, reflected. */
export const FLAG_TAG_REFLECTED = 1;

export const COMMON_HEADER_BYTES = 12;
export const CHUNK_HEADER_BYTES = 4;

/** Why a whole packet was refused. */
export type PacketFault = 'too-short' | 'bad-checksum';

/**
 * A cursor over the chunks of one packet. It is used again for every packet and allocates nothing; `bytes` is the
 * caller's memory.
 */
export class PacketReader {
  bytes: Uint8Array = new Uint8Array(0);
  sourcePort = 0;
  destinationPort = 0;
  tag = 0;
  /** The chunk that `next()` moved to. */
  type = 0;
  flags = 0;
  /** Where its value begins and ends in `bytes`. */
  start = 0;
  end = 0;
  /** A chunk's length was wrong: it and what follows cannot be read. */
  malformed = false;
  #next = 0;

  /** Takes a packet; null when header and checksum are right. */
  open(packet: Uint8Array): PacketFault | null {
    if (packet.length < COMMON_HEADER_BYTES + CHUNK_HEADER_BYTES) return 'too-short';
    if (!verifyPacketChecksum(packet)) return 'bad-checksum';
    this.bytes = packet;
    this.sourcePort = readUint16(packet, 0);
    this.destinationPort = readUint16(packet, 2);
    this.tag = readUint32(packet, 4);
    this.rewind();
    return null;
  }

  /** Goes back before the first chunk. */
  rewind(): void {
    this.malformed = false;
    this.#next = COMMON_HEADER_BYTES;
  }

  /** Moves to the next chunk; false at the end. Padding missing behind the last chunk is tolerated. */
  next(): boolean {
    const at = this.#next;
    const left = this.bytes.length - at;
    if (left <= 0) return false;
    const length = left < CHUNK_HEADER_BYTES ? 0 : readUint16(this.bytes, at + 2);
    if (length < CHUNK_HEADER_BYTES || length > left) {
      this.malformed = true;
      return false;
    }
    this.type = this.bytes[at];
    this.flags = this.bytes[at + 1];
    this.start = at + CHUNK_HEADER_BYTES;
    this.end = at + length;
    this.#next = at + padded(length);
    return true;
  }

  /** True when no chunk follows the present one. */
  get isLast(): boolean {
    return this.#next >= this.bytes.length;
  }
}

/** Builds packets of at most `mtu` bytes in one buffer that is used again for each. */
export class PacketWriter {
  readonly #bytes: Uint8Array;
  readonly #sourcePort: number;
  readonly #destinationPort: number;
  #end = 0;

  constructor(sourcePort: number, destinationPort: number, mtu: number) {
    this.#bytes = new Uint8Array(mtu & ~3);
    this.#sourcePort = sourcePort;
    this.#destinationPort = destinationPort;
  }

  begin(tag: number): void {
    writeUint16(this.#bytes, 0, this.#sourcePort);
    writeUint16(this.#bytes, 2, this.#destinationPort);
    writeUint32(this.#bytes, 4, tag);
    this.#end = COMMON_HEADER_BYTES;
  }

  /** Bytes left for chunks, headers included: a multiple of four. */
  get room(): number {
    return this.#bytes.length - this.#end;
  }

  get isEmpty(): boolean {
    return this.#end === COMMON_HEADER_BYTES;
  }

  /** Appends a whole encoded chunk; the caller has seen that it fits. */
  append(chunk: Uint8Array): void {
    this.#bytes.set(chunk, this.#end);
    this.#pad(this.#end + chunk.length);
  }

  /** Appends header and padding of a chunk and returns its value, for the caller to fill whole. */
  chunk(type: number, flags: number, valueBytes: number): Uint8Array {
    const at = this.#end;
    writeChunkHeader(this.#bytes, at, type, flags, valueBytes);
    this.#pad(at + CHUNK_HEADER_BYTES + valueBytes);
    return this.#bytes.subarray(at + CHUNK_HEADER_BYTES, at + CHUNK_HEADER_BYTES + valueBytes);
  }

  /** The packet with its checksum, valid until the next `begin`. */
  finish(): Uint8Array {
    const packet = this.#bytes.subarray(0, this.#end);
    writePacketChecksum(packet);
    return packet;
  }

  #pad(end: number): void {
    this.#end = padded(end);
    this.#bytes.fill(0, end, this.#end);
  }
}

/** One chunk with its header, unpadded. */
export function encodeChunk(type: number, flags: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const valueBytes = parts.reduce((sum, part) => sum + part.length, 0);
  const chunk = new Uint8Array(CHUNK_HEADER_BYTES + valueBytes);
  writeChunkHeader(chunk, 0, type, flags, valueBytes);
  let at = CHUNK_HEADER_BYTES;
  for (const part of parts) {
    chunk.set(part, at);
    at += part.length;
  }
  return chunk;
}

/** `length` rounded up to a multiple of four. */
export function padded(length: number): number {
  return (length + 3) & ~3;
}

function writeChunkHeader(bytes: Uint8Array, at: number, type: number, flags: number, valueBytes: number): void {
  bytes[at] = type;
  bytes[at + 1] = flags;
  writeUint16(bytes, at + 2, CHUNK_HEADER_BYTES + valueBytes);
}
