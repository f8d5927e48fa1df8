import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Cluster, Clusters, Ingress, Place } from '../../src/clusters/clusters.ts';
import { distanceKm } from '../../src/gateway/distance.ts';
import type { IngressCondition } from '../../src/gateway/ingress-health.ts';
import { chooseIngress, CONDITIONS, reasonFor, steer, type ClusterState, type Condition, type Reason } from '../../src/gateway/steer.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';

const PLACES = {
  frankfurt: { latitude: 50.1, longitude: 8.7 },
  virginia: { latitude: 39, longitude: -77.5 },
  tokyo: { latitude: 35.7, longitude: 139.7 },
  paris: { latitude: 48.9, longitude: 2.4 },
  boston: { latitude: 42.4, longitude: -71.1 },
  sydney: { latitude: -33.9, longitude: 151.2 },
  auckland: { latitude: -36.8, longitude: 174.8 },
  honolulu: { latitude: 21.3, longitude: -157.9 },
} satisfies Record<string, Place>;
type Name = keyof typeof PLACES;
const CLUSTER_NAMES = ['frankfurt', 'virginia', 'tokyo'] as const;

function cluster(name: Name, id: number, ingress: readonly Ingress[] = []): Cluster {
  return { id, name, place: PLACES[name], signaling: new URL('http://127.0.0.1:1'), transceiver: null, trunk: [], direct: false, capacity: null, ingress };
}

/** `0.5` is ready with that load; a word is another condition. */
type Short = number | Exclude<Condition, 'ready'>;
const CLUSTERS = CLUSTER_NAMES.map((name, id) => cluster(name, id));
function statesOf(shorts: readonly Short[]): ClusterState[] {
  return shorts.map((short, i) => ({
    cluster: CLUSTERS[i],
    condition: typeof short === 'number' ? 'ready' : short,
    load: typeof short === 'number' ? short : 0,
  }));
}

test('distances are those of the globe', () => {
  const cases: [Name, Name, number][] = [
    ['frankfurt', 'paris', 472],
    ['frankfurt', 'virginia', 6_539],
    ['auckland', 'honolulu', 7_076],
    ['sydney', 'tokyo', 7_827],
  ];
  for (const [a, b, km] of cases) assert.ok(Math.abs(distanceKm(PLACES[a], PLACES[b]) - km) < km * 0.01, `${a} ${b} ${distanceKm(PLACES[a], PLACES[b])}`);
});

test('each caller gets the cluster that the table says, for the reason that it says', () => {
  const cases: [caller: Name | null, states: Short[], order: string, reason: Reason][] = [
    ['paris', [0, 0, 0], 'frankfurt virginia tokyo', 'nearest'],
    ['boston', [0, 0, 0], 'virginia frankfurt tokyo', 'nearest'],
    ['sydney', [0, 0, 0], 'tokyo virginia frankfurt', 'nearest'],
    ['honolulu', [0, 0, 0], 'tokyo virginia frankfurt', 'nearest'],
    // Load up to 70 % moves nobody; near the limit the callers at the edge go first.
    ['paris', [0.7, 0, 0], 'frankfurt virginia tokyo', 'nearest'],
    ['paris', [0.98, 0, 0], 'frankfurt virginia tokyo', 'nearest'],
    ['honolulu', [0, 0, 0.95], 'virginia tokyo frankfurt', 'spill-over'],
    ['sydney', [0, 0, 0.95], 'tokyo virginia frankfurt', 'nearest'],
    // Full and dead ones are the last resort, in the order of hope.
    ['paris', [1, 0.2, 0.2], 'virginia tokyo frankfurt', 'spill-over'],
    ['paris', ['full', 0.2, 0.2], 'virginia tokyo frankfurt', 'spill-over'],
    ['paris', ['unreachable', 0.99, 0], 'tokyo virginia frankfurt', 'fail-over'],
    ['paris', ['not-ready', 0, 0], 'virginia tokyo frankfurt', 'fail-over'],
    ['paris', ['unknown', 0, 0], 'virginia tokyo frankfurt', 'fail-over'],
    ['paris', ['unreachable', 'not-ready', 'full'], 'tokyo virginia frankfurt', 'fail-over'],
    ['paris', ['unknown', 'unknown', 'unknown'], 'frankfurt virginia tokyo', 'nearest'],
    // Nobody knows where the caller is.
    [null, [0, 0, 0], 'frankfurt virginia tokyo', 'first-listed'],
    [null, [0.99, 0, 0], 'virginia tokyo frankfurt', 'spill-over'],
    [null, ['unreachable', 'full', 0], 'tokyo virginia frankfurt', 'fail-over'],
  ];
  for (const [caller, states, order, reason] of cases) {
    const candidates = steer(caller && PLACES[caller], statesOf(states));
    const told = `${caller} ${JSON.stringify(states)}`;
    assert.equal(candidates.map(({ cluster: { name } }) => name).join(' '), order, told);
    assert.equal(reasonFor(candidates[0], candidates, new Set()), reason, told);
  }
});

