import { lookup } from 'node:dns/promises';
import type { Logger } from '../observe/log.ts';
import { formatAddress, parseAddress, parseIp, type TransportAddress } from '../wire/address.ts';
import { isAddress } from './values.ts';

/** How often names are resolved anew, ms. */
const REFRESH_MS = 5000;

/** All IPv4 addresses of a host. @throws when it has none. */
export type HostLookup = (host: string) => Promise<readonly string[]>;

/**
 * The addresses behind texts of `host:port`, followed for as long as the process runs: a name stands for all its IPv4
 * addresses. One that cannot be resolved at the moment keeps those that it had, with one line in the log.
 */
export class ResolvedAddresses {
  readonly #hosts: readonly Host[];
  readonly #logger: Logger;
  readonly #lookup: HostLookup;
  readonly #listeners: ((addresses: readonly TransportAddress[]) => void)[] = [];
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  /** Resolves when each name has been asked for once; it may have no address yet. */
  static async open(texts: readonly string[], logger: Logger, lookUp: HostLookup = lookUpIpv4, refreshMs = REFRESH_MS): Promise<ResolvedAddresses> {
    const opened = new ResolvedAddresses(texts, logger, lookUp);
    await opened.#refresh();
    if (opened.#hosts.some(({ name }) => name !== null)) opened.#follow(refreshMs);
    return opened;
  }

  private constructor(texts: readonly string[], logger: Logger, lookUp: HostLookup) {
    this.#hosts = texts.map(readHost);
    this.#logger = logger;
    this.#lookup = lookUp;
  }

  /** Each address once. */
  get current(): readonly TransportAddress[] {
    const all = this.#hosts.flatMap(({ addresses }) => addresses);
    return [...new Map(all.map((address) => [formatAddress(address), address])).values()];
  }

  /** Told when the addresses have changed. */
  onChange(listener: (addresses: readonly TransportAddress[]) => void): void {
    this.#listeners.push(listener);
  }

  /** Follows no more. Idempotent. */
  close(): void {
    this.#isClosed = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  #follow(refreshMs: number): void {
    const next = async (): Promise<void> => {
      await this.#refresh();
      if (!this.#isClosed) this.#follow(refreshMs);
    };
    this.#timer = setTimeout(() => void next(), refreshMs).unref();
  }

  async #refresh(): Promise<void> {
    const before = keyOf(this.current);
    await Promise.all(this.#hosts.map((host) => this.#resolve(host)));
    const { current } = this;
    if (this.#isClosed || keyOf(current) === before) return;
    for (const listener of this.#listeners) listener(current);
  }

  async #resolve(host: Host): Promise<void> {
    const { name, port } = host;
    if (name === null) return;
    try {
      const ips = await this.#lookup(name);
      host.addresses = ips.flatMap((text) => {
        const ip = parseIp(text);
        return ip?.length === 4 ? [{ family: 4 as const, ip, port }] : [];
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!host.isAway) this.#logger.warn({ host: name, addresses: host.addresses.map(formatAddress), reason }, 'a host name cannot be resolved; its last addresses stay');
      host.isAway = true;
      return;
    }
    if (host.isAway) this.#logger.info({ host: name, addresses: host.addresses.map(formatAddress) }, 'the host name is resolved again');
    host.isAway = false;
  }
}

interface Host {
  /** Null for one that was given as an address. */
  readonly name: string | null;
  readonly port: number;
  addresses: readonly TransportAddress[];
  /** Whether it could not be resolved the last time. */
  isAway: boolean;
}

function readHost(text: string): Host {
  const at = text.lastIndexOf(':');
  const port = Number(text.slice(at + 1));
  if (isAddress(text)) return { name: null, port, addresses: [parseAddress(text)], isAway: false };
  return { name: text.slice(0, at), port, addresses: [], isAway: false };
}

function keyOf(addresses: readonly TransportAddress[]): string {
  return addresses.map(formatAddress).toSorted().join();
}

async function lookUpIpv4(host: string): Promise<readonly string[]> {
  return (await lookup(host, { family: 4, all: true })).map(({ address }) => address);
}
