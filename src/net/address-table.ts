import { randomBytes } from 'node:crypto';

/**
 * A bounded table of transport addresses: (IPv6 or IPv4-mapped address, port) → small integer slot. Owners keep what
 * they know about an address in arrays of their own, indexed by slot. Typed arrays only; nothing is allocated per
 * operation. Full means that the least recently used entry makes room.
 *
 * Open addressing with linear probing at a load of at most one half, deletion by backward shift, and a secret seed,
 * so that nobody can choose addresses that collide.
 */
export interface AddressTableOptions {
  /** Most entries at a time, 1 or more. */
  readonly capacity: number;
  /** A slot that is touched again within this time, in the clock of `now`, keeps its place in the order; 0 unless given. */
  readonly grain?: number;
  /** A slot is about to be forgotten: evicted, expired or removed. */
  readonly onRemove?: (slot: number) => void;
}

const NONE = -1;
const WORDS = 4;
/** The third word of an IPv4-mapped IPv6 address; the first two are zero. */
const MAPPED = 0xffff;

export class AddressTable {
  readonly capacity: number;
  /** When the slot was last touched, or up to a grain before, in the clock of `now`; -Infinity while it is free. */
  readonly lastSeen: Float64Array;
  /** Whether the last `obtain` made a new entry. */
  inserted = false;
  /** Entries that made room for others while still in use. */
  evictions = 0;

  #size = 0;
  readonly #grain: number;
  readonly #onRemove: ((slot: number) => void) | undefined;
  readonly #words: Int32Array;
  readonly #ports: Uint16Array;
  readonly #hashes: Int32Array;
  /** Position in the hash index → slot. */
  readonly #index: Int32Array;
  readonly #mask: number;
  /** Recency list, most recent at #newest; free slots are chained through #older. */
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  #newest = NONE;
  #oldest = NONE;
  #free = 0;
  readonly #seed: number;
  /** The hash of what all IPv4-mapped addresses begin with. */
  readonly #seed4: number;
  /** The key that is looked for: fields, so that a look-up allocates nothing. */
  #w0 = 0;
  #w1 = 0;
  #w2 = 0;
  #w3 = 0;
  #port = 0;
  #hash = 0;

  constructor({ capacity, grain = 0, onRemove }: AddressTableOptions) {
    if (!Number.isInteger(capacity) || capacity < 1) throw new RangeError(`Table capacity must be 1 or more: ${capacity}`);
    this.capacity = capacity;
    this.#grain = grain;
    this.#onRemove = onRemove;
    let positions = 2;
    while (positions < 2 * capacity) positions *= 2;
    this.#mask = positions - 1;
    this.#index = new Int32Array(positions).fill(NONE);
    this.lastSeen = new Float64Array(capacity).fill(Number.NEGATIVE_INFINITY);
    this.#words = new Int32Array(capacity * WORDS);
    this.#ports = new Uint16Array(capacity);
    this.#hashes = new Int32Array(capacity);
    this.#newer = new Int32Array(capacity).fill(NONE);
    this.#older = Int32Array.from({ length: capacity }, (_, slot) => (slot + 1 < capacity ? slot + 1 : NONE));
    this.#seed = randomBytes(4).readInt32LE();
    this.#seed4 = mix(mix(mix(this.#seed, 0), 0), MAPPED);
  }

  get size(): number {
    return this.#size;
  }

  /** The slot of an address (4 or 16 bytes at `offset`), or -1. Does not count as use. */
  find(ip: Uint8Array, offset: number, family: 4 | 6, port: number): number {
    this.#setKey(ip, offset, family, port);
    return this.#index[this.#position()];
  }

