import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { AudioHistory } from '../../src/media/audio-history.ts';

test('a slice is what was written there, whatever the chunks', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 20 }), fc.nat(80), fc.nat(80), (lengths, from, length) => {
      const history = new AudioHistory(8000);
      const all: number[] = [];
      for (const count of lengths) {
        const chunk = Int16Array.from({ length: count }, (_, i) => all.length + i + 1);
        history.write(chunk);
        all.push(...chunk);
      }
      assert.deepEqual(history.slice(from, from + length), Int16Array.from(all.slice(from * 8, (from + length) * 8)));
    }),
    { seed: 1 },
  );
});

test('what is kept is at least what was asked for, and positions stay', () => {
  const history = new AudioHistory(8000);
  for (let i = 0; i < 100; i++) {
    history.write(new Int16Array(160).fill(i));
    history.keep(50);
  }
  assert.deepEqual(history.slice(1960, 2000), new Int16Array(320).fill(98).fill(99, 160));
  assert.equal(history.slice(1950, 1960).length, 80);
  assert.equal(history.slice(0, 1000).length, 0, 'forgotten');
  assert.equal(history.slice(1990, 5000).length, 80, 'not there yet');
});
