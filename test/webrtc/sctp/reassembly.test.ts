import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reassembly } from '../../../src/webrtc/sctp/reassembly.ts';
import { Prng } from './virtual-network.ts';

interface Delivered {
  readonly streamId: number;
  readonly data: number[];
}

function make(): { reassembly: Reassembly; delivered: Delivered[] } {
  const delivered: Delivered[] = [];
  const reassembly = new Reassembly(1000, (streamId, _ppid, data) => delivered.push({ streamId, data: [...data] }));
  return { reassembly, delivered };
}

const chunk = (tsn: number, ssn: number, flags: string, streamId = 1): Parameters<Reassembly['add']>[0] => ({
  tsn: tsn >>> 0,
  streamId,
  ssn: ssn & 0xffff,
  ppid: 53,
  unordered: flags.includes('U'),
  begins: flags.includes('B'),
  ends: flags.includes('E'),
});

test('fragments in any order become the messages that were cut, and nothing is kept', () => {
  const prng = new Prng(1);
  for (let round = 0; round < 300; round++) {
    const { reassembly, delivered } = make();
    const chunks: { header: ReturnType<typeof chunk>; data: number[] }[] = [];
    const expected: number[][] = [];
    let tsn = 0xfffffff0;
    for (let ssn = 0; ssn < 6; ssn++) {
      const fragments = 1 + prng.below(5);
      const whole: number[] = [];
      for (let i = 0; i < fragments; i++) {
        const data = [ssn, i];
        whole.push(...data);
        const flags = (i === 0 ? 'B' : '') + (i === fragments - 1 ? 'E' : '') + (round % 2 === 0 ? 'U' : '');
        chunks.push({ header: chunk(tsn++, 0xfffd + ssn, flags), data });
      }
      expected.push(whole);
    }
    // The stream stands at SSN 0xfffd, to cross the wrap.
    if (round % 2 === 1) {
      reassembly.forwardStream(1, 0x7ffc);
      reassembly.forwardStream(1, 0xfffc);
    }
    for (let i = chunks.length - 1; i > 0; i--) {
      const j = prng.below(i + 1);
      [chunks[i], chunks[j]] = [chunks[j], chunks[i]];
    }
    for (const { header, data } of chunks) assert.ok(reassembly.add(header, Uint8Array.from(data)));
    const got = delivered.map(({ data }) => data);
    assert.deepEqual(round % 2 === 0 ? got.toSorted((a, b) => a[0] - b[0]) : got, expected);
    assert.equal(reassembly.heldBytes, 0);
  }
});

test('skipped messages release those behind them, in order', () => {
  const { reassembly, delivered } = make();
  for (const ssn of [4, 1, 3]) reassembly.add(chunk(10 + ssn, ssn, 'BE'), Uint8Array.of(ssn));
  reassembly.add(chunk(12, 2, 'B'), Uint8Array.of(2));
  assert.deepEqual(delivered, []);
  reassembly.forwardTsn(12);
  reassembly.forwardStream(1, 2);
  assert.deepEqual(delivered.map(({ data }) => data[0]), [1, 3, 4]);
  assert.equal(reassembly.heldBytes, 0);
  reassembly.forwardStream(1, 1);
  reassembly.add(chunk(15, 5, 'BE'), Uint8Array.of(5));
  assert.equal(delivered.length, 4, 'an outdated skip changes nothing');
});

test('a message that came too late is not delivered behind its successors', () => {
  const { reassembly, delivered } = make();
  reassembly.forwardStream(1, 5);
  reassembly.add(chunk(10, 4, 'BE'), Uint8Array.of(4));
  reassembly.add(chunk(11, 6, 'BE'), Uint8Array.of(6));
  assert.deepEqual(delivered.map(({ data }) => data[0]), [6]);
  assert.equal(reassembly.heldBytes, 0);
});

test('fragments too large together are refused', () => {
  const { reassembly } = make();
  assert.ok(reassembly.add(chunk(1, 0, 'B'), new Uint8Array(600)));
  assert.ok(reassembly.add(chunk(3, 0, 'E'), new Uint8Array(300)));
  assert.ok(!reassembly.add(chunk(2, 0, ''), new Uint8Array(101)));
});

test('a reset stream begins at zero, alone', () => {
  const { reassembly, delivered } = make();
  for (const id of [1, 2]) reassembly.add(chunk(id, 0, 'BE', id), Uint8Array.of(id));
  reassembly.add(chunk(5, 3, 'BE', 1), Uint8Array.of(9));
  reassembly.resetStream(1);
  assert.equal(reassembly.heldBytes, 0);
  reassembly.add(chunk(6, 0, 'BE', 1), Uint8Array.of(3));
  reassembly.add(chunk(7, 1, 'BE', 2), Uint8Array.of(4));
  assert.deepEqual(delivered.map(({ data }) => data[0]), [1, 2, 3, 4]);
});
