import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecondCopies } from '../../../src/webrtc/session/second-copies.ts';

test('each datagram is there again 20 ms later, in order, whatever becomes of the memory it was in', () => {
  const copies = new SecondCopies();
  const memory = Uint8Array.of(1);
  copies.keep(memory, 0);
  memory[0] = 2;
  copies.keep(memory, 5);
  assert.deepEqual([copies.at, copies.poll(19.9)], [20, null]);
  assert.deepEqual(copies.poll(20), Uint8Array.of(1));
  assert.deepEqual([copies.poll(20), copies.at], [null, 25]);
  assert.deepEqual(copies.poll(1000), Uint8Array.of(2));
  assert.equal(copies.at, Infinity);
});

test('a second after DTLS is up it is over, with what was kept before still to come', () => {
  const copies = new SecondCopies();
  assert.equal(copies.isOver(1e9), false);
  copies.connected(100);
  copies.keep(Uint8Array.of(1), 1099);
  copies.keep(Uint8Array.of(2), 1100);
  assert.equal(copies.isOver(1100), false);
  assert.deepEqual(copies.poll(1119), Uint8Array.of(1));
  assert.deepEqual([copies.isOver(1119), copies.at], [true, Infinity]);
});

test('a call that never comes up repeats 48 datagrams and no more', () => {
  const copies = new SecondCopies();
  for (let i = 0; i < 100; i++) copies.keep(Uint8Array.of(i), i);
  let count = 0;
  while (copies.poll(1000) !== null) count++;
  assert.equal(count, 48);
  assert.equal(copies.isOver(1000), true);
});
