import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import {
  AAD_SUFFIX_LENGTH,
  GCM_TAG_LENGTH,
  type CounterModeKey,
  type GcmKey,
  type SrtpCiphers,
} from './ciphers.ts';

/**
 * OpenSSL's own functions, exported by the node binary, called through koffi. Nothing is allocated per packet.
 *
 * There is one OpenSSL context per cipher and direction, and each packet gives it its key. Setting a key up takes
 * 0.2 µs; a context per key would be a kilobyte in several places, which with hundreds of calls has left the
 * processor's caches by the time that the call's next packet comes, and takes longer than that to fetch again.
 *
 * Pointers are plain numbers (`uint64_t` to koffi): address of the ArrayBuffer, looked up once, plus an offset. That
 * spares a view and its conversion per call. It is safe because
 * - the memory behind an ArrayBuffer never moves once its address has been taken,
 * - the address belongs to that very ArrayBuffer object, which {@link Memory} keeps alive while it uses the address,
 * - whoever calls has checked the bounds against the packet's length, which is 0 once a buffer is detached.
 */
export function openEvp(): SrtpCiphers {
  opened ??= open();
  return opened;
}

/** Once per thread: its contexts stay. */
let opened: SrtpCiphers | null = null;

function open(): SrtpCiphers {
  const { library, memory } = bind();
  const evp: Evp = {
    library,
    memory,
    seal: openContext(library, memory, library.EVP_aes_128_gcm(), 1),
    open: openContext(library, memory, library.EVP_aes_128_gcm(), 0),
    counter: openContext(library, memory, library.EVP_aes_128_ctr(), 1),
  };
  return {
    name: 'evp',
    gcm: (key) => new EvpGcmKey(evp, key),
    counterMode: (encryptionKey, authenticationKey) => new EvpCounterModeKey(evp, encryptionKey, authenticationKey),
  };
}

const AES_KEY_LENGTH = 16;
const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
/** For the `enc` argument of EVP_CipherInit_ex: the direction stays as it is. */
const KEEP_DIRECTION = -1;

/** Layout of the scratch memory: what native code reads or writes besides packets. */
const KEY_AT = 0;
const IV_AT = 64;
const LENGTH_AT = 128;
const SHA_STATE_AT = 192;
const BLOCK_AT = 320;
const SCRATCH_LENGTH = 4096;

/** SHA_CTX of <openssl/sha.h> in 32-bit words: h[5], Nl, Nh, data[16], num. */
const SHA_WORDS = 24;
const SHA_LENGTH_LOW = 5;
const SHA_LENGTH_HIGH = 6;
const SHA_BUFFERED = 23;
const SHA1_BLOCK_LENGTH = 64;
const SHA1_LENGTH = 20;

/** OpenSSL, its memory, and one context per cipher and direction, all of the thread. */
interface Evp {
  readonly library: Library;
  readonly memory: Memory;
  readonly seal: number;
  readonly open: number;
  readonly counter: number;
}

/** 16 bytes of key, as numbers: they lie in the object itself, while bytes would be two more places to fetch per packet. */
class AesKey {
  protected readonly evp: Evp;
  #first: number;
  #second: number;
  #third: number;
  #fourth: number;
  #closed = false;

