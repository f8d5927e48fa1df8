import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutboundQueue } from '../../../src/webrtc/sctp/outbound-queue.ts';
import { RetransmissionQueue, type SackVerdict } from '../../../src/webrtc/sctp/retransmission-queue.ts';
import { RetransmissionTimeout } from '../../../src/webrtc/sctp/rto.ts';
import { tsnAdd } from '../../../src/webrtc/sctp/serial.ts';

const FIRST_TSN = 0xfffffffd;

/** A queue with `count` chunks of 100 bytes in flight since time 0, one message each. */
function inFlight(count: number, limits: { maxRetransmits?: number; roundTrip?: number; streamId?: (i: number) => number } = {}): {
  queue: RetransmissionQueue;
  sack: (offset: number, ...gaps: number[]) => SackVerdict;
  sendLost: () => number[];
  sendNew: (count: number) => void;
} {
  const outbound = new OutboundQueue(100, 0, () => {});
  const rto = new RetransmissionTimeout();
  if (limits.roundTrip !== undefined) rto.sample(limits.roundTrip);
  const queue = new RetransmissionQueue({ initialTsn: FIRST_TSN, mayAbandon: true, pmdcs: 100, outbound, rto });
  queue.peerWindow = 100_000;
  const enqueue = (i: number): void => {
    const streamId = limits.streamId?.(i) ?? 1;
    const maxRetransmits = limits.maxRetransmits ?? Infinity;
    outbound.enqueue({ streamId, ppid: 53, data: new Uint8Array(100), ordered: true, maxRetransmits, expiresAt: Infinity, ssn: 0 });
  };
  const sendNew = (more: number): void => {
    for (let i = 0; i < more; i++) enqueue(i);
    for (let i = 0; i < more; i++) queue.add(outbound.next(100, 0)!, 0);
  };
  sendNew(count);
  return {
    queue,
    sendNew,
    sack: (offset, ...gaps) => {
      const bytes = Uint8Array.from(gaps.flatMap((gap) => [gap >> 8, gap & 0xff]));
      return queue.acknowledge(tsnAdd(FIRST_TSN, offset - 1), 100_000, bytes, 0, gaps.length / 2, 50);
    },
    sendLost: () => {
      const sent: number[] = [];
      for (let chunk = queue.nextLost(100, 60); chunk !== null; chunk = queue.nextLost(100, 60)) sent.push(tsnAdd(chunk.tsn, -FIRST_TSN));
      return sent;
    },
  };
}

test('what is acknowledged leaves the flight once, by gap or cumulatively', () => {
  const { queue, sack } = inFlight(6);
  assert.equal(queue.outstandingBytes, 600);
  assert.equal(sack(1), 'advanced');
  assert.equal(queue.outstandingBytes, 500);
  assert.equal(sack(1, 2, 3), 'advanced');
  assert.equal(queue.outstandingBytes, 300);
  assert.equal(sack(1, 2, 3), 'unchanged');
  assert.equal(queue.outstandingBytes, 300);
  assert.equal(sack(6), 'advanced');
  assert.equal(queue.outstandingBytes, 0);
  assert.ok(queue.isEmpty && !queue.t3.isRunning);
  assert.equal(sack(5), 'old');
  assert.equal(sack(7), 'invalid');
});

test('what a peer takes back is in flight again', () => {
  const { queue, sack } = inFlight(7);
  sack(0, 2, 6);
  assert.equal(queue.outstandingBytes, 200);
  sack(0, 3, 4);
  assert.equal(queue.outstandingBytes, 500);
  sack(0);
  assert.equal(queue.outstandingBytes, 700);
  sack(7);
  assert.equal(queue.outstandingBytes, 0);
});

