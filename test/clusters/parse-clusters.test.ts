import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { ClustersError, parseClusters } from '../../src/clusters/parse-clusters.ts';
import { formatAddress } from '../../src/wire/address.ts';

const MINIMAL = { id: 1, name: 'one', latitude: 50, longitude: 8, signaling: 'http://127.0.0.1:8080' };

test('the commented example says what its comments say', () => {
  const text = readFileSync(new URL('../../../docs/clusters.example.yaml', import.meta.url), 'utf8');
  const { list, byId, ingress } = parseClusters(text);
  assert.deepEqual(list.map(({ name }) => name), ['frankfurt', 'virginia']);
  const [frankfurt, virginia] = list;
  assert.equal(byId.get(2), virginia);
  assert.equal(frankfurt.signaling.origin, 'https://frankfurt.voice.example.com');
  assert.deepEqual(frankfurt.trunk.map(formatAddress), ['10.1.0.5:7000', '10.1.0.6:7000']);
  assert.equal(frankfurt.capacity, 4000);
  assert.equal(virginia.capacity, null);
  assert.equal(virginia.transceiver, 'http://{ip}:8080');
  assert.deepEqual(frankfurt.ingress[0].place, frankfurt.place, 'an ingress stands where its cluster is');
  assert.deepEqual(virginia.ingress[1].place, { latitude: 41.88, longitude: -87.63 });
  assert.deepEqual([frankfurt.ingress[0], frankfurt.ingress[1], ingress[0]].map(({ http }) => http?.origin ?? null), ['http://10.1.0.5:9090', null, 'http://10.9.0.1:9090']);
  assert.deepEqual([...frankfurt.ingress, ...virginia.ingress, ...ingress].map((entry) => entry.global), [true, true, false, false, true]);
});

test('a cluster needs no more than its name, place and signaling', () => {
  const [cluster] = parseClusters(stringify({ clusters: [MINIMAL] })).list;
  assert.deepEqual({ ...cluster, signaling: cluster.signaling.origin }, {
    id: 1, name: 'one', place: { latitude: 50, longitude: 8 }, signaling: 'http://127.0.0.1:8080',
    transceiver: null, trunk: [], direct: false, capacity: null, ingress: [],
  });
});

test('what cannot be used is refused with words that name its place in the file', () => {
  const cluster = (change: object): string => stringify({ clusters: [MINIMAL, { ...MINIMAL, id: 2, name: 'two', ...change }] });
  const cases: [text: string, words: RegExp][] = [
    ['', /^the file: /],
    ['clusters: [', /at line 1/],
    ['a: &x [1]\nclusters: [*x]', /alias/i],
    ['clusters: []', /^clusters: there must be at least one cluster$/],
    [stringify({ clusters: [MINIMAL], regions: [] }), /^the file: .*regions/],
    [cluster({ colour: 'red' }), /^clusters\[1\]: .*colour/],
    [cluster({ latitude: 91 }), /^clusters\[1\]\.latitude: /],
    [cluster({ latitude: '50' }), /^clusters\[1\]\.latitude: /],
    [cluster({ id: 65_536 }), /^clusters\[1\]\.id: /],
    [cluster({ id: 1 }), /^clusters\[1\]\.id: 1 is that of clusters\[0\] already$/],
    [cluster({ name: 'one' }), /^clusters\[1\]\.name: one is that of clusters\[0\] already$/],
    [cluster({ name: 'São Paulo' }), /^clusters\[1\]\.name: write a name/],
    [cluster({ signaling: 'ftp://host' }), /^clusters\[1\]\.signaling: "ftp:\/\/host" is not an origin/],
    [cluster({ signaling: 'http://host/path' }), /^clusters\[1\]\.signaling: /],
    [cluster({ ingress: [{ address: '192.0.2.1:1', http: '10.0.0.1:9090' }] }), /^clusters\[1\]\.ingress\[0\]\.http: .* is not an origin/],
    [cluster({ transceiver: 'http://host:8080' }), /^clusters\[1\]\.transceiver: .*\{ip\}/],
    [cluster({ trunk: ['10.0.0.1'] }), /^clusters\[1\]\.trunk\[0\]: "10\.0\.0\.1" is not an address/],
    [cluster({ ingress: [{ address: '10.0.0.1:0' }] }), /^clusters\[1\]\.ingress\[0\]\.address: /],
    [cluster({ ingress: [{ address: '10.0.0.1:1', latitude: 3 }] }), /^clusters\[1\]\.ingress\[0\]: give both/],
    [cluster({ ingress: [{ address: '10.0.0.1:1' }, { address: '10.0.0.1:1' }] }), /10\.0\.0\.1:1 is listed twice/],
    [stringify({ clusters: [MINIMAL], ingress: [{ address: '10.0.0.1:1' }] }), /^ingress\[0\]\.latitude: /],
  ];
  for (const [text, words] of cases) {
    assert.throws(() => parseClusters(text), (error: Error) => error instanceof ClustersError && words.test(error.message) || assert.fail(`${text}\n→ ${error.message}`));
  }
});
