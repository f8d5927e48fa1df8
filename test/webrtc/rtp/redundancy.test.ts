import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ReceivedFrames } from '../../../src/webrtc/rtp/received-frames.ts';
import { RedSender } from '../../../src/webrtc/rtp/red-sender.ts';
import { RedundancyControl } from '../../../src/webrtc/rtp/redundancy-control.ts';
import { RtpPacket, writeRtpHeader } from '../../../src/webrtc/rtp/rtp-packet.ts';

const OPUS = 111;
const RED = 63;

/** Frame i is i in two bytes, and of a length of its own. */
function frame(i: number): Uint8Array {
  const bytes = new Uint8Array(2 + (i % 5));
  new DataView(bytes.buffer).setUint16(0, i);
  return bytes;
}

function packet(payloadType: number, payload: Uint8Array, sequence: number, timestamp: number, ssrc = 7): RtpPacket {
  const bytes = new Uint8Array(1400);
  const fields = { marker: false, payloadType, sequence, timestamp: timestamp >>> 0, ssrc, mid: null, audioLevel: -1, transportSequence: -1 };
  const length = writeRtpHeader(bytes, fields, {});
  bytes.set(payload, length);
  const read = new RtpPacket();
  assert.ok(read.read(bytes, length + payload.length));
  return read;
}

/** Packets 0 … count − 1 as a sender with this distance makes them; numbers wrap on the way. */
function stream(count: number, distance: 1 | 2): RtpPacket[] {
  const sender = new RedSender(OPUS, distance);
  return Array.from({ length: count }, (_, i) => {
    const redundant = sender.pack(frame(i), i * 960);
    return packet(redundant ? RED : OPUS, redundant ?? frame(i), (65_530 + i) & 0xffff, 0xffff_f000 + i * 960);
  });
}

