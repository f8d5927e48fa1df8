import { isIPv4, isIPv6 } from 'node:net';

/**
 * A UDP transport address (RFC 8445, section 1): IP address in network byte order and port.
 * Instances are immutable. Where packets are handled they are interned by the socket that received them, so that
 * comparing two of them is usually one identity check.
 */
export interface TransportAddress {
  readonly family: 4 | 6;
  /** 4 or 16 bytes, network byte order. IPv4-mapped IPv6 addresses (::ffff:a.b.c.d) do not occur: they are family 4. */
  readonly ip: Uint8Array;
  readonly port: number;
}

/** True when both name the same IP address and port. */
export function sameAddress(a: TransportAddress, b: TransportAddress): boolean {
  if (a === b) return true;
  if (a.port !== b.port || a.family !== b.family) return false;
  for (let i = 0; i < a.ip.length; i++) if (a.ip[i] !== b.ip[i]) return false;
  return true;
}

/** Text form: `192.0.2.1:5000` or `[2001:db8::1]:5000` (RFC 5952). */
export function formatAddress(address: TransportAddress): string {
  return address.family === 4
    ? `${formatIp(address.ip)}:${address.port}`
    : `[${formatIp(address.ip)}]:${address.port}`;
}

/** Text form of 4 or 16 address bytes, IPv6 as RFC 5952 recommends. */
export function formatIp(ip: Uint8Array): string {
  if (ip.length === 4) return ip.join('.');
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((ip[i] << 8) | ip[i + 1]);
  const run = longestZeroRun(groups);
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

/**
 * Reads `host:port` where host is an IPv4 address, or an IPv6 address in brackets. Port 0 is allowed (any free port).
 * @throws {RangeError} with a message that says what is expected.
 */
export function parseAddress(text: string): TransportAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const ip = match && parseIp(match[1] ?? match[2]);
  const port = match ? Number(match[3]) : Number.NaN;
  if (!ip || !(port <= 65535)) {
    throw new RangeError(`"${text}" is not an address: write 192.0.2.1:3478 or [2001:db8::1]:3478`);
  }
  return { family: ip.length === 4 ? 4 : 6, ip, port };
}

/** Bytes of an IPv4 or IPv6 address in text form, or null. IPv4-mapped IPv6 becomes IPv4. A zone (%eth0) is refused. */
export function parseIp(text: string): Uint8Array | null {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%')) return null;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  let plain = text;
  if (dotted) {
    const [a, b, c, d] = dotted[2].split('.').map(Number) as [number, number, number, number];
    plain = `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head, tail] = plain.split('::') as [string, string | undefined];
  const left = head ? head.split(':') : [];
  const right = tail ? tail.split(':') : [];
  const middle = tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill('0');
  const ip = new Uint8Array(16);
  [...left, ...middle, ...right].forEach((group, i) => {
    const value = Number.parseInt(group, 16);
    ip[2 * i] = value >> 8;
    ip[2 * i + 1] = value & 0xff;
  });
  return isMappedIPv4(ip) ? ip.slice(12) : ip;
}

function isMappedIPv4(ip: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (ip[i] !== 0) return false;
  return ip[10] === 0xff && ip[11] === 0xff;
}

function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let i = 0; i < groups.length; i++) {
    let length = 0;
    while (i + length < groups.length && groups[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
  }
  return best;
}
