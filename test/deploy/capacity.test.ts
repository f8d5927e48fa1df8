import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import { parse } from 'yaml';
import { ASSUMED, MEASURED, REGIONS } from '../../bench/capacity-parts/costs.ts';
import { erlangB, serversFor } from '../../bench/capacity-parts/erlang.ts';
import { EventQueue } from '../../bench/capacity-parts/events.ts';
import { costOfCall, demandOf } from '../../bench/capacity-parts/model.ts';
import { type Outcome, type Scenario, simulate } from '../../bench/capacity-parts/simulation.ts';
import { CHART } from './helm.ts';

const INPUTS = { measured: MEASURED, assumed: ASSUMED, regions: REGIONS };
const EAST = { name: 'east', place: { latitude: 40, longitude: -75 } };
const WEST = { name: 'west', place: { latitude: 40, longitude: -120 } };

/** One region with one pod: Erlang's loss system. 40 calls a minute of 3 minutes each make a load of 120. */
const LOSS_SYSTEM: Scenario = {
  seed: 7,
  regions: [{ ...EAST, share: 1, pods: 1, callsPerPod: 125 }],
  arrivalsPerSecond: 40 / 60,
  meanCallSeconds: 180,
  lengthSigma: null,
  warmUpSeconds: 2_000,
  seconds: 102_000,
  probeSeconds: 10,
  redialSeconds: 10,
  incidents: [],
};
const TWO_REGIONS: Scenario = {
  ...LOSS_SYSTEM,
  regions: [{ ...EAST, share: 0.5, pods: 4, callsPerPod: 30 }, { ...WEST, share: 0.5, pods: 4, callsPerPod: 30 }],
  lengthSigma: 1,
  seconds: 12_000,
};

suite('Erlang', () => {
  test("agrees with the formula's published values", () => {
    // Two servers and one erlang: (1/2) / (1 + 1 + 1/2); the others are of common tables of Erlang B.
    assert.ok(Math.abs(erlangB(1, 2) - 0.2) < 1e-12);
    assert.ok(Math.abs(erlangB(12.03, 20) - 0.01) < 1e-4);
    assert.ok(Math.abs(erlangB(84.06, 100) - 0.01) < 1e-4);
  });

  test('finds the fewest servers', () => {
    for (const [load, blocking] of [[1, 0.2], [84.06, 0.01], [5_000, 1e-4]] as const) {
      const servers = serversFor(load, blocking);
      assert.ok(erlangB(load, servers) <= blocking && erlangB(load, servers - 1) > blocking);
    }
  });
});

