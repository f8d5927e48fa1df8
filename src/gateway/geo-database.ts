import { readFile, stat } from 'node:fs/promises';
import { Reader, type Response } from 'mmdb-lib';
import type { Place } from '../clusters/clusters.ts';
import { formatIp } from '../wire/address.ts';

/** What a database says of one address. */
export interface GeoEntry {
  readonly place: Place | null;
  /** ISO 3166-1 alpha-2. */
  readonly country: string | null;
}

/** A database of IP addresses in MaxMind's format, as MaxMind, DB-IP, IPinfo and others publish it. */
export class GeoDatabase {
  readonly #reader: Reader<Response>;

  private constructor(reader: Reader<Response>) {
    this.#reader = reader;
  }

  /** @throws {Error} with a sentence that says what is wrong with the file. */
  static async open(file: string): Promise<GeoDatabase> {
    return new GeoDatabase(await readDatabase(file));
  }

  /** Null for an address that the database does not have. */
  find(ip: Uint8Array): GeoEntry | null {
    const record: unknown = this.#reader.get(formatIp(ip));
    if (!isObject(record)) return null;
    return { place: placeIn(record), country: countryIn(record) };
  }
}

async function readDatabase(file: string): Promise<Reader<Response>> {
  try {
    return new Reader(await readFile(file));
  } catch (error) {
    const reason = (await stat(file).catch(() => null)) ? 'it is no database in MMDB format' : 'there is no such file';
    throw new Error(`--geoip ${file} cannot be used: ${reason}.`, { cause: error });
  }
}

/** `location: { latitude, longitude }`, or `lat` and `lng` at the top, which are text in some. */
function placeIn(record: Record<string, unknown>): Place | null {
  const at = isObject(record['location']) ? record['location'] : record;
  const latitude = numberIn(at['latitude'] ?? at['lat']);
  const longitude = numberIn(at['longitude'] ?? at['lng']);
  return Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180 ? { latitude, longitude } : null;
}

/** `country: { iso_code }`, or `country_code` or `country` at the top. */
function countryIn(record: Record<string, unknown>): string | null {
  const { country, country_code: code = country } = record;
  const value = isObject(country) ? country['iso_code'] : code;
  return typeof value === 'string' ? value : null;
}

function numberIn(value: unknown): number {
  if (typeof value === 'number') return value;
  return typeof value === 'string' && value !== '' ? Number(value) : Number.NaN;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
