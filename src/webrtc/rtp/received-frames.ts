import { RedPayload } from './red.ts';
import type { RtpPacket } from './rtp-packet.ts';
import { SerialUnwrapper } from './serial-unwrapper.ts';

/** One encoded frame. Sequence number and timestamp are extended beyond 16 and 32 bits. */
export interface ReceivedFrame {
  payload: Uint8Array;
  sequence: number;
  timestamp: number;
  marker: boolean;
}

/**
 * The frames in the packets of the one stream that is heard. From RED (RFC 2198) come, before the newest frame, those
 * older ones that have not been seen: a lost packet is made good by the next, in order. Without RED nothing is
 * looked up.
 */
export class ReceivedFrames {
  readonly #payloadType: number;
  readonly #redPayloadType: number | null;
  readonly #red = new RedPayload();
  readonly #frame: ReceivedFrame = { payload: EMPTY, sequence: 0, timestamp: 0, marker: false };
  #ssrc = -1;
  #sequences = new SerialUnwrapper(16);
  #timestamps = new SerialUnwrapper(32);
  /** Sequence numbers and timestamps of frames that came out, by the low bits of the number. */
  readonly #seenSequences = new Float64Array(WINDOW);
  readonly #seenTimestamps = new Float64Array(WINDOW);
  /** The packet whose frames come out. */
  #buffer: Uint8Array = EMPTY;
  #sequence = 0;
  #timestamp = 0;
  #marker = false;
  #next = 0;
  #count = 0;

  /** Packets with redundancy, and frames that were missing and came from it. */
  redundant = 0;
  recovered = 0;

  /** The stream that is heard; another one (the peer exchanged its track) starts anew. */
  get ssrc(): number {
    return this.#ssrc;
  }

  constructor(payloadType: number, redPayloadType: number | null) {
    this.#payloadType = payloadType;
    this.#redPayloadType = redPayloadType;
  }

  /** Takes a packet; its frames are valid as long as it is. False when it is none of ours, or malformed. */
  handle(packet: RtpPacket): boolean {
    const isRed = packet.payloadType === this.#redPayloadType;
    if (!isRed && packet.payloadType !== this.#payloadType) return false;
    const red = this.#red;
    if (isRed) {
      if (!red.read(packet.buffer, packet.payloadOffset, packet.payloadLength)) return false;
      if (red.payloadTypes[red.count - 1] !== this.#payloadType) return false;
      if (red.count > 1) this.redundant++;
    } else {
      red.count = 1;
      red.offsets[0] = packet.payloadOffset;
      red.lengths[0] = packet.payloadLength;
      red.timestampOffsets[0] = 0;
    }
    if (packet.ssrc !== this.#ssrc) this.#restart(packet.ssrc);
    this.#buffer = packet.buffer;
    this.#sequence = this.#sequences.unwrap(packet.sequence);
    this.#timestamp = this.#timestamps.unwrap(packet.timestamp);
    this.#marker = packet.marker;
    this.#next = 0;
    this.#count = red.count;
    return true;
  }

  /** The next frame, valid until the next call; null when there is none. */
  poll(): ReceivedFrame | null {
    while (this.#next < this.#count) {
      const block = this.#next++;
      const older = this.#count - 1 - block;
      if (older > 0 && !this.#usable(block)) continue;
      const sequence = this.#sequence - older;
      const timestamp = this.#timestamp - this.#red.timestampOffsets[block];
      if (this.#redPayloadType !== null && this.#see(sequence, timestamp, older > 0)) continue;
      if (older > 0) this.recovered++;
      const frame = this.#frame;
      const offset = this.#red.offsets[block];
      frame.payload = this.#buffer.subarray(offset, offset + this.#red.lengths[block]);
      frame.sequence = sequence;
      frame.timestamp = timestamp;
      frame.marker = older === 0 && this.#marker;
      return frame;
    }
    return null;
  }

  /** Whether the frame {@link poll} gave last was made good from a later packet. */
  get fromRedundancy(): boolean {
    return this.#next < this.#count;
  }

  #usable(block: number): boolean {
    return this.#red.lengths[block] > 0 && this.#red.payloadTypes[block] === this.#payloadType;
  }

  /** True when that frame has come out before; else notes that it does. */
  #see(sequence: number, timestamp: number, older: boolean): boolean {
    const at = sequence & (WINDOW - 1);
    if (this.#seenSequences[at] === sequence) return true;
    // A sender may leave blocks out, so that counting back from the newest misses: the timestamp tells.
    if (older && this.#seenTimestamps.includes(timestamp)) return true;
    this.#seenSequences[at] = sequence;
    this.#seenTimestamps[at] = timestamp;
    return false;
  }

  #restart(ssrc: number): void {
    this.#ssrc = ssrc;
    this.#sequences = new SerialUnwrapper(16);
    this.#timestamps = new SerialUnwrapper(32);
    this.#seenSequences.fill(Number.NaN);
    this.#seenTimestamps.fill(Number.NaN);
  }
}

/** Frames remembered, a power of two: more than any redundancy reaches back. */
const WINDOW = 16;
const EMPTY = new Uint8Array(0);