suite('events', () => {
  test('come in the order of their times, and of adding at the same time', () => {
    const queue = new EventQueue<number>();
    const times = [5, 1, 3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
    times.forEach((at, i) => queue.add(at, i));
    const got: number[] = [];
    for (let next = queue.next(); next !== null; next = queue.next()) got.push(next.event);
    assert.deepEqual(got, [1, 3, 5, 8, 2, 11, 4, 0, 6, 10, 9, 7]);
  });
});

suite('simulation', () => {
  test('refuses as many as Erlang says, whatever the distribution of lengths', () => {
    const expected = erlangB(120, 125);
    for (const lengthSigma of [null, 1]) {
      const { blocked, arrivals } = simulate({ ...LOSS_SYSTEM, lengthSigma });
      assert.ok(Math.abs(blocked / arrivals / expected - 1) < 0.1, `${blocked / arrivals} is not within a tenth of ${expected}`);
    }
  });

  test("holds Little's law: calls at once are calls placed per second times their length", () => {
    const { meanLive, placed } = simulate(LOSS_SYSTEM);
    assert.ok(Math.abs(meanLive / ((placed / 100_000) * 180) - 1) < 0.02);
  });

  test('loses and invents no call', () => {
    const incidents = [
      { at: 5_000, kind: 'roll', region: 'west', surge: 0.5, startSeconds: 20, drainSeconds: 120 },
      { at: 8_000, kind: 'lose', region: 'east' },
    ] as const;
    const { total, arrivals, redials, placed, blocked, cut } = simulate({ ...TWO_REGIONS, incidents });
    assert.equal(total.placed, total.ended + total.cut + total.live);
    assert.equal(arrivals + redials, placed + blocked);
    assert.equal(redials, cut, 'everybody who was cut off calls again');
  });

  test('comes out the same for the same seed and differently for another', () => {
    assert.deepEqual(simulate(TWO_REGIONS), simulate(TWO_REGIONS));
    assert.notDeepEqual(simulate(TWO_REGIONS), simulate({ ...TWO_REGIONS, seed: 8 }));
  });

  test('a region with too many callers hands some to its neighbour and refuses none', () => {
    const uneven = simulate({ ...TWO_REGIONS, regions: [{ ...TWO_REGIONS.regions[0], share: 0.95 }, { ...TWO_REGIONS.regions[1], share: 0.05 }] });
    assert.ok(uneven.spilled / uneven.placed > 0.02);
    assert.ok(uneven.blocked / uneven.arrivals < 0.001);
    assert.ok(simulate(TWO_REGIONS).spilled < uneven.spilled / 10);
  });

  test('after the loss of a region its callers are on the other, if that has room', () => {
    const incidents = [{ at: 8_000, kind: 'lose', region: 'east' }] as const;
    const roomy = simulate({ ...TWO_REGIONS, regions: TWO_REGIONS.regions.map((region) => ({ ...region, pods: 8 })), incidents });
    assert.ok(roomy.cut > 30, 'the calls there were');
    assert.ok(refusedShare(roomy) < 0.005);
    const tight = simulate({ ...TWO_REGIONS, regions: TWO_REGIONS.regions.map((region) => ({ ...region, pods: 3 })), incidents });
    assert.ok(refusedShare(tight) > 0.05);
  });

  test('a rolling update cuts off only what outlasts the drain, and needs at most twice the pods', () => {
    const roll = { at: 5_000, kind: 'roll', region: 'west', surge: 0.5, startSeconds: 20 } as const;
    const patient = simulate({ ...TWO_REGIONS, lengthSigma: null, incidents: [{ ...roll, drainSeconds: 5_000 }] });
    assert.equal(patient.cut, 0);
    assert.ok(patient.maxPods > 8 && patient.maxPods <= 12, `${patient.maxPods} pods`);
    const hasty = simulate({ ...TWO_REGIONS, lengthSigma: null, incidents: [{ ...roll, drainSeconds: 180 }] });
    // About 60 calls there, of which e⁻¹ outlast one mean length.
    assert.ok(hasty.cut > 8 && hasty.cut < 40, `${hasty.cut} cut off`);
    assert.ok(refusedShare(hasty) < 0.005);
  });
});

suite('model', () => {
  test('needs grow with the calls, no faster than they do, and small fleets keep a spare', () => {
    const [small, large, larger] = [100, 1e6, 1e7].map((calls) => demandOf(calls, INPUTS));
    for (const region of small.regions) assert.ok(region.relayPods >= 2 && region.transceiverPods >= 2 && region.gatewayPods >= 2);
    const growth = larger.total.cores / large.total.cores;
    assert.ok(growth > 9.5 && growth <= 10);
    assert.ok(Math.abs(larger.total.publicGbits / large.total.publicGbits - 10) < 1e-9);
  });

  test('has room for the calls of the largest region in the others', () => {
    for (const calls of [1e4, 1e6, 1e7]) {
      const { regions } = demandOf(calls, INPUTS);
      const largest = regions.reduce((a, b) => (b.calls > a.calls ? b : a));
      const left = regions.filter((region) => region !== largest).reduce((sum, { capacity }) => sum + capacity, 0);
      assert.ok(left >= calls);
    }
  });

  test('the chart lets a pod take no more calls than its workers can, nor much fewer', () => {
    const { transceiver, relay } = parse(readFileSync(path.join(CHART, 'values.yaml'), 'utf8')) as { transceiver: { workers: number; maxCalls: number }; relay: { workers: number } };
    assert.deepEqual([transceiver.workers, relay.workers], [ASSUMED.transceiverWorkers, ASSUMED.relayWorkers]);
    const { callsPerPod } = costOfCall(INPUTS);
    assert.ok(transceiver.maxCalls <= callsPerPod && transceiver.maxCalls > 0.8 * callsPerPod, `${callsPerPod} calls fit into a pod`);
  });

  test('counts the packets and the bits of a call', () => {
    const { packetsPerSecond, publicBits } = costOfCall(INPUTS);
    assert.equal(packetsPerSecond, 102);
    assert.equal(publicBits, 51 * (80 + 28 + 28) * 8);
  });

  test('the shares of the regions add up', () => {
    assert.ok(Math.abs(REGIONS.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-9);
  });
});

function refusedShare({ blocked, arrivals, redials }: Outcome): number {
  return blocked / (arrivals + redials);
}
