import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LossCounter } from '../../bench/lab-parts/loss-counter.ts';
import { parseAddress } from '../../src/wire/address.ts';

const FROM = parseAddress('192.0.2.1:3478');

function packet(sequence: number, { first = 0x80, second = 111 } = {}): Uint8Array {
  return Uint8Array.from([first, second, (sequence >> 8) & 0xff, sequence & 0xff, ...new Uint8Array(20)]);
}

test('the lab counts what RTP sequence numbers skip, over their wrap, and not what is sent again or is no RTP', () => {
  let passed = 0;
  const counter = new LossCounter({ datagram: () => void passed++, batchEnd: () => undefined });
  const sequences = [65_533, 65_534, 1, 65_535, 0, 2, 3, 6];
  for (const sequence of sequences) counter.datagram(packet(sequence), FROM);
  counter.datagram(packet(1000, { first: 0x00 }), FROM);
  counter.datagram(packet(1000, { second: 200 }), FROM);
  // 65,535 and 0 came late, 4 and 5 never.
  assert.deepEqual([counter.lost, counter.expected], [4, 9]);
  assert.equal(passed, sequences.length + 2, 'everything is passed on');
});