test('a nearer cluster that was asked and failed makes it a fail-over', () => {
  const candidates = steer(PLACES.paris, statesOf([0, 0, 0]));
  assert.equal(reasonFor(candidates[1], candidates, new Set([candidates[0].cluster])), 'fail-over');
  assert.equal(reasonFor(candidates[1], candidates, new Set()), 'spill-over', 'one that said it was full');
});

const place = fc.record({ latitude: fc.integer({ min: -90, max: 90 }), longitude: fc.integer({ min: -180, max: 180 }) });
const state = fc.record({ place, condition: fc.constantFrom(...CONDITIONS), load: fc.double({ min: 0, max: 1.2, noNaN: true }) });
const world = fc.array(state, { minLength: 1, maxLength: 12 }).map((list): ClusterState[] =>
  list.map(({ place: at, condition, load }, id) => ({ cluster: { ...CLUSTERS[0], id, name: `c${id}`, place: at }, condition, load })),
);

test('never a full or dead cluster while another is alive and has room, wherever the caller is', () => {
  const hasRoom = ({ condition, load }: ClusterState): boolean => condition === 'ready' && load < 1;
  fc.assert(
    fc.property(fc.option(place), world, (caller, states) => {
      const candidates = steer(caller, states);
      assert.equal(new Set(candidates.map(({ cluster: { id } }) => id)).size, states.length, 'each is there once');
      assert.equal(hasRoom(candidates[0]), states.some(hasRoom));
      const ranks = candidates.map(({ condition }) => CONDITIONS.indexOf(condition));
      assert.deepEqual(ranks, ranks.toSorted((a, b) => a - b));
    }),
  );
});

test('among clusters that are not busy the nearest is first', () => {
  fc.assert(
    fc.property(place, world, (caller, states) => {
      const idle = states.map((each) => ({ ...each, condition: 'ready' as const, load: each.load / 2 }));
      const nearest = Math.min(...idle.map((each) => distanceKm(caller, each.cluster.place)));
      assert.equal(steer(caller, idle)[0].distanceKm, nearest);
    }),
  );
});

test('more load never brings a cluster forward', () => {
  fc.assert(
    fc.property(fc.option(place), world, fc.nat(11), fc.double({ min: 0, max: 1, noNaN: true }), (caller, states, pick, more) => {
      const id = pick % states.length;
      const heavier = states.map((each, i) => (i === id ? { ...each, load: each.load + more } : each));
      const position = (of: ClusterState[]): number => steer(caller, of).findIndex(({ cluster: each }) => each.id === id);
      assert.ok(position(heavier) >= position(states));
    }),
  );
});

function ingress(address: string, at: Name, global = false): Ingress {
  return { address: parseAddress(address), place: PLACES[at], global, http: null };
}