  constructor(evp: Evp, key: Uint8Array) {
    if (key.length !== AES_KEY_LENGTH) throw new RangeError(`an AES-128 key has ${AES_KEY_LENGTH} bytes, not ${key.length}`);
    this.evp = evp;
    [this.#first, this.#second, this.#third, this.#fourth] = new Int32Array(Uint8Array.from(key).buffer);
  }

  close(): void {
    this.#closed = true;
    this.#first = this.#second = this.#third = this.#fourth = 0;
  }

  /** Starts a packet: gives `context` the key, and the IV that the caller has filled in. */
  protected begin(context: number): void {
    this.requireOpen();
    const { library, memory } = this.evp;
    const words = memory.keyWords;
    words[0] = this.#first;
    words[1] = this.#second;
    words[2] = this.#third;
    words[3] = this.#fourth;
    check(library.EVP_CipherInit_ex(context, 0, 0, memory.keyAddress, memory.ivAddress, KEEP_DIRECTION), 'EVP_CipherInit_ex');
  }

  /** Encrypts or decrypts `length` bytes in place. */
  protected update(context: number, address: number, length: number): void {
    if (length === 0) return;
    const { library, memory } = this.evp;
    check(library.EVP_CipherUpdate(context, address, memory.lengthAddress, address, length), 'EVP_CipherUpdate');
  }

  protected requireOpen(): void {
    if (this.#closed) throw new Error('this SRTP key is closed');
  }
}

class EvpGcmKey extends AesKey implements GcmKey {
  get iv(): Uint8Array {
    return this.evp.memory.iv12;
  }

  seal(packet: Uint8Array, from: number, end: number, suffixAt: number): void {
    const { library, memory, seal: context } = this.evp;
    const address = memory.addressOf(packet);
    this.begin(context);
    this.#authenticate(context, address, from, suffixAt);
    this.update(context, address + from, end - from);
    library.EVP_CipherFinal_ex(context, address + end, memory.lengthAddress);
    check(library.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_LENGTH, address + end), 'EVP_CIPHER_CTX_ctrl');
  }

  open(packet: Uint8Array, from: number, end: number, suffixAt: number): boolean {
    const { library, memory, open: context } = this.evp;
    const address = memory.addressOf(packet);
    this.begin(context);
    this.#authenticate(context, address, from, suffixAt);
    check(library.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_LENGTH, address + end), 'EVP_CIPHER_CTX_ctrl');
    this.update(context, address + from, end - from);
    if (library.EVP_CipherFinal_ex(context, address + end, memory.lengthAddress) === 1) return true;
    // OpenSSL's error queue belongs to the thread: leave nothing in it for the next TLS socket to trip over.
    library.ERR_clear_error();
    return false;
  }

  /** Takes in the associated data. */
  #authenticate(context: number, address: number, length: number, suffixAt: number): void {
    const { EVP_CipherUpdate } = this.evp.library;
    const { lengthAddress } = this.evp.memory;
    check(EVP_CipherUpdate(context, 0, lengthAddress, address, length), 'EVP_CipherUpdate');
    if (suffixAt === 0) return;
    check(EVP_CipherUpdate(context, 0, lengthAddress, address + suffixAt, AAD_SUFFIX_LENGTH), 'EVP_CipherUpdate');
  }
}

class EvpCounterModeKey extends AesKey implements CounterModeKey {
  /** SHA-1 states after the inner and the outer HMAC pad (RFC 2104, section 4). */
  readonly #inner: Uint32Array;
  readonly #outer: Uint32Array;

  constructor(evp: Evp, encryptionKey: Uint8Array, authenticationKey: Uint8Array) {
    super(evp, encryptionKey);
    this.#inner = hashPad(evp, authenticationKey, 0x36);
    this.#outer = hashPad(evp, authenticationKey, 0x5c);
  }

  get iv(): Uint8Array {
    return this.evp.memory.iv16;
  }

  crypt(packet: Uint8Array, from: number, end: number): void {
    const { memory, counter: context } = this.evp;
    this.begin(context);
    this.update(context, memory.addressOf(packet) + from, end - from);
  }

