import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HISTOGRAM_BYTES, HistogramBlock, sumHistograms } from '../../src/relay/histograms.ts';

test('a value falls into the bucket whose bound it does not exceed; workers add up', () => {
  const [a, b] = [0, 1].map(() => new HistogramBlock(new SharedArrayBuffer(HISTOGRAM_BYTES + 8), 8));
  for (const value of [0, 1, 2, 3, 64, 129]) a.receiveBatch.observe(value);
  b.receiveBatch.observe(1);
  a.sendBatch.observe(5);
  b.loop.observe(1);
  const [receive, send, loop] = sumHistograms([a, b]);
  assert.deepEqual([receive.name, receive.labels], ['batch_datagrams', { call: 'receive' }]);
  assert.deepEqual(receive.counts, [1, 2, 1, 1, 0, 0, 0, 1, 0, 1]);
  assert.equal(receive.sum, 200);
  assert.deepEqual([send.labels, send.sum, send.counts.indexOf(1)], [{ call: 'send' }, 5, 4]);
  assert.deepEqual([loop.name, loop.counts.at(-1), loop.sum], ['loop_duration_seconds', 1, 1]);
});
