import type { IncomingHttpHeaders } from 'node:http';
import type { Place } from '../clusters/clusters.ts';
import { parseIp } from '../wire/address.ts';
import { placeOfCountry } from './countries.ts';
import type { GeoDatabase } from './geo-database.ts';
import type { Networks } from './networks.ts';

/** How the CDN or proxy in front says where a caller is. */
export const HEADER_SETS = ['cloudflare', 'cloudfront', 'generic'] as const;
export type HeaderSet = (typeof HEADER_SETS)[number];

/** How a caller's place became known, the most exact first; the metric's label. */
export const LOCATION_SOURCES = ['header', 'header-country', 'database', 'database-country', 'none'] as const;
export type LocationSource = (typeof LOCATION_SOURCES)[number];

export interface Location {
  readonly place: Place | null;
  readonly source: LocationSource;
}

export interface LocatorOptions {
  /** Null: headers say nothing. */
  readonly headers: HeaderSet | null;
  /** Who may say in headers where, and who, a caller is. */
  readonly proxies: Networks;
  readonly database: GeoDatabase | null;
}

interface HeaderNames {
  readonly latitude: string;
  readonly longitude: string;
  readonly country: string;
  /** Of the caller's address, which may come with a port. */
  readonly address: string | null;
}

const HEADER_NAMES: Readonly<Record<HeaderSet, HeaderNames>> = {
  cloudflare: { latitude: 'cf-iplatitude', longitude: 'cf-iplongitude', country: 'cf-ipcountry', address: 'cf-connecting-ip' },
  cloudfront: {
    latitude: 'cloudfront-viewer-latitude',
    longitude: 'cloudfront-viewer-longitude',
    country: 'cloudfront-viewer-country',
    address: 'cloudfront-viewer-address',
  },
  generic: { latitude: 'x-client-latitude', longitude: 'x-client-longitude', country: 'x-client-country', address: null },
};

/** Finds out who a caller is and where: from headers of a trusted proxy, else from a database of addresses. */
export class Locator {
  readonly #names: HeaderNames | null;
  readonly #proxies: Networks;
  readonly #database: GeoDatabase | null;

  constructor({ headers, proxies, database }: LocatorOptions) {
    this.#names = headers && HEADER_NAMES[headers];
    this.#proxies = proxies;
    this.#database = database;
  }

  /**
   * The caller's IP address: that of the connection, or what a trusted proxy says. Of `X-Forwarded-For` the last
   * address counts that is not a trusted proxy's, because whatever is before it the caller may have written.
   */
  address(peer: string | undefined, headers: IncomingHttpHeaders): Uint8Array | null {
    const connected = readAddress(peer ?? '');
    if (!this.#trusts(connected)) return connected;
    const named = this.#names?.address && readAddress(one(headers, this.#names.address));
    if (named) return named;
    let nearest = connected;
    for (const hop of one(headers, 'x-forwarded-for').split(',').toReversed()) {
      const ip = readAddress(hop.trim());
      if (ip === null) break;
      nearest = ip;
      if (!this.#trusts(ip)) break;
    }
    return nearest;
  }

  /** @param address of the caller, as {@link address} has it */
  locate(address: Uint8Array | null, peer: string | undefined, headers: IncomingHttpHeaders): Location {
    if (this.#names && this.#trusts(readAddress(peer ?? ''))) {
      const place = readPlace(one(headers, this.#names.latitude), one(headers, this.#names.longitude));
      if (place) return { place, source: 'header' };
      const country = placeOfCountry(one(headers, this.#names.country));
      if (country) return { place: country, source: 'header-country' };
    }
    const found = address && this.#database?.find(address);
    if (found?.place) return { place: found.place, source: 'database' };
    const country = found?.country && placeOfCountry(found.country);
    return country ? { place: country, source: 'database-country' } : { place: null, source: 'none' };
  }

  #trusts(ip: Uint8Array | null): boolean {
    return ip !== null && this.#proxies.contains(ip);
  }
}

/** `''` for none. Node joins what comes several times with commas. */
function one(headers: IncomingHttpHeaders, name: string): string {
  const value = headers[name];
  return typeof value === 'string' ? value : '';
}

function readPlace(north: string, east: string): Place | null {
  const [latitude, longitude] = [north, east].map((text) => (/^[+-]?\d{1,3}(\.\d{1,12})?$/.test(text) ? Number(text) : Number.NaN));
  return Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180 ? { latitude, longitude } : null;
}

/** An address alone, in brackets, or with a port: CloudFront writes `2001:db8::1:443` without brackets. */
function readAddress(text: string): Uint8Array | null {
  const plain = text.replace(/^\[([^\]]*)\](:\d+)?$/, '$1').replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1');
  return parseIp(plain) ?? parseIp(plain.replace(/:\d+$/, ''));
}