/** Numbers of the frames that come out, each checked against its bytes, sequence number and timestamp. */
function receive(packets: readonly RtpPacket[], frames = new ReceivedFrames(OPUS, RED)): number[] {
  const out: number[] = [];
  for (const one of packets) {
    assert.ok(frames.handle(one));
    for (let read = frames.poll(); read !== null; read = frames.poll()) {
      const i = new DataView(read.payload.slice().buffer).getUint16(0);
      assert.deepEqual(read.payload.slice(), frame(i));
      assert.equal((read.sequence - 65_530 - i) % 65_536, 0);
      assert.equal((read.timestamp - 0xffff_f000 - i * 960) % 2 ** 32, 0);
      out.push(i);
    }
  }
  return out;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

for (const distance of [1, 2] as const) {
  test(`distance ${distance} makes good as many losses in a row, in order and once`, () => {
    const packets = stream(40, distance);
    const lost = new Set([10, 20, 21, 30, 31, 32]);
    const heard = receive(packets.filter((_, i) => !lost.has(i)));
    const gone = distance === 1 ? new Set([20, 30, 31]) : new Set([30]);
    assert.deepEqual(heard, range(0, 40).filter((i) => !gone.has(i)));
  });
}

test('a packet that comes after its frame was made good gives nothing again', () => {
  const packets = stream(6, 2);
  [packets[3], packets[4]] = [packets[4], packets[3]];
  assert.deepEqual(receive(packets), range(0, 6));
});

test('whatever is lost and overtaken, each frame comes out at most once, and no frame is lost that came', () => {
  const delays = fc.array(fc.record({ lost: fc.boolean(), delay: fc.integer({ min: 0, max: 3 }) }), { minLength: 30, maxLength: 60 });
  fc.assert(
    fc.property(delays, fc.constantFrom(1 as const, 2 as const), (fates, distance) => {
      const arriving = stream(fates.length, distance)
        .map((one, i) => ({ one, i, at: i + fates[i].delay, lost: fates[i].lost && i > 0 }))
        .filter(({ lost }) => !lost)
        .sort((a, b) => a.at - b.at);
      const heard = receive(arriving.map(({ one }) => one));
      assert.equal(new Set(heard).size, heard.length);
      for (const { i } of arriving) assert.ok(heard.includes(i), `frame ${i} came`);
    }),
    { seed: 2198, numRuns: 300 },
  );
});

test('packets of another payload type and malformed redundancy are refused', () => {
  const frames = new ReceivedFrames(OPUS, RED);
  assert.equal(frames.handle(packet(0, frame(0), 0, 0)), false);
  assert.equal(frames.handle(packet(RED, Uint8Array.of(0x80 | OPUS, 0, 0), 0, 0)), false);
  assert.equal(frames.handle(packet(RED, Uint8Array.of(0, 1, 2), 0, 0)), false);
  assert.equal(new ReceivedFrames(OPUS, null).handle(packet(RED, Uint8Array.of(OPUS, 1), 0, 0)), false);
});

test('blocks of another codec and empty ones are passed over', () => {
  const frames = new ReceivedFrames(OPUS, RED);
  assert.ok(frames.handle(packet(OPUS, frame(0), 0, 0)));
  frames.poll();
  // Block of type 9, one byte; an empty block; the newest.
  const payload = Uint8Array.of(0x80 | 9, (1920 >> 6) & 0xff, (1920 << 2) & 0xff, 1, 0x80 | OPUS, 960 >> 6, (960 << 2) & 0xff, 0, OPUS, 0xaa, 0xbb);
  assert.ok(frames.handle(packet(RED, payload, 3, 2880)));
  assert.deepEqual(frames.poll()?.payload.slice(), Uint8Array.of(0xbb));
  assert.equal(frames.poll(), null);
  assert.equal(frames.recovered, 0);
});

test('another source starts anew', () => {
  const frames = new ReceivedFrames(OPUS, RED);
  for (const ssrc of [1, 2]) {
    assert.ok(frames.handle(packet(OPUS, frame(5), 5, 5, ssrc)));
    assert.equal(frames.poll()?.sequence, 5);
  }
});

test('a packet stays within the smallest path: old frames are left out, and a long one goes alone', () => {
  const sender = new RedSender(OPUS, 2);
  const lengths = [400, 400, 400, 1200, 100, 100, 100].map((length, i) => sender.pack(new Uint8Array(length), i * 960)?.length ?? 0);
  assert.deepEqual(lengths, [0, 805, 805, 0, 0, 205, 309]);
});

test('frames from before a pause do not go along', () => {
  const sender = new RedSender(OPUS, 2);
  sender.pack(frame(0), 0);
  assert.equal(sender.pack(frame(1), 48_000)?.length, 1 + frame(1).length);
});

test('redundancy follows the loss at once, and leaves it after three better reports', () => {
  const control = new RedundancyControl();
  const after = (...losses: number[]): number[] => losses.map((loss) => (control.handleLoss(loss), control.distance));
  assert.deepEqual(after(0, 0.01, 0.019), [0, 0, 0]);
  assert.deepEqual(after(0.02, 0.015, 0, 0.015, 0, 0), [1, 1, 1, 1, 1, 1]);
  assert.deepEqual(after(0, 0), [0, 0]);
  assert.deepEqual(after(0.3, 0.05, 0.05, 0.05), [2, 2, 2, 2]);
  assert.deepEqual(after(0.03, 0.03, 0.03), [2, 2, 1]);
  assert.deepEqual(after(0, 0, 0, 0), [1, 1, 0, 0]);
});

test('an adaptive sender adds nothing until loss is reported', () => {
  const sender = new RedSender(OPUS, 'adaptive');
  for (let i = 0; i < 5; i++) assert.equal(sender.pack(frame(i), i * 960), null);
  sender.handleLoss(0.1);
  assert.equal(sender.pack(frame(5), 5 * 960), null);
  assert.equal(sender.pack(frame(6), 6 * 960)?.length, 4 + frame(5).length + 1 + frame(6).length);
});
