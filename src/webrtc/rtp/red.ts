/**
 * Redundant audio (RFC 2198): older payloads travel with the newest one, so that a lost packet can be made good from
 * the next.
 *
 *   |1|block PT|  timestamp offset, 14 bits  | length, 10 bits |   once for each older block, oldest first
 *   |0|block PT|                                                   the newest block: all that is left
 *   | blocks, in the order of their headers …
 */

/** Blocks in one packet that are read; browsers send up to three, and the length of Opus packets bounds the rest. */
export const MAX_RED_BLOCKS = 9;
/** Longest block that can travel as an older one. */
export const MAX_RED_BLOCK_LENGTH = 0x3ff;
const MAX_TIMESTAMP_OFFSET = 0x3fff;
const REDUNDANT_HEADER_LENGTH = 4;

/** A view of one RED payload, meant to be reused: `read` allocates nothing. The newest block is the last. */
export class RedPayload {
  count = 0;
  readonly payloadTypes = new Uint8Array(MAX_RED_BLOCKS);
  /** How much older than the packet's timestamp a block is, in timestamp units; 0 for the newest. */
  readonly timestampOffsets = new Uint16Array(MAX_RED_BLOCKS);
  /** From the start of the buffer. */
  readonly offsets = new Uint32Array(MAX_RED_BLOCKS);
  readonly lengths = new Uint16Array(MAX_RED_BLOCKS);

  /** Reads buffer[offset, offset + length), an RTP payload. False when it is malformed. */
  read(buffer: Uint8Array, offset: number, length: number): boolean {
    const end = offset + length;
    let at = offset;
    let redundant = 0;
    this.count = 0;
    if (end > buffer.length) return false;
    for (; at < end && buffer[at] >>> 7 === 1; at += REDUNDANT_HEADER_LENGTH) {
      const i = this.count++;
      if (this.count === MAX_RED_BLOCKS || at + REDUNDANT_HEADER_LENGTH >= end) return false;
      this.payloadTypes[i] = buffer[at] & 0x7f;
      this.timestampOffsets[i] = (buffer[at + 1] << 6) | (buffer[at + 2] >>> 2);
      this.lengths[i] = ((buffer[at + 2] & 3) << 8) | buffer[at + 3];
      redundant += this.lengths[i];
    }
    if (at >= end) return false;
    const newest = this.count++;
    this.payloadTypes[newest] = buffer[at] & 0x7f;
    this.timestampOffsets[newest] = 0;
    let start = at + 1;
    if (start + redundant > end) return false;
    for (let i = 0; i < newest; i++) {
      this.offsets[i] = start;
      start += this.lengths[i];
    }
    this.offsets[newest] = start;
    this.lengths[newest] = end - start;
    return true;
  }
}

export interface RedBlock {
  readonly payload: Uint8Array;
  /** How much older than the newest block this one is, in timestamp units. */
  readonly timestampOffset: number;
}

/**
 * Writes a RED payload to the start of `out`: `older` blocks, oldest first, then the newest. Blocks too old or too long
 * for their header fields are left out, and so are those, from the oldest, for which `out` has no room.
 * Returns the length, or -1 when even the newest block does not fit.
 */
export function writeRed(out: Uint8Array, payloadType: number, older: readonly RedBlock[], newest: Uint8Array): number {
  let room = out.length - 1 - newest.length;
  if (room < 0) return -1;
  let first = older.length;
  while (first > 0 && room >= sizeOf(older[first - 1])) room -= sizeOf(older[--first]);
  let at = 0;
  for (let i = first; i < older.length; i++) {
    const { payload, timestampOffset } = older[i];
    if (sizeOf(older[i]) === 0) continue;
    out[at] = 0x80 | payloadType;
    out[at + 1] = timestampOffset >>> 6;
    out[at + 2] = (timestampOffset << 2) | (payload.length >>> 8);
    out[at + 3] = payload.length;
    at += REDUNDANT_HEADER_LENGTH;
  }
  out[at++] = payloadType;
  for (let i = first; i < older.length; i++) {
    if (sizeOf(older[i]) === 0) continue;
    out.set(older[i].payload, at);
    at += older[i].payload.length;
  }
  out.set(newest, at);
  return at + newest.length;
}

/** With its header; 0 for a block that cannot be sent. */
function sizeOf({ payload, timestampOffset }: RedBlock): number {
  const fits = payload.length <= MAX_RED_BLOCK_LENGTH && timestampOffset <= MAX_TIMESTAMP_OFFSET;
  return fits ? REDUNDANT_HEADER_LENGTH + payload.length : 0;
}
