import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { estimateIndex, MAX_RTP_INDEX } from '../../../src/webrtc/srtp/packet-index.ts';
import { REPLAY_WINDOW_LENGTH, ReplayWindow } from '../../../src/webrtc/srtp/replay-window.ts';

fc.configureGlobal({ seed: 3711 });

describe('ReplayWindow', () => {
  it('agrees with a set of everything seen, under any order, jump and repetition', () => {
    const step = fc.oneof(
      fc.integer({ min: -3, max: 3 }),
      fc.integer({ min: -REPLAY_WINDOW_LENGTH - 2, max: REPLAY_WINDOW_LENGTH + 2 }),
      fc.integer({ min: -100_000, max: 100_000 }),
    );
    fc.assert(
      fc.property(fc.nat(MAX_RTP_INDEX - 2 ** 32), fc.array(step, { maxLength: 400 }), (start, steps) => {
        const window = new ReplayWindow();
        const seen = new Set<number>();
        let highest = -1;
        let index = start;
        for (const by of steps) {
          index = Math.max(0, index + by);
          const expected = highest - index >= REPLAY_WINDOW_LENGTH ? 'too-old' : seen.has(index) ? 'replayed' : 'new';
          assert.equal(window.check(index), expected);
          assert.equal(window.check(index), expected, 'check must not change anything');
          if (expected !== 'new') continue;
          window.update(index);
          seen.add(index);
          highest = Math.max(highest, index);
          assert.equal(window.highest, highest);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('accepts a packet at the very edge of the window, and none behind it', () => {
    const window = new ReplayWindow();
    window.update(10_000);
    assert.equal(window.check(10_000 - REPLAY_WINDOW_LENGTH + 1), 'new');
    assert.equal(window.check(10_000 - REPLAY_WINDOW_LENGTH), 'too-old');
  });

  it('refuses negative indices: nothing was sent before the first packet', () => {
    const window = new ReplayWindow();
    window.update(2);
    assert.equal(window.check(-1), 'too-old');
  });
});

describe('estimateIndex', () => {
  it('finds the true index whenever it is within 2^15 of the highest', () => {
    fc.assert(
      fc.property(fc.nat(MAX_RTP_INDEX - 2 ** 16), fc.integer({ min: -0x7fff, max: 0x7fff }), (highest, by) => {
        const index = highest + by;
        fc.pre(index >= 0);
        assert.equal(estimateIndex(highest, index % 0x10000), index);
      }),
      { numRuns: 2000 },
    );
  });

  it('goes beyond the last index rather than back to the first, and below 0 rather than to the last', () => {
    assert.equal(estimateIndex(MAX_RTP_INDEX, 3), MAX_RTP_INDEX + 4);
    assert.equal(estimateIndex(5, 65530), -6);
  });
});
