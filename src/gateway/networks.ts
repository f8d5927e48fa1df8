import { parseIp } from '../wire/address.ts';

/** This machine and private use: where proxies and load balancers of a deployment are, unless it says otherwise. */
export const DEFAULT_TRUSTED_PROXIES: readonly string[] = [
  '127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '::1/128', 'fc00::/7',
];

interface Network {
  readonly ip: Uint8Array;
  readonly bits: number;
}

/** A set of IPv4 and IPv6 networks. */
export class Networks {
  readonly #list: readonly Network[];

  /** @throws {RangeError} with a message that says which text is no network and what one looks like. */
  constructor(networks: readonly string[]) {
    this.#list = networks.map(parseNetwork);
  }

  contains(ip: Uint8Array): boolean {
    return this.#list.some((network) => network.ip.length === ip.length && sharesPrefix(network, ip));
  }
}

function sharesPrefix({ ip, bits }: Network, other: Uint8Array): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (ip[i] !== other[i]) return false;
  const rest = bits & 7;
  return rest === 0 || (ip[whole] ^ other[whole]) >> (8 - rest) === 0;
}

/** @throws {RangeError} */
function parseNetwork(text: string): Network {
  const [host, prefix] = text.split('/') as [string, string | undefined];
  const ip = parseIp(host);
  const width = ip ? ip.length * 8 : 0;
  const bits = prefix === undefined ? width : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!ip || !(bits <= width)) throw new RangeError(`"${text}" is not a network: write 10.0.0.0/8, 2001:db8::/32 or one address`);
  return { ip, bits };
}
