import { BlockList } from 'node:net';
import { formatIp, parseIp } from '../wire/address.ts';

/** This machine and private use: where proxies and load balancers of a deployment are, unless it says otherwise. */
export const DEFAULT_TRUSTED_PROXIES: readonly string[] = [
  '127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '::1/128', 'fc00::/7',
];

/** A set of IPv4 and IPv6 networks. */
export class Networks {
  readonly #list = new BlockList();

  /** @throws {RangeError} with a message that says which text is no network and what one looks like. */
  constructor(networks: readonly string[]) {
    for (const text of networks) {
      const { ip, bits } = parseNetwork(text);
      this.#list.addSubnet(formatIp(ip), bits, familyOf(ip));
    }
  }

  contains(ip: Uint8Array): boolean {
    return this.#list.check(formatIp(ip), familyOf(ip));
  }
}

/** @throws {RangeError} */
function parseNetwork(text: string): { ip: Uint8Array; bits: number } {
  const [host, prefix] = text.split('/') as [string, string | undefined];
  const ip = parseIp(host);
  const width = ip ? ip.length * 8 : 0;
  const bits = prefix === undefined ? width : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!ip || !(bits <= width)) throw new RangeError(`"${text}" is not a network: write 10.0.0.0/8, 2001:db8::/32 or one address`);
  return { ip, bits };
}

function familyOf(ip: Uint8Array): 'ipv4' | 'ipv6' {
  return ip.length === 4 ? 'ipv4' : 'ipv6';
}
