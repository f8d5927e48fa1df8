import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FIRST_WAIT_MS, JitterBuffer, MAX_WAIT_MS, MIN_WAIT_MS } from '../../src/media/jitter-buffer.ts';
import { seededRandom } from '../support/random.ts';

interface Arrival {
  readonly sequence: number;
  readonly at: number;
}

/** Feeds packets as they arrive, polls every 20 ms too, and gives what comes out: sequence numbers and -1 for a loss. */
function run(arrivals: readonly Arrival[], buffer = new JitterBuffer()): { out: number[]; delays: number[]; drops: string[] } {
  const out: number[] = [];
  const delays: number[] = [];
  const drops: string[] = [];
  const sentAt = (sequence: number): number => sequence * 20;
  const drain = (now: number): void => {
    for (let output = buffer.poll(now); output !== null; output = buffer.poll(now)) {
      if (output.type === 'lost') out.push(-1);
      else {
        const sequence = output.packet[0] * 256 + output.packet[1];
        assert.equal(output.timestamp, sequence * 960);
        out.push(sequence);
        delays.push(now - sentAt(sequence));
      }
    }
  };
  const ordered = [...arrivals].sort((a, b) => a.at - b.at);
  const packet = new Uint8Array(2);
  let tick = 0;
  for (const { sequence, at } of ordered) {
    for (; tick < at; tick += 20) drain(tick);
    packet[0] = sequence >> 8;
    packet[1] = sequence & 255;
    const drop = buffer.push(packet, sequence, sequence * 960, at);
    if (drop !== null) drops.push(drop);
    drain(at);
    packet.fill(0xff);
  }
  for (const end = tick + 200; tick < end; tick += 20) drain(tick);
  return { out, delays, drops };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

test('packets in order pass at once, although their memory is reused', () => {
  const { out, delays } = run(range(0, 100).map((sequence) => ({ sequence, at: sequence * 20 })));
  assert.deepEqual(out, range(0, 100));
  assert.deepEqual(new Set(delays), new Set([0]));
});

test('two packets that changed places come out in order', () => {
  const { out } = run([{ sequence: 0, at: 0 }, { sequence: 2, at: 20 }, { sequence: 1, at: 25 }, { sequence: 3, at: 40 }]);
  assert.deepEqual(out, [0, 1, 2, 3]);
});

test('a lost packet holds the others up for no more than the wait', () => {
  const { out, delays } = run(range(0, 20).filter((sequence) => sequence !== 7).map((sequence) => ({ sequence, at: sequence * 20 })));
  assert.deepEqual(out, [0, 1, 2, 3, 4, 5, 6, -1, ...range(8, 20)]);
  assert.equal(Math.max(...delays), FIRST_WAIT_MS);
});

test('a burst of losses gives one concealment per packet', () => {
  const { out } = run([...range(0, 5), ...range(9, 15)].map((sequence) => ({ sequence, at: sequence * 20 })));
  assert.deepEqual(out, [...range(0, 5), -1, -1, -1, -1, ...range(9, 15)]);
});

test('a packet that comes after it was given up is late, one that comes twice a duplicate', () => {
  const { out, drops } = run([
    { sequence: 0, at: 0 },
    { sequence: 2, at: 20 },
    { sequence: 2, at: 30 },
    { sequence: 3, at: 60 },
    { sequence: 1, at: 61 },
    { sequence: 3, at: 62 },
  ]);
  assert.deepEqual(out, [0, -1, 2, 3]);
  assert.deepEqual(drops, ['duplicate', 'late', 'late']);
});

test('a sender that begins anew far away is followed at once, without concealment', () => {
  const { out } = run([
    ...range(1000, 1005).map((sequence) => ({ sequence, at: (sequence - 1000) * 20 })),
    ...range(100, 105).map((sequence) => ({ sequence, at: (sequence - 95) * 20 })),
    ...range(5000, 5005).map((sequence) => ({ sequence, at: (sequence - 4990) * 20 })),
  ]);
  assert.deepEqual(out, [...range(1000, 1005), ...range(100, 105), ...range(5000, 5005)]);
});

for (const seed of [1, 2, 3, 4, 5]) {
  test(`seed ${seed}: under loss, delay and reordering every frame has its place, in order, and none waits long`, () => {
    const random = seededRandom(seed);
    const arrivals: Arrival[] = [];
    for (const sequence of range(0, 2000)) {
      if (random() < 0.1 && sequence > 0) continue;
      const at = sequence === 0 ? 0 : sequence * 20 + random() * 30;
      arrivals.push({ sequence, at });
      if (random() < 0.05) arrivals.push({ sequence, at: at + random() * 50 });
    }
    const { out, delays } = run(arrivals);
    assert.equal(out.filter((sequence) => sequence < 0).length, 2000 - new Set(arrivals.map(({ sequence }) => sequence)).size);
    out.forEach((sequence, place) => assert.ok(sequence === -1 || sequence === place));
    assert.ok(Math.max(...delays) <= FIRST_WAIT_MS + 30 + 20, `${Math.max(...delays)}`);
  });
}

/** Every tenth packet comes `lateMs` after the one behind it; what of the last fifty of them was given up. */
function givenUp(lateMs: number, packets = 2000): { lost: number; waitMs: number } {
  const buffer = new JitterBuffer();
  const { out } = run(
    range(0, packets).map((sequence) => ({ sequence, at: sequence * 20 + (sequence % 10 === 5 ? 20 + lateMs : 0) })),
    buffer,
  );
  return { lost: out.slice(-500).filter((sequence) => sequence < 0).length, waitMs: buffer.waitMs };
}

test('the wait grows to what came late, and no further than its bound', () => {
  assert.deepEqual(givenUp(15), { lost: 0, waitMs: 25 });
  assert.deepEqual(givenUp(90), { lost: 0, waitMs: 100 });
  const { lost, waitMs } = givenUp(250);
  assert.equal(lost, 50);
  assert.equal(waitMs, MAX_WAIT_MS);
});

test('the wait shrinks while nothing that is missing comes, so that loss alone costs little', () => {
  const buffer = new JitterBuffer();
  const lossy = range(0, 3000).filter((sequence) => sequence % 20 !== 7).map((sequence) => ({ sequence, at: sequence * 20 }));
  const { delays } = run(lossy, buffer);
  assert.equal(buffer.waitMs, MIN_WAIT_MS);
  assert.equal(Math.max(...delays.slice(-1000)), MIN_WAIT_MS);
});

test('whatever the numbers, output per packet is bounded and memory too', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ sequence: fc.oneof(fc.integer({ min: 0, max: 120 }), fc.maxSafeInteger()), wait: fc.integer({ min: 0, max: 30 }) }), { maxLength: 200 }), (packets) => {
      const buffer = new JitterBuffer();
      let now = 0;
      let outputs = 0;
      for (const { sequence, wait } of packets) {
        now += wait;
        buffer.push(new Uint8Array(1), sequence, 0, now);
        while (buffer.poll(now) !== null) outputs++;
        assert.ok(buffer.size <= 50);
      }
      assert.ok(outputs <= packets.length * 51);
    }),
    { seed: 3550, numRuns: 2000 },
  );
});