  mac(packet: Uint8Array, end: number): Uint8Array {
    this.requireOpen();
    const { SHA1_Update, SHA1_Final, SHA1_Transform } = this.evp.library;
    const { memory } = this.evp;
    const { sha, mac, base } = memory;
    restore(sha, this.#inner);
    SHA1_Update(base + SHA_STATE_AT, memory.addressOf(packet), end);
    SHA1_Final(base + BLOCK_AT, base + SHA_STATE_AT);
    // The outer hash is one block: the inner digest in place, then the padding that the scratch block holds for good.
    restore(sha, this.#outer);
    SHA1_Transform(base + SHA_STATE_AT, base + BLOCK_AT);
    for (let i = 0; i < 5; i++) {
      const word = sha[i];
      mac[4 * i] = word >>> 24;
      mac[4 * i + 1] = word >>> 16;
      mac[4 * i + 2] = word >>> 8;
      mac[4 * i + 3] = word;
    }
    return mac;
  }

  override close(): void {
    super.close();
    this.#inner.fill(0);
    this.#outer.fill(0);
  }
}

/** A context for all keys of the thread, keyed anew for each packet. It stays as long as the process. */
function openContext(library: Library, memory: Memory, cipher: number, encrypt: 0 | 1): number {
  const context = library.EVP_CIPHER_CTX_new();
  if (context === 0) throw new Error('EVP_CIPHER_CTX_new found no memory');
  check(library.EVP_CipherInit_ex(context, cipher, 0, memory.keyAddress, 0, encrypt), 'EVP_CipherInit_ex');
  return context;
}

/** Scratch memory at a fixed address, and the addresses of the buffers that packets lie in. */
class Memory {
  readonly scratch: Uint8Array;
  readonly base: number;
  /** Addresses in it that are handed over again and again: a sum would be a new object each time. */
  readonly keyAddress: number;
  readonly ivAddress: number;
  readonly lengthAddress: number;
  readonly iv12: Uint8Array;
  readonly iv16: Uint8Array;
  readonly keyWords: Int32Array;
  readonly sha: Uint32Array;
  readonly mac = new Uint8Array(SHA1_LENGTH);
  readonly #locate: (bytes: Uint8Array) => number;
  readonly #known = new WeakMap<ArrayBufferLike, number>();
  /** The two used last: receive memory and send memory take turns. */
  #latest: ArrayBufferLike;
  #latestBase: number;
  #other: ArrayBufferLike;
  #otherBase: number;

  constructor(locate: (bytes: Uint8Array) => number) {
    const buffer = new ArrayBuffer(SCRATCH_LENGTH);
    this.#locate = locate;
    this.scratch = new Uint8Array(buffer);
    this.base = locate(this.scratch);
    this.keyAddress = this.base + KEY_AT;
    this.ivAddress = this.base + IV_AT;
    this.lengthAddress = this.base + LENGTH_AT;
    this.iv12 = new Uint8Array(buffer, IV_AT, 12);
    this.iv16 = new Uint8Array(buffer, IV_AT, 16);
    this.keyWords = new Int32Array(buffer, KEY_AT, 4);
    this.sha = new Uint32Array(buffer, SHA_STATE_AT, SHA_WORDS);
    this.scratch[BLOCK_AT + SHA1_LENGTH] = 0x80;
    new DataView(buffer, BLOCK_AT).setUint32(60, 8 * (SHA1_BLOCK_LENGTH + SHA1_LENGTH));
    this.#latest = buffer;
    this.#latestBase = this.base;
    this.#other = buffer;
    this.#otherBase = this.base;
  }

  /** Address of the first byte of `bytes`, valid until the next call. */
  addressOf(bytes: Uint8Array): number {
    const { buffer } = bytes;
    if (buffer === this.#latest) return this.#latestBase + bytes.byteOffset;
    const base = buffer === this.#other ? this.#otherBase : this.#baseOf(buffer);
    this.#other = this.#latest;
    this.#otherBase = this.#latestBase;
    this.#latest = buffer;
    this.#latestBase = base;
    return base + bytes.byteOffset;
  }

  #baseOf(buffer: ArrayBufferLike): number {
    let base = this.#known.get(buffer);
    if (base === undefined) {
      base = this.#locate(new Uint8Array(buffer));
      this.#known.set(buffer, base);
    }
    return base;
  }
}

/** The functions in use, by their OpenSSL names; all are in OpenSSL 1.1 and 3. Pointers are numbers, 0 is NULL. */
interface Library {
  readonly EVP_CIPHER_CTX_new: () => number;
  readonly EVP_aes_128_gcm: () => number;
  readonly EVP_aes_128_ctr: () => number;
  readonly EVP_CipherInit_ex: (
    context: number,
    cipher: number,
    engine: 0,
    key: number,
    iv: number,
    encrypt: 0 | 1 | typeof KEEP_DIRECTION,
  ) => number;
  readonly EVP_CipherUpdate: (context: number, out: number, outLength: number, input: number, length: number) => number;
  readonly EVP_CipherFinal_ex: (context: number, out: number, outLength: number) => number;
  readonly EVP_CIPHER_CTX_ctrl: (context: number, type: number, length: number, data: number) => number;
  readonly SHA1_Init: (state: number) => number;
  readonly SHA1_Update: (state: number, data: number, length: number) => number;
  readonly SHA1_Final: (digest: number, state: number) => number;
  readonly SHA1_Transform: (state: number, block: number) => void;
  readonly ERR_clear_error: () => void;
}

function bind(): { library: Library; memory: Memory } {
  // Not a static import: where koffi has no prebuilt binary, loading it throws, and the portable ciphers take over.
  const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
  if (koffi.sizeof('void *') !== 8) throw new Error('pointers are not 64 bits wide here');
  const node = koffi.load(null);
  const pointer = 'uint64_t';
  const library: Library = {
    EVP_CIPHER_CTX_new: node.func('EVP_CIPHER_CTX_new', pointer, []),
    EVP_aes_128_gcm: node.func('EVP_aes_128_gcm', pointer, []),
    EVP_aes_128_ctr: node.func('EVP_aes_128_ctr', pointer, []),
    EVP_CipherInit_ex: node.func('EVP_CipherInit_ex', 'int', [pointer, pointer, pointer, pointer, pointer, 'int']),
    EVP_CipherUpdate: node.func('EVP_CipherUpdate', 'int', [pointer, pointer, pointer, pointer, 'int']),
    EVP_CipherFinal_ex: node.func('EVP_CipherFinal_ex', 'int', [pointer, pointer, pointer]),
    EVP_CIPHER_CTX_ctrl: node.func('EVP_CIPHER_CTX_ctrl', 'int', [pointer, 'int', 'int', pointer]),
    SHA1_Init: node.func('SHA1_Init', 'int', [pointer]),
    SHA1_Update: node.func('SHA1_Update', 'int', [pointer, pointer, 'size_t']),
    SHA1_Final: node.func('SHA1_Final', 'int', [pointer, pointer]),
    SHA1_Transform: node.func('SHA1_Transform', 'void', [pointer, pointer]),
    ERR_clear_error: node.func('ERR_clear_error', 'void', []),
  };
  return { library, memory: new Memory((bytes) => Number(koffi.address(bytes))) };
}

/** SHA-1 state after one block: the key, xored with `pad`. */
function hashPad({ library, memory }: Evp, key: Uint8Array, pad: number): Uint32Array {
  const padded = memory.scratch.subarray(KEY_AT, KEY_AT + SHA1_BLOCK_LENGTH).fill(0);
  padded.set(key);
  for (let i = 0; i < padded.length; i++) padded[i] ^= pad;
  library.SHA1_Init(memory.base + SHA_STATE_AT);
  library.SHA1_Update(memory.base + SHA_STATE_AT, memory.base + KEY_AT, SHA1_BLOCK_LENGTH);
  padded.fill(0);
  return memory.sha.slice(0, 5);
}

/** Puts the SHA-1 state after one block back: nothing is buffered then, so `data` may hold anything. */
function restore(sha: Uint32Array, state: Uint32Array): void {
  for (let i = 0; i < 5; i++) sha[i] = state[i];
  sha[SHA_LENGTH_LOW] = 8 * SHA1_BLOCK_LENGTH;
  sha[SHA_LENGTH_HIGH] = 0;
  sha[SHA_BUFFERED] = 0;
}

function check(result: number, name: string): void {
  if (result !== 1) throw new Error(`${name} failed`);
}
