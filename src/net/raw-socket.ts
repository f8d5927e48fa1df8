import type { TransportAddress } from '../wire/address.ts';
import { type Libc, kernelMemory } from './libc.ts';
import { bindError } from './net-error.ts';
import { AF_INET, AF_INET6, SOCKADDR_MAX, readSockaddr, writeSockaddr } from './sockaddr.ts';

/** A UDP socket as a bare file descriptor, non-blocking, for the `mmsg` engine. Any thread of the process may use it. */
export interface RawSocket {
  readonly fd: number;
  /** As bound: with the port that the system chose. */
  readonly address: TransportAddress;
  /** Socket buffers as the kernel granted them, bytes. */
  readonly receiveBuffer: number;
  readonly sendBuffer: number;
}

export interface RawSocketOptions {
  readonly address: TransportAddress;
  readonly reusePort: boolean;
  readonly receiveBuffer: number;
  readonly sendBuffer: number;
  /** Never fragment what is sent, and take no heed of path MTUs learned by ICMP. Spares the kernel an id per packet. */
  readonly dontFragment?: boolean;
}

const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IP_PMTUDISC_PROBE = 3;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;

/**
 * Opens and binds. `[::]` serves IPv4 as well.
 * @throws {NetError} with the system's code when the address cannot be bound.
 */
export function openRawSocket(libc: Libc, options: RawSocketOptions): RawSocket {
  const { address } = options;
  const fd = libc.socket(address.family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw bindError(libc.errorName(libc.errno()), address);
  const scratch = kernelMemory(SOCKADDR_MAX);
  if (address.family === 6) setOption(libc, fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (options.reusePort) setOption(libc, fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (options.dontFragment === true) {
    // On a socket of [::] the first is for its IPv4 peers.
    setOption(libc, fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    if (address.family === 6) setOption(libc, fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  }
  const length = writeSockaddr(scratch, 0, address.family, address.family, address.ip, 0, address.port);
  if (libc.bind(fd, scratch, length) < 0) {
    const code = libc.errorName(libc.errno());
    libc.close(fd);
    throw bindError(code, address);
  }
  return {
    fd,
    address: boundAddress(libc, fd, scratch),
    receiveBuffer: setBuffer(libc, fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receiveBuffer),
    sendBuffer: setBuffer(libc, fd, SO_SNDBUFFORCE, SO_SNDBUF, options.sendBuffer),
  };
}

/**
 * Opens `count` sockets that share one port by SO_REUSEPORT. The kernel picks one by the hash of the client's address
 * and by their order, which is the order of this array: after a restart each client meets the same one.
 * @throws {NetError} also when a process of before still shares the port: it would silently take part of the packets.
 */
export function openSharedSockets(libc: Libc, options: Omit<RawSocketOptions, 'reusePort'>, count: number): RawSocket[] {
  // Without SO_REUSEPORT the bind succeeds only when nobody else has the port. The gap until the second bind is
  // too short to matter for what this is: a check for leftovers.
  const probe = openRawSocket(libc, { ...options, reusePort: false });
  libc.close(probe.fd);
  const sockets: RawSocket[] = [];
  try {
    for (let i = 0; i < count; i++) {
      sockets.push(openRawSocket(libc, { ...options, address: probe.address, reusePort: true }));
    }
  } catch (error) {
    for (const socket of sockets) libc.close(socket.fd);
    throw error;
  }
  return sockets;
}

/** A socket that was opened elsewhere and bound. */
export function adoptRawSocket(libc: Libc, fd: number): RawSocket {
  return {
    fd,
    address: boundAddress(libc, fd, kernelMemory(SOCKADDR_MAX)),
    receiveBuffer: grantedBuffer(libc, fd, SO_RCVBUF),
    sendBuffer: grantedBuffer(libc, fd, SO_SNDBUF),
  };
}

function setOption(libc: Libc, fd: number, level: number, name: number, value: number): number {
  const memory = kernelMemory(4);
  new DataView(memory.buffer).setInt32(0, value, true);
  return libc.setsockopt(fd, level, name, memory, 4);
}

/** Asks beyond the system's maximum where privilege allows, else up to it; returns what was granted. */
function setBuffer(libc: Libc, fd: number, forced: number, plain: number, bytes: number): number {
  if (setOption(libc, fd, SOL_SOCKET, forced, bytes) < 0) setOption(libc, fd, SOL_SOCKET, plain, bytes);
  return grantedBuffer(libc, fd, plain);
}

function grantedBuffer(libc: Libc, fd: number, option: number): number {
  const value = kernelMemory(4);
  const length = kernelMemory(4);
  length[0] = 4;
  libc.getsockopt(fd, SOL_SOCKET, option, value, length);
  return new DataView(value.buffer).getInt32(0, true);
}

function boundAddress(libc: Libc, fd: number, scratch: Uint8Array): TransportAddress {
  const length = kernelMemory(4);
  length[0] = SOCKADDR_MAX;
  libc.getsockname(fd, scratch, length);
  const name = readSockaddr(scratch, 0);
  return { family: name.family, ip: scratch.slice(name.ipOffset, name.ipOffset + (name.family === 4 ? 4 : 16)), port: name.port };
}
