import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { Gathering } from '../../src/relay/gathering.ts';

/** Rounds of a loop at a steady rate of datagrams a millisecond; returns the time at which they end. */
function load(gathering: Gathering, perMs: number, milliseconds: number, from: number): number {
  let now = from;
  for (; now < from + milliseconds; now += 0.5) gathering.hasRead(perMs / 2, now);
  return now;
}

describe('gathering', () => {
  it('is off to begin with and at low load: a lone packet never waits', () => {
    const gathering = new Gathering(200);
    assert.equal(gathering.pause, 0);
    load(gathering, 20, 100, 0);
    assert.equal(gathering.active, false);
    assert.equal(gathering.pause, 0);
  });

  it('starts within two windows of a load that makes it pay, and ends as soon after it', () => {
    const gathering = new Gathering(200);
    let now = load(gathering, 40, 41, 0);
    assert.equal(gathering.active, true);
    now = load(gathering, 1, 41, now);
    assert.equal(gathering.active, false);
  });

  it('does not flutter at a load between its two thresholds', () => {
    const gathering = new Gathering(200);
    let now = load(gathering, 25, 100, 0);
    assert.equal(gathering.active, false, 'not high enough to start');
    now = load(gathering, 40, 100, now);
    now = load(gathering, 25, 100, now);
    assert.equal(gathering.active, true, 'high enough to go on');
  });

  it('lets nothing wait longer than its limit, whatever the load', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.array(fc.record({ datagrams: fc.nat(64), work: fc.double({ min: 0, max: 3, noNaN: true }) }), { maxLength: 200 }),
        (limitUs, rounds) => {
          const gathering = new Gathering(limitUs);
          let now = 0;
          for (const { datagrams, work } of rounds) {
            gathering.hasRead(datagrams, now);
            assert.equal(gathering.pause, gathering.active ? limitUs / 1000 : 0);
            now += work + gathering.pause;
          }
        },
      ),
    );
  });

  it('is never on with a limit of 0', () => {
    const gathering = new Gathering(0);
    load(gathering, 1000, 100, 0);
    assert.equal(gathering.active, false);
  });
});
