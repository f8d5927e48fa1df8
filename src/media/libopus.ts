/**
 * libopus as `@evan/opus` ships it in WebAssembly, called directly: its decoder then takes lost frames and forward error
 * correction too, which the package's own interface leaves out. (The encoder of the native build is twice as fast.)
 *
 * One instance per thread, one block of its memory for each decoder, two that all share for what goes in and out.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** What is used of it; the types of Node lack it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
};

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  malloc(bytes: number): number;
  free(pointer: number): void;
  stackSave(): number;
  stackRestore(pointer: number): void;
  opus_decoder_get_size(channels: number): number;
  opus_decoder_init(decoder: number, rate: number, channels: number): number;
  opus_decode(decoder: number, packet: number, bytes: number, pcm: number, frameSize: number, fec: number): number;
}

/** More than any packet that a datagram holds. */
const MAX_PACKET_BYTES = 4096;
/** 120 ms at 48 kHz. */
const MAX_SAMPLES = 5760;

class Libopus {
  readonly #exports: Exports;
  readonly #packet: number;
  readonly #pcm: number;
  #bytes: Uint8Array;

  constructor(wasm: Uint8Array) {
    const unused = (): number => 0;
    const instance = new WebAssembly.Instance(new WebAssembly.Module(wasm), {
      wasi_snapshot_preview1: { fd_seek: unused, fd_write: unused, fd_close: unused, proc_exit: unused },
      env: { emscripten_notify_memory_growth: () => (this.#bytes = new Uint8Array(this.#exports.memory.buffer)) },
    });
    this.#exports = instance.exports as Exports;
    this.#bytes = new Uint8Array(this.#exports.memory.buffer);
    this.#packet = this.#exports.malloc(MAX_PACKET_BYTES);
    this.#pcm = this.#exports.malloc(MAX_SAMPLES * 2);
    this.#bytes = new Uint8Array(this.#exports.memory.buffer);
  }

  /** A decoder to mono; to be given to {@link free}. */
  createDecoder(rate: number): number {
    const decoder = this.#exports.malloc(this.#exports.opus_decoder_get_size(1));
    if (decoder === 0 || this.#exports.opus_decoder_init(decoder, rate, 1) < 0) throw new Error('libopus: no decoder');
    return decoder;
  }

  free(decoder: number): void {
    this.#exports.free(decoder);
  }

  /**
   * Decodes into memory of the caller's own: a packet; the frame that it restores of the one before it (`fec`); or, of
   * none, what continues the sound. Null when libopus refuses.
   * @param samples how long what is restored or continued is; for a packet the most that there is room for
   */
  decode(decoder: number, packet: Uint8Array | null, samples: number, fec: boolean): Int16Array | null {
    const length = packet?.length ?? 0;
    if (length > MAX_PACKET_BYTES) return null;
    if (packet !== null) this.#bytes.set(packet, this.#packet);
    const stack = this.#exports.stackSave();
    try {
      const count = this.#exports.opus_decode(decoder, packet === null ? 0 : this.#packet, length, this.#pcm, samples, fec ? 1 : 0);
      return count < 0 ? null : new Int16Array(this.#exports.memory.buffer.slice(this.#pcm, this.#pcm + count * 2));
    } catch {
      // A trap leaves the stack as it was then.
      this.#exports.stackRestore(stack);
      return null;
    }
  }
}

export const libopus = new Libopus(readFileSync(createRequire(import.meta.url).resolve('@evan/opus/wasm/simd.wasm')));
