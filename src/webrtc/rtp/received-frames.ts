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
  /** Null without RED, which then costs nothing. */
  readonly #red: RedPayload | null;
  #ssrc = -1;
  #sequences = new SerialUnwrapper(16);
  #timestamps = new SerialUnwrapper(32);
  /** Sequence numbers and timestamps of frames that came out, by the low bits of the number. */
  readonly #seen: { readonly sequences: Float64Array; readonly timestamps: Float64Array } | null;
  /** The packet whose frames come out, and its newest one. */
  #buffer: Uint8Array = EMPTY;
  #offset = 0;
  #length = 0;
  #sequence = 0;
  #timestamp = Number.NaN;
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
    this.#red = redPayloadType === null ? null : new RedPayload();
    this.#seen = redPayloadType === null ? null : { sequences: new Float64Array(WINDOW), timestamps: new Float64Array(WINDOW) };
  }

  /** Takes a packet; its frames are valid as long as it is. False when it is none of ours, or malformed. */
  handle(packet: RtpPacket): boolean {
    const red = this.#red;
    if (packet.payloadType === this.#payloadType) {
      this.#count = 1;
      this.#offset = packet.payloadOffset;
      this.#length = packet.payloadLength;
    } else {
      if (red === null || packet.payloadType !== this.#redPayloadType) return false;
      if (!red.read(packet.buffer, packet.payloadOffset, packet.payloadLength)) return false;
      const newest = red.count - 1;
      if (red.payloadTypes[newest] !== this.#payloadType) return false;
      if (newest > 0) this.redundant++;
      this.#count = red.count;
      this.#offset = red.offsets[newest];
      this.#length = red.lengths[newest];
    }
    if (packet.ssrc !== this.#ssrc) this.#restart(packet.ssrc);
    this.#buffer = packet.buffer;
    this.#sequence = this.#sequences.unwrap(packet.sequence);
    this.#timestamp = this.#timestamps.unwrap(packet.timestamp);
    this.#marker = packet.marker;
    this.#next = 0;
    return true;
  }

  /** The next frame, valid until the next call of this method of any session; null when there is none. */
  poll(): ReceivedFrame | null {
    while (this.#next < this.#count) {
      const block = this.#next++;
      const older = this.#count - 1 - block;
      if (older > 0) {
        const frame = this.#older(block, older);
        if (frame === null) continue;
        this.recovered++;
        return frame;
      }
      if (this.#see(this.#sequence, this.#timestamp, false)) continue;
      return fill(this.#buffer, this.#offset, this.#length, this.#sequence, this.#timestamp, this.#marker);
    }
    return null;
  }

  /** Whether the frame {@link poll} gave last was made good from a later packet. */
  get fromRedundancy(): boolean {
    return this.#next < this.#count;
  }

  /** The frame of a block that is not the newest; null when it is not ours, or has come out before. */
  #older(block: number, older: number): ReceivedFrame | null {
    const { lengths, offsets, payloadTypes, timestampOffsets } = this.#red!;
    if (lengths[block] === 0 || payloadTypes[block] !== this.#payloadType) return null;
    const sequence = this.#sequence - older;
    const timestamp = this.#timestamp - timestampOffsets[block];
    return this.#see(sequence, timestamp, true) ? null : fill(this.#buffer, offsets[block], lengths[block], sequence, timestamp, false);
  }

  /** True when that frame has come out before; else notes that it does. */
  #see(sequence: number, timestamp: number, older: boolean): boolean {
    if (this.#seen === null) return false;
    const { sequences, timestamps } = this.#seen;
    const at = sequence & (WINDOW - 1);
    if (sequences[at] === sequence) return true;
    // A sender may leave blocks out, so that counting back from the newest misses: the timestamp tells.
    if (older && timestamps.includes(timestamp)) return true;
    sequences[at] = sequence;
    timestamps[at] = timestamp;
    return false;
  }

  #restart(ssrc: number): void {
    this.#ssrc = ssrc;
    this.#sequences = new SerialUnwrapper(16);
    this.#timestamps = new SerialUnwrapper(32);
    this.#seen?.sequences.fill(Number.NaN);
    this.#seen?.timestamps.fill(Number.NaN);
  }
}

/** Frames remembered, a power of two: more than any redundancy reaches back. */
const WINDOW = 16;
const EMPTY = new Uint8Array(0);

/** One for all sessions of the thread: it stays in the processor's cache. */
const polled: ReceivedFrame = { payload: EMPTY, sequence: 0, timestamp: 0, marker: false };

function fill(buffer: Uint8Array, offset: number, length: number, sequence: number, timestamp: number, marker: boolean): ReceivedFrame {
  polled.payload = buffer.subarray(offset, offset + length);
  polled.sequence = sequence;
  polled.timestamp = timestamp;
  polled.marker = marker;
  return polled;
}
