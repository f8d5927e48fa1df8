import type { TransportAddress } from '../wire/address.ts';
import { openDgramSocket } from './dgram-socket.ts';
import { loadLibc } from './libc.ts';
import { openMmsgSocket } from './mmsg-socket.ts';
import type { UdpSocket, UdpSocketHandler } from './udp-socket.ts';

/** `mmsg`: Linux, batched system calls through koffi. `dgram`: node:dgram, everywhere. `auto`: mmsg where it runs. */
export type UdpEngine = 'auto' | 'mmsg' | 'dgram';

export interface UdpSocketOptions {
  /** Port 0 takes any free port. `[::]` serves IPv4 as well. */
  readonly address: TransportAddress;
  readonly handler: UdpSocketHandler;
  /** Socket buffers, bytes; the system may grant less. */
  readonly receiveBuffer?: number;
  readonly sendBuffer?: number;
  readonly engine?: UdpEngine;
}

/** Holds a scheduling delay of 50 ms at 50,000 packets a second. */
export const DEFAULT_SOCKET_BUFFER = 4 * 1024 * 1024;

/** The engine that `auto` means on this machine. */
export function resolveEngine(engine: UdpEngine): 'mmsg' | 'dgram' {
  if (engine !== 'auto') return engine;
  const libc = loadLibc();
  return typeof libc === 'string' || libc.watch === null ? 'dgram' : 'mmsg';
}

/**
 * Opens a UDP socket on the event loop.
 * @throws {NetError} `EADDRINUSE` and the like, or `ENOSYS` when the engine asked for cannot run here.
 */
export async function openUdpSocket(options: UdpSocketOptions): Promise<UdpSocket> {
  const { address, handler, receiveBuffer = DEFAULT_SOCKET_BUFFER, sendBuffer = DEFAULT_SOCKET_BUFFER } = options;
  const open = resolveEngine(options.engine ?? 'auto') === 'mmsg' ? openMmsgSocket : openDgramSocket;
  return open({ address, handler, receiveBuffer, sendBuffer });
}
