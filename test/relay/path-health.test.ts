import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClusterPaths, mergeReports } from '../../src/relay/cluster-paths.ts';
import { PathHealth } from '../../src/relay/path-health.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { endpoint } from './support/virtual-trunk.ts';

/** A path in virtual time: answers come `roundTripMs` after their probes, unless `lost` says otherwise. */
class Line {
  readonly health = new PathHealth(2, 0);
  now = 0;
  /** When the condition became what. */
  readonly changes: [number, string][] = [];
  lost: (number: number) => boolean = () => false;
  cluster = 2;
  #underWay: { at: number; number: number }[] = [];
  readonly #roundTripMs: number;

  constructor(roundTripMs: number) {
    this.#roundTripMs = roundTripMs;
  }

  run(milliseconds: number): this {
    for (const end = this.now + milliseconds; this.now < end; this.now++) {
      for (const { number } of this.#underWay.filter(({ at }) => at <= this.now)) this.health.answer(number, this.cluster, this.now);
      this.#underWay = this.#underWay.filter(({ at }) => at > this.now);
      if (this.now >= this.health.nextProbeAt) {
        const number = this.health.probe(this.now);
        if (!this.lost(number)) this.#underWay.push({ at: this.now + this.#roundTripMs, number });
      }
      const { condition } = this.health;
      if (condition !== (this.changes.at(-1)?.[1] ?? 'unknown')) this.changes.push([this.now, condition]);
    }
    return this;
  }
}

describe('path health', () => {
  it('is up with the first answer', () => {
    assert.deepEqual(new Line(80).run(1000).changes, [[80, 'up']]);
  });

  for (const roundTrip of [1, 20, 100, 300]) {
    it(`a path of ${roundTrip} ms that dies is down within a second, whenever that is`, () => {
      for (let phase = 0; phase < 100; phase += 7) {
        const line = new Line(roundTrip).run(3000 + phase);
        const diedAt = line.now;
        line.lost = () => true;
        line.run(2000);
        const [at, condition] = line.changes.at(-1)!;
        assert.equal(condition, 'down');
        // What was under way still answers, so half a round trip more may go by until the last answer.
        assert.ok(at - diedAt <= 1000, `after ${at - diedAt} ms`);
      }
    });

    it(`a path of ${roundTrip} ms that loses three probes in a row now and then stays up`, () => {
      const line = new Line(roundTrip);
      line.lost = (number) => number % 40 < 3;
      assert.deepEqual(line.run(60_000).changes.map(([, condition]) => condition), ['up']);
    });
  }

  it('a path that never answers is down', () => {
    const line = new Line(10);
    line.lost = () => true;
    line.run(5000);
    assert.deepEqual(line.changes.map(([, condition]) => condition), ['down']);
  });

  it('comes back with the third answer in a row, not with one', () => {
    const line = new Line(10).run(1000);
    let open = (_number: number): boolean => true;
    line.lost = (number) => open(number);
    line.run(3000);
    const next = line.health.figures(line.now).probesSent;
    open = (number) => number !== next;
    line.run(2000);
    assert.equal(line.health.condition, 'down');
    open = () => false;
    line.run(1000);
    assert.equal(line.health.condition, 'up');
  });

  it('is lossy when more than a tenth is lost, and good again when that has passed', () => {
    const line = new Line(30);
    line.lost = (number) => number % 5 === 0;
    line.run(20_000);
    assert.equal(line.health.condition, 'lossy');
    const { loss, roundTripMs } = line.health.figures(line.now);
    assert.ok(Math.abs(loss - 0.2) < 0.03, `a loss of ${loss}`);
    assert.ok(Math.abs(roundTripMs - 30) <= 1);
    line.lost = () => false;
    line.run(10_000);
    assert.equal(line.health.condition, 'up');
    assert.equal(line.health.figures(line.now).loss, 0);
  });

  it('a process that stood still itself does not blame the path', () => {
    const line = new Line(10).run(1000);
    // A probe has just left; its answer waits in the socket.
    line.lost = () => true;
    line.run(100);
    line.now += 5000;
    line.lost = () => false;
    line.run(500);
    assert.deepEqual(line.changes.map(([, condition]) => condition), ['up']);
  });

  it('a relay of another cluster at the address makes it unusable, until the right one answers', () => {
    const line = new Line(10);
    line.cluster = 7;
    line.run(3000);
    assert.equal(line.health.condition, 'misdirected');
    line.cluster = 2;
    line.run(5000);
    assert.equal(line.health.condition, 'up');
  });

  it('an answer that nobody asked for, or a second one, is none', () => {
    const health = new PathHealth(2, 0);
    health.answer(0, 2, 0);
    assert.equal(health.condition, 'unknown');
    const number = health.probe(0);
    health.answer(number, 2, 5);
    health.answer(number, 2, 500);
    health.answer(number + 64, 2, 500);
    assert.deepEqual([health.figures(500).probesAnswered, health.figures(500).roundTripMs], [1, 5]);
  });
});

describe('cluster paths', () => {
  const addresses = ['10.2.0.1:7000', '10.2.0.2:7000', '10.2.0.3:7000'].map((text) => parseAddress(text));
  const client = Uint8Array.of(203, 0, 113, 7);
  /** Answers every probe after the path's round trip for a second. */
  const settle = (paths: ClusterPaths, roundTrips: readonly number[], now: number): void => {
    const underWay: { at: number; from: Uint8Array; number: number }[] = [];
    for (let at = now; at < now + 12_000; at++) {
      for (const answer of underWay) if (answer.at === at) paths.answer(answer.from, answer.number, 2, at);
      while (paths.poll(at)) {
        const from = paths.endpoint;
        const trip = roundTrips[addresses.findIndex((address) => Buffer.compare(endpoint(address), from) === 0)];
        if (trip !== undefined) underWay.push({ at: at + trip, from, number: paths.probeNumber });
      }
    }
  };
  const used = (paths: ClusterPaths): Set<string> =>
    new Set(Array.from({ length: 100 }, (_, port) => (paths.choose(2, client, 0, 4, port) ? paths.endpoint.join('.') : 'none')));

  it('a clearly slower path takes no share while a faster one is up', () => {
    const paths = new ClusterPaths([{ cluster: 2, direct: false, trunk: addresses }], 0);
    settle(paths, [100, 130, 250], 0);
    assert.deepEqual(used(paths), new Set([endpoint(addresses[0]).join('.'), endpoint(addresses[1]).join('.')]));
  });

  it('when one path goes, only its flows go elsewhere', () => {
    const all = new ClusterPaths([{ cluster: 2, direct: false, trunk: addresses }], 0);
    const two = new ClusterPaths([{ cluster: 2, direct: false, trunk: addresses.slice(1) }], 0);
    for (let port = 0; port < 500; port++) {
      all.choose(2, client, 0, 4, port);
      const before = all.endpoint;
      two.choose(2, client, 0, 4, port);
      if (Buffer.compare(before, endpoint(addresses[0])) !== 0) assert.deepEqual(two.endpoint, before);
    }
  });

  it('several workers’ reports become one per path, with the worst condition', () => {
    const report = { cluster: 2, address: '10.2.0.1:7000', condition: 'up', roundTripMs: 10, loss: 0, probesSent: 5, probesAnswered: 5 } as const;
    assert.deepEqual(mergeReports([report, { ...report, condition: 'down', roundTripMs: 20, loss: 1, probesAnswered: 0 }]), [
      { ...report, condition: 'down', roundTripMs: 15, loss: 0.5, probesSent: 10, probesAnswered: 5 },
    ]);
  });
});
