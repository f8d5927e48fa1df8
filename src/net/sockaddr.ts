/**
 * The kernel's socket addresses (little-endian machines):
 *
 *   sockaddr_in:   family u16, port u16 (network order), address 4 bytes, 8 bytes of zero     = 16 bytes
 *   sockaddr_in6:  family u16, port u16 (network order), flow info u32, address 16 bytes, scope id u32 = 28 bytes
 */
export const AF_INET = 2;
export const AF_INET6 = 10;
/** Room that holds either, a multiple of eight. */
export const SOCKADDR_MAX = 32;

const SOCKADDR_IN = 16;
const SOCKADDR_IN6 = 28;

/** Which address a `sockaddr` holds. `readSockaddr` fills the one that it is given, or a new one. */
export class SockaddrView {
  family: 4 | 6 = 4;
  ipOffset = 0;
  port = 0;
}

/** Reads in place. An IPv4-mapped IPv6 address is family 4. */
export function readSockaddr(memory: Uint8Array, at: number, out = new SockaddrView()): SockaddrView {
  out.port = (memory[at + 2] << 8) | memory[at + 3];
  if (memory[at] === AF_INET) {
    out.family = 4;
    out.ipOffset = at + 4;
  } else if (isMapped(memory, at + 8)) {
    out.family = 4;
    out.ipOffset = at + 20;
  } else {
    out.family = 6;
    out.ipOffset = at + 8;
  }
  return out;
}

/**
 * Writes the address for a socket of `socketFamily`; returns the length of the `sockaddr`. An IPv4 address for an
 * IPv6 socket becomes IPv4-mapped; an IPv6 address must not be given for an IPv4 socket.
 */
export function writeSockaddr(
  memory: Uint8Array,
  at: number,
  socketFamily: 4 | 6,
  family: 4 | 6,
  ip: Uint8Array,
  ipOffset: number,
  port: number,
): number {
  memory[at] = socketFamily === 4 ? AF_INET : AF_INET6;
  memory[at + 1] = 0;
  memory[at + 2] = port >> 8;
  memory[at + 3] = port;
  if (socketFamily === 4) {
    for (let i = 0; i < 4; i++) memory[at + 4 + i] = ip[ipOffset + i];
    return SOCKADDR_IN;
  }
  if (family === 6) {
    for (let i = 0; i < 16; i++) memory[at + 8 + i] = ip[ipOffset + i];
    return SOCKADDR_IN6;
  }
  for (let i = 0; i < 10; i++) memory[at + 8 + i] = 0;
  memory[at + 18] = 0xff;
  memory[at + 19] = 0xff;
  for (let i = 0; i < 4; i++) memory[at + 20 + i] = ip[ipOffset + i];
  return SOCKADDR_IN6;
}

function isMapped(memory: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (memory[at + i] !== 0) return false;
  return memory[at + 10] === 0xff && memory[at + 11] === 0xff;
}
