import { createRequire } from 'node:module';
import type koffiModule from 'koffi';
import { NetError } from './net-error.ts';

/**
 * The system calls behind the `mmsg` engine, called through koffi. Linux on 64-bit little-endian machines only: the
 * structures in `message-vector.ts` are laid out for those.
 *
 * Memory given to the kernel must be one large buffer that a live object refers to: V8 moves typed arrays of up to 64
 * bytes, and collects locals that it thinks dead. {@link KernelMemory} is the only kind used here.
 */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array): number;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  connect(fd: number, address: Uint8Array, length: number): number;
  listen(fd: number, backlog: number): number;
  accept4(fd: number, address: null, length: null, flags: number): number;
  sendmsg(fd: number, message: Uint8Array, flags: number): number;
  recvmsg(fd: number, message: Uint8Array, flags: number): number;
  recvmmsg(fd: number, messages: Uint8Array, count: number, flags: number, timeout: null): number;
  sendmmsg(fd: number, messages: Uint8Array, count: number, flags: number): number;
  poll(fds: Uint8Array, count: number, timeoutMs: number): number;
  nanosleep(request: Uint8Array, remaining: null): number;
  /** Of the calling thread, like all that these two set. */
  prctl(option: number, a: number, b: number, c: number, d: number): number;
  sched_setaffinity(thread: number, length: number, mask: Uint8Array): number;
  eventfd(initial: number, flags: number): number;
  read(fd: number, into: Uint8Array, length: number): number;
  write(fd: number, from: Uint8Array, length: number): number;
  close(fd: number): number;
  /** The last call's error number, and its name. */
  errno(): number;
  errorName(errno: number): string;
  /** Where a buffer is in memory; below 2⁵³ on every machine there is. */
  addressOf(memory: Uint8Array): number;
  /** Calls `ready` from the event loop whenever `fd` has something to read, or has room. Null where koffi cannot. */
  watch: ((fd: number, ready: () => void, until?: 'readable' | 'writable') => Watch) | null;
}

/** A running {@link Libc.watch}. */
export interface Watch {
  close(): void;
}

export const EAGAIN = 11;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;

/** One zeroed buffer for the kernel, never small enough for V8 to move. */
export function kernelMemory(bytes: number): Uint8Array {
  return new Uint8Array(Math.max(bytes, 4096));
}

let loaded: Libc | string | undefined;

/** The system calls, or a sentence that says why this machine has not got them. Loaded once per thread. */
export function loadLibc(): Libc | string {
  loaded ??= load();
  return loaded;
}

/** @throws {NetError} ENOSYS where the `mmsg` engine cannot run. */
export function requireLibc(): Libc {
  const libc = loadLibc();
  if (typeof libc === 'string') throw new NetError('ENOSYS', `The mmsg engine cannot run here: ${libc}. Use --engine dgram`);
  return libc;
}

function load(): Libc | string {
  if (process.platform !== 'linux') return 'it needs Linux';
  if (process.arch !== 'x64' && process.arch !== 'arm64') return `it is not made for ${process.arch}`;
  try {
    // Not a static import: where koffi has no binary for the machine, the portable engine must still load.
    return bindCalls(createRequire(import.meta.url)('koffi') as typeof koffiModule);
  } catch (cause) {
    return `koffi does not load (${(cause as Error).message})`;
  }
}

function bindCalls(koffi: typeof koffiModule): Libc {
  const lib = koffi.load(null);
  const call = <Name extends keyof Libc>(_: Name, prototype: string): Libc[Name] =>
    lib.func(prototype);
  const names = new Map(Object.entries(koffi.os.errno).map(([name, value]) => [value, name]));
  // Typed as present, but undocumented: an older or later koffi may lack it.
  const node = koffi.node as typeof koffi.node | undefined;
  return {
    socket: call('socket', 'int socket(int, int, int)'),
    bind: call('bind', 'int bind(int, void *, unsigned int)'),
    setsockopt: call('setsockopt', 'int setsockopt(int, int, int, void *, unsigned int)'),
    getsockopt: call('getsockopt', 'int getsockopt(int, int, int, void *, void *)'),
    getsockname: call('getsockname', 'int getsockname(int, void *, void *)'),
    connect: call('connect', 'int connect(int, void *, unsigned int)'),
    listen: call('listen', 'int listen(int, int)'),
    accept4: call('accept4', 'int accept4(int, void *, void *, int)'),
    sendmsg: call('sendmsg', 'intptr_t sendmsg(int, void *, int)'),
    recvmsg: call('recvmsg', 'intptr_t recvmsg(int, void *, int)'),
    recvmmsg: call('recvmmsg', 'int recvmmsg(int, void *, unsigned int, int, void *)'),
    sendmmsg: call('sendmmsg', 'int sendmmsg(int, void *, unsigned int, int)'),
    poll: call('poll', 'int poll(void *, unsigned long, int)'),
    nanosleep: call('nanosleep', 'int nanosleep(void *, void *)'),
    prctl: call('prctl', 'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)'),
    sched_setaffinity: call('sched_setaffinity', 'int sched_setaffinity(int, size_t, void *)'),
    eventfd: call('eventfd', 'int eventfd(unsigned int, int)'),
    read: call('read', 'intptr_t read(int, void *, size_t)'),
    write: call('write', 'intptr_t write(int, void *, size_t)'),
    close: call('close', 'int close(int)'),
    errno: () => koffi.errno(),
    errorName: (errno) => names.get(errno) ?? `errno ${errno}`,
    addressOf: (memory) => Number(koffi.address(memory)),
    watch:
      typeof node?.poll === 'function'
        ? (fd, ready, until = 'readable') => node.poll(fd, { [until]: true }, () => ready())
        : null,
  };
}
