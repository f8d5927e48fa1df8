import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Place } from '../../src/clusters/clusters.ts';
import { placeOfCountry } from '../../src/gateway/countries.ts';
import { GeoDatabase } from '../../src/gateway/geo-database.ts';
import { Locator, HEADER_SETS, type HeaderSet, type LocationSource } from '../../src/gateway/locate.ts';
import { DEFAULT_TRUSTED_PROXIES, Networks } from '../../src/gateway/networks.ts';
import { formatIp } from '../../src/wire/address.ts';
import { writeMmdb } from './support/mmdb.ts';

const proxies = new Networks([...DEFAULT_TRUSTED_PROXIES, '198.51.100.0/24', '2001:db8:c::/48']);
const PARIS = { latitude: 48.9, longitude: 2.4 };
const TOKYO = placeOfCountry('JP');

async function withDatabase(run: (database: GeoDatabase) => void): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'earshot-mmdb-'));
  const file = path.join(folder, 'geo.mmdb');
  await writeFile(file, writeMmdb({
    '203.0.113.0/24': { location: { latitude: 48.9, longitude: 2.4 }, country: { iso_code: 'FR' } },
    '203.0.112.0/24': { country: { iso_code: 'JP' } },
    '203.0.111.0/24': { country_code: 'JP', lat: '48.9', lng: '2.4' },
    '203.0.110.0/24': { country: 'JP' },
    '203.0.109.0/24': { location: { latitude: 480.9, longitude: 2.4 }, country: { iso_code: '??' } },
  }));
  run(await GeoDatabase.open(file));
  await writeFile(file, 'no database');
  await assert.rejects(GeoDatabase.open(file), /--geoip .* cannot be used: it is no database in MMDB format\./);
  await rm(folder, { recursive: true });
  await assert.rejects(GeoDatabase.open(file), /there is no such file\./);
}

test('the place comes from the best source that may be believed', async () => {
  await withDatabase((database) => {
    const cases: [set: HeaderSet | null, peer: string, headers: Record<string, string>, place: Place | null, source: LocationSource][] = [
      ['cloudflare', '10.0.0.1', { 'cf-iplatitude': '48.9', 'cf-iplongitude': '2.4', 'cf-ipcountry': 'JP' }, PARIS, 'header'],
      ['cloudflare', '::ffff:10.0.0.1', { 'cf-iplatitude': '48.9', 'cf-iplongitude': '2.4' }, PARIS, 'header'],
      ['cloudflare', '2001:db8:c::9', { 'cf-ipcountry': 'jp' }, TOKYO, 'header-country'],
      ['cloudflare', '10.0.0.1', { 'cf-iplatitude': '98.9', 'cf-iplongitude': '2.4', 'cf-ipcountry': 'JP' }, TOKYO, 'header-country'],
      ['cloudflare', '10.0.0.1', { 'cf-iplatitude': '0x1', 'cf-iplongitude': '' }, null, 'none'],
      ['cloudflare', '10.0.0.1', { 'cf-ipcountry': 'T1' }, null, 'none'],
      ['cloudfront', '198.51.100.7', { 'cloudfront-viewer-latitude': '48.90000', 'cloudfront-viewer-longitude': '2.40000' }, PARIS, 'header'],
      ['generic', '127.0.0.1', { 'x-client-latitude': '48.9', 'x-client-longitude': '+2.4' }, PARIS, 'header'],
      // Not of the set that is trusted, or not of a proxy that is.
      ['cloudfront', '10.0.0.1', { 'cf-iplatitude': '48.9', 'cf-iplongitude': '2.4' }, null, 'none'],
      [null, '10.0.0.1', { 'cf-iplatitude': '48.9', 'cf-iplongitude': '2.4' }, null, 'none'],
      ['cloudflare', '192.0.2.1', { 'cf-iplatitude': '48.9', 'cf-iplongitude': '2.4', 'cf-ipcountry': 'JP' }, null, 'none'],
      // The database, by the caller's own address.
      ['cloudflare', '203.0.113.9', { 'cf-ipcountry': 'JP' }, PARIS, 'database'],
      ['cloudflare', '10.0.0.1', { 'cf-connecting-ip': '203.0.113.9' }, PARIS, 'database'],
      ['cloudfront', '10.0.0.1', { 'cloudfront-viewer-address': '203.0.113.9:49152' }, PARIS, 'database'],
      [null, '10.0.0.1', { 'x-forwarded-for': '203.0.113.9' }, PARIS, 'database'],
      [null, '203.0.112.9', {}, TOKYO, 'database-country'],
      [null, '203.0.111.9', {}, PARIS, 'database'],
      [null, '203.0.110.9', {}, TOKYO, 'database-country'],
      [null, '203.0.109.9', {}, null, 'none'],
      [null, '203.0.108.9', {}, null, 'none'],
    ];
    for (const [set, peer, headers, place, source] of cases) {
      const locator = new Locator({ headers: set, proxies, database });
      assert.deepEqual(locator.locate(locator.address(peer, headers), peer, headers), { place, source }, `${set} ${peer} ${JSON.stringify(headers)}`);
    }
  });
});