test('the third missing report sends a chunk again and halves the window; again only by what was sent later', () => {
  const { queue, sack, sendLost, sendNew } = inFlight(14);
  const before = queue.congestion.window;
  sack(0, 2, 2);
  sack(0, 2, 3);
  assert.ok(!queue.mayRetransmit);
  sack(0, 2, 4);
  assert.ok(queue.outstandingBytes > queue.congestion.window);
  assert.ok(queue.mayRetransmit, 'one packet may leave whatever the window says');
  assert.deepEqual(sendLost(), [0]);
  assert.equal(queue.congestion.window, before / 2);
  queue.packetSent();
  sendNew(4);
  for (const last of [5, 6, 7, 8]) sack(0, 2, last);
  assert.deepEqual(sendLost(), [], 'these were sent before the retransmission');
  for (const last of [15, 16]) sack(0, 2, last);
  assert.deepEqual(sendLost(), []);
  sack(0, 2, 17);
  assert.deepEqual(sendLost(), [0]);
  assert.equal(queue.congestion.window, before / 2, 'one loss event');
});

test('a repeated SACK is no missing report', () => {
  const { queue, sack } = inFlight(4);
  for (let i = 0; i < 5; i++) sack(0, 2, 2);
  assert.ok(!queue.mayRetransmit);
});

test('what reports the last of all is the last report: what is missing then is sent again', () => {
  const { queue, sack, sendLost, sendNew } = inFlight(4);
  sack(1, 2, 2);
  assert.ok(!queue.mayRetransmit, 'another packet is on its way');
  sack(1, 2, 3);
  assert.deepEqual(sendLost(), [1]);
  sendNew(2);
  sack(1, 2, 4);
  assert.ok(!queue.mayRetransmit, 'once is enough');
});

test('until all that was sent first is acknowledged, a time-out waits for the round trip that is known and leaves the window', () => {
  const { queue, sack, sendLost } = inFlight(4, { roundTrip: 50 });
  const before = queue.congestion.window;
  assert.equal(queue.t3.at, 1.5 * 50 + 20);
  sack(1);
  assert.equal(queue.t3.at, 1.5 * 50 + 20, 'the others were sent when the first was');
  assert.ok(queue.t3.expire(95));
  assert.ok(queue.timedOut(95));
  assert.equal(queue.t3.at, 95 + 2 * 95);
  assert.ok(queue.congestion.window >= before);
  assert.deepEqual(sendLost(), [1, 2, 3]);
});

test('a time-out sends everything again, backs off, and counts unless it probes a closed window', () => {
  const { queue, sack, sendLost, sendNew } = inFlight(1);
  sack(1);
  sendNew(3);
  assert.ok(queue.t3.expire(300));
  assert.ok(queue.timedOut(300));
  assert.equal(queue.t3.at, 300 + 2 * 300);
  assert.equal(queue.congestion.window, 100);
  assert.equal(queue.outstandingBytes, 0);
  assert.deepEqual(sendLost(), [1, 2, 3]);
  queue.acknowledge(tsnAdd(FIRST_TSN, 1), 0, new Uint8Array(0), 0, 0, 600);
  assert.equal(queue.peerWindow, 0);
  assert.equal(queue.t3.at, 900, 'news from the peer ended the back-off');
  assert.ok(!queue.timedOut(2000), 'the peer lives, its window is closed');
  assert.ok(queue.timedOut(4000), 'nothing came since');
});

test('abandoned messages are skipped by one FORWARD TSN that names the last of each stream', () => {
  const { queue, sack } = inFlight(5, { maxRetransmits: 0, streamId: (i) => 1 + (i % 2) });
  sack(0, 5, 5);
  queue.timedOut(500);
  assert.equal(queue.abandonedMessages, 4);
  const forward = queue.takeForwardTsn(10)!;
  assert.equal(forward.newCumulativeTsn, tsnAdd(FIRST_TSN, 3));
  // Streams took turns: 1 got SSN 0 and 1 here, 2 got 0 and 1.
  assert.deepEqual([...forward.streams], [[1, 1], [2, 1]]);
  assert.equal(queue.takeForwardTsn(10), null);
  queue.timedOut(1500);
  assert.equal(queue.takeForwardTsn(1)!.newCumulativeTsn, tsnAdd(FIRST_TSN, 0), 'no more than fits');
  sack(5);
  assert.ok(queue.isEmpty);
});
