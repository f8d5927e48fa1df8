import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateLimit } from '../../src/gateway/rate-limit.ts';

test('so many requests pass in a minute from the first one on, each sender by himself', () => {
  const limit = new RateLimit(3);
  for (const now of [0, 10_000, 59_999]) assert.equal(limit.take('a', now), 0);
  assert.equal(limit.take('a', 59_999), 1);
  assert.equal(limit.take('b', 59_999), 0);
  assert.equal(limit.take('a', 60_000), 0, 'a new minute');
  assert.equal(limit.take('a', 60_001), 0);
  assert.equal(limit.take('a', 60_002), 0);
  assert.equal(limit.take('a', 60_003), 59_997);
});

test('who changes his name all the time uses up no memory, and pushes out nobody who is seen meanwhile', () => {
  const limit = new RateLimit(1);
  assert.equal(limit.take('steady', 0), 0);
  for (let i = 0; i < 100_000; i++) {
    limit.take(`name ${i}`, i / 10);
    if (i % 10_000 === 0) assert.ok(limit.take('steady', i / 10) > 0, 'still counted');
  }
  assert.equal(limit.take('name 0', 10_000), 0, 'forgotten');
});
