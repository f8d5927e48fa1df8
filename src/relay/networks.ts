import { formatIp, parseIp } from '../wire/address.ts';

/** Networks in which trunk peers may be unless configured: this machine and private use (RFC 1918). */
export const DEFAULT_ALLOWED_TARGETS: readonly string[] = ['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'];

/** A set of IPv4 networks. The trunk is IPv4; transceivers at other addresses are named by node ids. */
export class NetworkList {
  readonly #networks: Int32Array;
  readonly #masks: Int32Array;

  /** @throws {RangeError} as {@link parseNetwork}. */
  constructor(networks: readonly string[]) {
    const parsed = networks.map(parseNetwork);
    this.#networks = Int32Array.from(parsed, ({ network }) => network);
    this.#masks = Int32Array.from(parsed, ({ mask }) => mask);
  }

  /** Whether the four address bytes at `offset` lie in one of the networks. */
  contains(ip: Uint8Array, offset: number): boolean {
    const address = readInt32(ip, offset);
    for (let i = 0; i < this.#masks.length; i++) if ((address & this.#masks[i]) === this.#networks[i]) return true;
    return false;
  }
}

/** @throws {RangeError} with a message that says which text is no network and what one looks like. */
function parseNetwork(text: string): { network: number; mask: number } {
  const [host, prefix] = text.split('/') as [string, string | undefined];
  const ip = parseIp(host);
  const bits = prefix === undefined ? 32 : /^\d{1,2}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (ip === null || ip.length !== 4 || !(bits <= 32)) {
    throw new RangeError(`"${text}" is not an IPv4 network: write 10.0.0.0/8, or one address as 192.0.2.1`);
  }
  const mask = bits === 0 ? 0 : -1 << (32 - bits);
  const address = readInt32(ip, 0);
  if ((address & mask) !== address) {
    throw new RangeError(`"${text}" has bits set beyond its /${bits}: ${formatIp(ip)} is an address in that network`);
  }
  return { network: address & mask, mask };
}

function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}