  /** The slot of an address, made if need be (see `inserted`), and touched. */
  obtain(ip: Uint8Array, offset: number, family: 4 | 6, port: number, now: number): number {
    const known = this.find(ip, offset, family, port);
    this.inserted = known === NONE;
    if (known !== NONE) {
      this.touch(known, now);
      return known;
    }
    if (this.#free === NONE) {
      this.evictions++;
      this.remove(this.#oldest);
    }
    const slot = this.#free;
    this.#free = this.#older[slot];
    this.#words[slot * WORDS] = this.#w0;
    this.#words[slot * WORDS + 1] = this.#w1;
    this.#words[slot * WORDS + 2] = this.#w2;
    this.#words[slot * WORDS + 3] = this.#w3;
    this.#ports[slot] = this.#port;
    this.#hashes[slot] = this.#hash;
    this.#index[this.#position()] = slot;
    this.lastSeen[slot] = now;
    this.#linkNewest(slot);
    this.#size++;
    return slot;
  }

  /** The slot that was touched last, -1 in an empty table; with {@link olderThan} all that are in use. */
  get newest(): number {
    return this.#newest;
  }

  /** The slot that was touched last before this one, or -1. */
  olderThan(slot: number): number {
    return this.#older[slot];
  }

  /** Writes a slot's address as 16 bytes, IPv4 as an IPv4-mapped one; returns its port. */
  readAddress(slot: number, into: Uint8Array, offset: number): number {
    for (let i = 0; i < 4 * WORDS; i++) into[offset + i] = this.#words[slot * WORDS + (i >> 2)] >>> (24 - 8 * (i & 3));
    return this.#ports[slot];
  }

  /** Marks a slot as used at `now`. */
  touch(slot: number, now: number): void {
    if (now - this.lastSeen[slot] < this.#grain) return;
    this.lastSeen[slot] = now;
    if (slot === this.#newest) return;
    this.#unlink(slot);
    this.#linkNewest(slot);
  }

  /** Forgets a slot that is in use. */
  remove(slot: number): void {
    this.#onRemove?.(slot);
    this.#unindex(slot);
    this.#unlink(slot);
    this.#older[slot] = this.#free;
    this.#free = slot;
    this.lastSeen[slot] = Number.NEGATIVE_INFINITY;
    this.#size--;
  }

  /** Forgets what was last touched before `before`, at most `limit` entries; returns how many. */
  expire(before: number, limit: number): number {
    let count = 0;
    while (count < limit && this.#oldest !== NONE && this.lastSeen[this.#oldest] < before) {
      this.remove(this.#oldest);
      count++;
    }
    return count;
  }

  #setKey(ip: Uint8Array, offset: number, family: 4 | 6, port: number): void {
    let hash = this.#seed4;
    if (family === 4) {
      this.#w0 = 0;
      this.#w1 = 0;
      this.#w2 = MAPPED;
      this.#w3 = readInt32(ip, offset);
    } else {
      this.#w0 = readInt32(ip, offset);
      this.#w1 = readInt32(ip, offset + 4);
      this.#w2 = readInt32(ip, offset + 8);
      this.#w3 = readInt32(ip, offset + 12);
      hash = mix(mix(mix(this.#seed, this.#w0), this.#w1), this.#w2);
    }
    this.#port = port;
    this.#hash = mix(mix(hash, this.#w3), port);
  }

  /** Where the key is in the index, or the empty place where it would go. */
  #position(): number {
    let position = this.#hash & this.#mask;
    for (;;) {
      const slot = this.#index[position];
      if (slot === NONE) return position;
      if (this.#hashes[slot] === this.#hash && this.#matches(slot)) return position;
      position = (position + 1) & this.#mask;
    }
  }

  #matches(slot: number): boolean {
    const at = slot * WORDS;
    return (
      this.#ports[slot] === this.#port &&
      this.#words[at + 3] === this.#w3 &&
      this.#words[at + 2] === this.#w2 &&
      this.#words[at + 1] === this.#w1 &&
      this.#words[at] === this.#w0
    );
  }

  /** Empties the slot's place and moves back those after it that would no longer be found (Knuth, 6.4, algorithm R). */
  #unindex(slot: number): void {
    let hole = this.#hashes[slot] & this.#mask;
    while (this.#index[hole] !== slot) hole = (hole + 1) & this.#mask;
    for (let at = (hole + 1) & this.#mask; this.#index[at] !== NONE; at = (at + 1) & this.#mask) {
      const home = this.#hashes[this.#index[at]] & this.#mask;
      if (((at - home) & this.#mask) < ((at - hole) & this.#mask)) continue;
      this.#index[hole] = this.#index[at];
      hole = at;
    }
    this.#index[hole] = NONE;
  }

  #unlink(slot: number): void {
    const newer = this.#newer[slot];
    const older = this.#older[slot];
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
  }

  #linkNewest(slot: number): void {
    this.#newer[slot] = NONE;
    this.#older[slot] = this.#newest;
    if (this.#newest === NONE) this.#oldest = slot;
    else this.#newer[this.#newest] = slot;
    this.#newest = slot;
  }
}

function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

/** One round of MurmurHash3's block mixing, with its finaliser's shifts in place of rotations. */
function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k ^= k >>> 15;
  let h = Math.imul(hash ^ Math.imul(k, 0x1b873593), 0x85ebca6b);
  h ^= h >>> 13;
  return Math.imul(h, 0xc2b2ae35) ^ (h >>> 16);
}