test("the caller's address is the last one that only a trusted proxy can have written", () => {
  const cases: [set: HeaderSet | null, peer: string | undefined, headers: Record<string, string>, address: string | null][] = [
    [null, '192.0.2.1', { 'x-forwarded-for': '203.0.113.9' }, '192.0.2.1'],
    [null, '10.0.0.1', { 'x-forwarded-for': '1.1.1.1, 203.0.113.9' }, '203.0.113.9'],
    [null, '10.0.0.1', { 'x-forwarded-for': '1.1.1.1, 203.0.113.9, 198.51.100.7' }, '203.0.113.9'],
    [null, '10.0.0.1', { 'x-forwarded-for': '203.0.113.9:5000' }, '203.0.113.9'],
    [null, '10.0.0.1', { 'x-forwarded-for': '[2001:db8::7]:5000' }, '2001:db8::7'],
    [null, '10.0.0.1', { 'x-forwarded-for': '203.0.113.9, unknown' }, '10.0.0.1'],
    [null, '10.0.0.1', { 'x-forwarded-for': '10.0.0.3, 10.0.0.2' }, '10.0.0.3'],
    [null, '10.0.0.1', {}, '10.0.0.1'],
    ['cloudflare', '10.0.0.1', { 'cf-connecting-ip': '2001:db8::7', 'x-forwarded-for': '1.1.1.1' }, '2001:db8::7'],
    ['cloudflare', '192.0.2.1', { 'cf-connecting-ip': '203.0.113.9' }, '192.0.2.1'],
    ['cloudfront', '10.0.0.1', { 'cloudfront-viewer-address': '2001:db8:0:1:2:3:4:5:443' }, '2001:db8:0:1:2:3:4:5'],
    [null, undefined, {}, null],
  ];
  for (const [set, peer, headers, expected] of cases) {
    const address = new Locator({ headers: set, proxies, database: null }).address(peer, headers);
    assert.equal(address && formatIp(address), expected, `${set} ${peer} ${JSON.stringify(headers)}`);
  }
});

test('no header crashes the reading, or brings a place that is not on Earth', () => {
  const locators = HEADER_SETS.map((headers) => new Locator({ headers, proxies, database: null }));
  const text = fc.oneof(fc.string({ maxLength: 40 }), fc.double().map(String));
  fc.assert(
    fc.property(fc.nat(2), text, text, text, (set, a, b, c) => {
      const headers = {
        'cf-iplatitude': a, 'cf-iplongitude': b, 'cf-ipcountry': c, 'cf-connecting-ip': c, 'x-forwarded-for': c,
        'cloudfront-viewer-latitude': a, 'cloudfront-viewer-longitude': b, 'cloudfront-viewer-country': c, 'cloudfront-viewer-address': c,
        'x-client-latitude': a, 'x-client-longitude': b, 'x-client-country': c,
      };
      const { place } = locators[set].locate(locators[set].address('10.0.0.1', headers), '10.0.0.1', headers);
      return place === null || (Math.abs(place.latitude) <= 90 && Math.abs(place.longitude) <= 180);
    }),
    { numRuns: 50_000 },
  );
});

test('every country has a place on Earth', () => {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'.split('');
  const places = letters.flatMap((a) => letters.flatMap((b) => placeOfCountry(a + b) ?? []));
  assert.equal(places.length, 249);
  for (const { latitude, longitude } of places) assert.ok(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180);
  assert.deepEqual(placeOfCountry('fr'), { latitude: 48.9, longitude: 2.3 });
  assert.equal(placeOfCountry('ZZ'), null);
});

test('a network that is none is refused by name', () => {
  for (const text of ['10.0.0.0/33', '10.0.0/8', 'fc00::/129', 'cloudflare', '']) assert.throws(() => new Networks([text]), new RegExp(`"${text}" is not a network`));
  assert.ok(new Networks(['0.0.0.0/0']).contains(Uint8Array.of(8, 8, 8, 8)));
});
