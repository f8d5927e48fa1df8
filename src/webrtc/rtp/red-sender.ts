import { MAX_RED_BLOCK_LENGTH, writeRed, type RedBlock } from './red.ts';
import { RedundancyControl } from './redundancy-control.ts';

/** How many older frames go along: as the peer's loss asks for, or always so many. */
export type RedDistance = 'adaptive' | 1 | 2;

/**
 * Adds to each frame copies of those before it (RFC 2198). With none to add, frames go as they are: on a clean path
 * this costs nothing.
 */
export class RedSender {
  readonly #fixed: number;
  readonly #control = new RedundancyControl();
  readonly #opus: number;
  /** The latest frames, oldest first; memory goes round. */
  readonly #older: Kept[] = [];
  readonly #out = new Uint8Array(MAX_RED_LENGTH);

  /** @param opus payload type of the blocks. */
  constructor(opus: number, distance: RedDistance) {
    this.#opus = opus;
    this.#fixed = distance === 'adaptive' ? 0 : distance;
  }

  get distance(): number {
    return this.#fixed || this.#control.distance;
  }

  /** See {@link RedundancyControl.handleLoss}. */
  handleLoss(loss: number): void {
    this.#control.handleLoss(loss);
  }

  /** A RED payload around the next frame, valid until the next call; null when the frame has to go alone. */
  pack(frame: Uint8Array, timestamp: number): Uint8Array | null {
    const { distance } = this;
    if (distance === 0) {
      this.#older.length = 0;
      return null;
    }
    for (const block of this.#older) block.timestampOffset = timestamp - block.timestamp;
    // Blocks carry no sequence number: the receiver counts back from the newest, so that none may be left out between.
    const older = this.#older.filter(({ timestampOffset }) => timestampOffset > 0);
    const length = older.length === 0 ? -1 : writeRed(this.#out, this.#opus, older, frame);
    this.#keep(frame, timestamp, distance);
    return length < 0 ? null : this.#out.subarray(0, length);
  }

  #keep(frame: Uint8Array, timestamp: number, distance: number): void {
    if (frame.length > MAX_RED_BLOCK_LENGTH) {
      this.#older.length = 0;
      return;
    }
    while (this.#older.length > distance) this.#older.shift();
    const kept = this.#older.length === distance ? this.#older.shift()! : makeKept();
    if (kept.payload.length !== frame.length) kept.payload = kept.memory.subarray(0, frame.length);
    kept.payload.set(frame);
    kept.timestamp = timestamp;
    this.#older.push(kept);
  }
}

interface Kept extends RedBlock {
  readonly memory: Uint8Array;
  payload: Uint8Array;
  timestamp: number;
  timestampOffset: number;
}

/** With all headers, of the trunk too, within 1,280 bytes, which every IPv6 path takes. */
const MAX_RED_LENGTH = 1150;

function makeKept(): Kept {
  const memory = new Uint8Array(MAX_RED_BLOCK_LENGTH);
  return { memory, payload: memory, timestamp: 0, timestampOffset: 0 };
}
