import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { EAGAIN, type Libc, MSG_DONTWAIT, type Watch, kernelMemory } from './libc.ts';
import { NetError } from './net-error.ts';

/**
 * Unix stream sockets that carry bytes and, in between, open descriptors (`SCM_RIGHTS`, unix(7)): the receiver gets
 * descriptors of its own for the very same sockets, with all that waits in them. For a few messages between two
 * processes of one machine, not for a packet path. A name that begins with @ is no file but a name of the network namespace
 * ("abstract", unix(7)), which whoever is in that namespace may connect to.
 *
 *   struct sockaddr_un:        family u16, path with its zero, 110 bytes at most
 *   struct msghdr, 56 bytes:   0 name*, 8 namelen u32, 16 iov*, 24 iovlen u64, 32 control*, 40 controllen u64, 48 flags u32
 *   struct iovec, 16 bytes:    0 base*, 8 length u64
 *   struct cmsghdr, 16 bytes:  0 length u64, 8 level i32, 12 type i32, then the descriptors, i32 each
 */
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
const PATH_OFFSET = 2;
const MAX_PATH_BYTES = 107;
const IOVEC_AT = 56;
const CONTROL_AT = 72;
const CONTROL_DATA_AT = CONTROL_AT + 16;
const BYTE_AT = 512;
const BACKLOG = 4;

type WatchFunction = NonNullable<Libc['watch']>;

/** One end of a connection. Reading and writing are for one user each at a time. */
export class DescriptorStream {
  readonly #libc: Libc;
  readonly #watch: WatchFunction;
  readonly #fd: number;
  readonly #endings = new Set<() => void>();
  #closed = false;

  constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#watch = requireWatch(libc);
    this.#fd = fd;
  }

  /** Connects to a {@link DescriptorListener}; null when nobody listens at `path`. @throws {NetError} */
  static connect(libc: Libc, path: string): DescriptorStream | null {
    requireWatch(libc);
    const fd = openSocket(libc);
    const [address, length] = unixAddress(path);
    if (libc.connect(fd, address, length) === 0) return new DescriptorStream(libc, fd);
    const code = libc.errorName(libc.errno());
    libc.close(fd);
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return null;
    throw new NetError(code, `Cannot connect to ${path}: ${code}`);
  }

  /** @throws {NetError} `EPIPE` when the other side is gone, `ETIMEDOUT` */
  async read(bytes: number, timeoutMs: number): Promise<Buffer> {
    const by = performance.now() + timeoutMs;
    const memory = kernelMemory(bytes);
    for (let done = 0; done < bytes; ) {
      const count = this.#libc.read(this.#live(), memory.subarray(done), bytes - done);
      if (count > 0) done += count;
      else if (count === 0 || this.#libc.errno() !== EAGAIN) throw gone();
      else await this.#until('readable', by);
    }
    return Buffer.from(memory.buffer, 0, bytes);
  }

  /** @throws {NetError} as {@link read} */
  async write(data: Uint8Array, timeoutMs: number): Promise<void> {
    const by = performance.now() + timeoutMs;
    const memory = kernelMemory(data.length);
    memory.set(data);
    for (let done = 0; done < data.length; ) {
      const count = this.#libc.write(this.#live(), memory.subarray(done), data.length - done);
      if (count > 0) done += count;
      else if (this.#libc.errno() !== EAGAIN) throw gone();
      else await this.#until('writable', by);
    }
  }

  /** Sends copies of descriptors, at most 64, and a byte that carries them. @throws {NetError} */
  async sendDescriptors(descriptors: readonly number[], timeoutMs: number): Promise<void> {
    const by = performance.now() + timeoutMs;
    const memory = this.#message(descriptors.length);
    const view = new DataView(memory.buffer);
    view.setBigUint64(CONTROL_AT, BigInt(16 + 4 * descriptors.length), true);
    view.setInt32(CONTROL_AT + 8, SOL_SOCKET, true);
    view.setInt32(CONTROL_AT + 12, SCM_RIGHTS, true);
    descriptors.forEach((descriptor, i) => view.setInt32(CONTROL_DATA_AT + 4 * i, descriptor, true));
    while (this.#libc.sendmsg(this.#live(), memory, MSG_DONTWAIT) < 1) {
      if (this.#libc.errno() !== EAGAIN) throw gone();
      await this.#until('writable', by);
    }
  }

  /** Receives what one {@link sendDescriptors} has sent. They are the caller's to close. @throws {NetError} */
  async receiveDescriptors(count: number, timeoutMs: number): Promise<number[]> {
    const by = performance.now() + timeoutMs;
    const memory = this.#message(count);
    const view = new DataView(memory.buffer);
    for (;;) {
      const received = this.#libc.recvmsg(this.#live(), memory, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (received === 1) break;
      if (received === 0 || this.#libc.errno() !== EAGAIN) throw gone();
      await this.#until('readable', by);
    }
    const bytes = view.getBigUint64(40, true) === 0n ? 0 : Number(view.getBigUint64(CONTROL_AT, true)) - 16;
    const descriptors = Array.from({ length: Math.max(0, bytes >> 2) }, (_, i) => view.getInt32(CONTROL_DATA_AT + 4 * i, true));
    if (descriptors.length === count) return descriptors;
    for (const descriptor of descriptors) this.#libc.close(descriptor);
    throw new NetError('EBADMSG', `${descriptors.length} descriptors came instead of ${count}`);
  }

  /** Idempotent. What waits for something rejects. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const end of this.#endings) end();
    this.#libc.close(this.#fd);
  }

  #live(): number {
    if (this.#closed) throw gone();
    return this.#fd;
  }

  #until(event: 'readable' | 'writable', by: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.#endings.delete(closed);
        clearTimeout(timer);
        watch.close();
        settle();
      };
      const closed = (): void => end(() => reject(gone()));
      const timer = setTimeout(
        () => end(() => reject(new NetError('ETIMEDOUT', 'The other side does not answer'))),
        Math.max(0, by - performance.now()),
      );
      const watch = this.#watch(this.#fd, () => end(resolve), event);
      this.#endings.add(closed);
    });
  }

  /** A `msghdr` with one byte of data and room for `count` descriptors. */
  #message(count: number): Uint8Array {
    if (count > 64) throw new RangeError(`64 descriptors go into one message, not ${count}`);
    const memory = kernelMemory(BYTE_AT + 1);
    const view = new DataView(memory.buffer);
    const base = BigInt(this.#libc.addressOf(memory));
    view.setBigUint64(16, base + BigInt(IOVEC_AT), true);
    view.setBigUint64(24, 1n, true);
    view.setBigUint64(32, base + BigInt(CONTROL_AT), true);
    view.setBigUint64(40, BigInt(16 + 4 * count), true);
    view.setBigUint64(IOVEC_AT, base + BigInt(BYTE_AT), true);
    view.setBigUint64(IOVEC_AT + 8, 1n, true);
    return memory;
  }
}

/** Listens at a path, for this user alone, or under an abstract name. */
export class DescriptorListener {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #watch: Watch;
  #closed = false;

  private constructor(libc: Libc, fd: number, onConnection: (stream: DescriptorStream) => void) {
    this.#libc = libc;
    this.#fd = fd;
    this.#watch = requireWatch(libc)(fd, () => {
      const accepted = libc.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted >= 0) onConnection(new DescriptorStream(libc, accepted));
    });
  }

  /** Takes the place of a socket that nobody listens on any more; ask by {@link DescriptorStream.connect} first. @throws {NetError} */
  static open(libc: Libc, path: string, onConnection: (stream: DescriptorStream) => void): DescriptorListener {
    requireWatch(libc);
    const [address, length] = unixAddress(path);
    const isFile = !isAbstract(path);
    if (isFile && lstatSync(path, { throwIfNoEntry: false })?.isSocket()) unlinkSync(path);
    const fd = openSocket(libc);
    if (libc.bind(fd, address, length) < 0 || libc.listen(fd, BACKLOG) < 0) {
      const code = libc.errorName(libc.errno());
      libc.close(fd);
      throw new NetError(code, `Cannot listen at ${path}: ${(isFile ? REASONS[code] : undefined) ?? code}`);
    }
    if (isFile) chmodSync(path, 0o600);
    return new DescriptorListener(libc, fd, onConnection);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Idempotent. The path stays: whoever is next takes it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    this.#libc.close(this.#fd);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'there is a file of that name that is no socket; choose another path',
  ENOENT: 'its folder does not exist; make it first',
  EACCES: 'this user may not write to its folder',
};

function openSocket(libc: Libc): number {
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new NetError(libc.errorName(libc.errno()), 'Cannot open a Unix socket');
  return fd;
}

function unixAddress(path: string): [address: Uint8Array, length: number] {
  const bytes = Buffer.from(path);
  if (bytes.length === 0 || bytes.length > MAX_PATH_BYTES || bytes.includes(0)) {
    throw new RangeError(`The path of a Unix socket has 1 to ${MAX_PATH_BYTES} bytes: "${path}"`);
  }
  const memory = kernelMemory(PATH_OFFSET + MAX_PATH_BYTES + 1);
  memory[0] = AF_UNIX;
  memory.set(bytes, PATH_OFFSET);
  if (!isAbstract(path)) return [memory, PATH_OFFSET + bytes.length + 1];
  memory[PATH_OFFSET] = 0;
  return [memory, PATH_OFFSET + bytes.length];
}

/** Whether a name is no path but one of the network namespace. */
export function isAbstract(name: string): boolean {
  return name.startsWith('@');
}

function requireWatch({ watch }: Libc): WatchFunction {
  if (watch === null) throw new NetError('ENOSYS', 'Descriptors cannot be passed here: this koffi cannot watch sockets');
  return watch;
}

function gone(): NetError {
  return new NetError('EPIPE', 'The other side has gone away');
}