const WORLD: Clusters = (() => {
  const list = [
    cluster('frankfurt', 0, [ingress('192.0.2.1:1', 'frankfurt', true), ingress('[2001:db8::1]:1', 'frankfurt', true), ingress('192.0.2.2:1', 'paris')]),
    cluster('virginia', 1, [ingress('192.0.2.11:1', 'virginia'), ingress('192.0.2.12:1', 'virginia', true)]),
  ];
  return { list, byId: new Map(list.map((each) => [each.id, each])), ingress: [ingress('192.0.2.21:1', 'sydney', true)] };
})();

test('the ingress is the nearest to the caller that leads to the cluster, with a second one behind it', () => {
  const cases: [caller: Name | null, cluster: number, addresses: string][] = [
    ['paris', 0, '192.0.2.2:1 192.0.2.1:1 [2001:db8::1]:1'],
    // The relay in Paris leads to Frankfurt only.
    ['paris', 1, '192.0.2.1:1 [2001:db8::1]:1 192.0.2.11:1'],
    ['boston', 1, '192.0.2.11:1 192.0.2.12:1 [2001:db8::1]:1'],
    ['boston', 0, '192.0.2.12:1 192.0.2.2:1 [2001:db8::1]:1'],
    ['auckland', 0, '192.0.2.21:1 192.0.2.12:1 [2001:db8::1]:1'],
    [null, 1, '192.0.2.11:1 192.0.2.12:1 [2001:db8::1]:1'],
    [null, 0, '192.0.2.1:1 [2001:db8::1]:1 192.0.2.2:1'],
  ];
  for (const [caller, id, addresses] of cases) {
    const { addresses: chosen, avoided } = chooseIngress(caller && PLACES[caller], WORLD.list[id], WORLD, () => 'unwatched');
    assert.equal(chosen.map(formatAddress).join(' '), addresses, `${caller} ${id}`);
    assert.deepEqual(avoided, []);
  }
});

test('an ingress that is dead or drains comes after all others, and the choice says so', () => {
  const cases: [sick: Record<string, IngressCondition>, addresses: string, avoided: string][] = [
    [{ '192.0.2.2:1': 'unreachable' }, '192.0.2.1:1 [2001:db8::1]:1 192.0.2.12:1', '192.0.2.2:1 unreachable'],
    [{ '192.0.2.1:1': 'not-ready' }, '192.0.2.2:1 [2001:db8::1]:1 192.0.2.12:1', '192.0.2.1:1 not-ready'],
    // One that would not have been named anyway is none of the caller's business.
    [{ '192.0.2.21:1': 'unreachable' }, '192.0.2.2:1 192.0.2.1:1 [2001:db8::1]:1', ''],
    // Not known yet, or not asked, is no reason.
    [{ '192.0.2.2:1': 'unknown', '192.0.2.1:1': 'ready' }, '192.0.2.2:1 192.0.2.1:1 [2001:db8::1]:1', ''],
    // With nothing better a dead one is still named: probes may be wrong.
    [
      { '192.0.2.2:1': 'unreachable', '192.0.2.1:1': 'unreachable', '192.0.2.12:1': 'unreachable', '192.0.2.21:1': 'unreachable', '[2001:db8::1]:1': 'unreachable' },
      '192.0.2.2:1 192.0.2.1:1 [2001:db8::1]:1',
      '192.0.2.2:1 unreachable, 192.0.2.1:1 unreachable, [2001:db8::1]:1 unreachable',
    ],
  ];
  for (const [sick, addresses, expected] of cases) {
    const { addresses: chosen, avoided } = chooseIngress(PLACES.paris, WORLD.list[0], WORLD, ({ address }) => sick[formatAddress(address)] ?? 'unwatched');
    assert.equal(chosen.map(formatAddress).join(' '), addresses);
    assert.equal(avoided.map(({ address, condition }) => `${formatAddress(address)} ${condition}`).join(', '), expected);
  }
});
