import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRtcp, writeGoodbye, writeNack } from '../../../src/webrtc/rtp/rtcp.ts';
import { RTCP_INTERVAL_MS } from '../../../src/webrtc/rtp/rtcp-interval.ts';
import { RtpPacket } from '../../../src/webrtc/rtp/rtp-packet.ts';
import { RtpSession, type RtpSessionOptions, type RtpSessionOutput } from '../../../src/webrtc/rtp/rtp-session.ts';
import { fuzz } from './support.ts';
import { seededBytes, seededRandom } from '../../support/random.ts';

const FRAME_MS = 20;
const START = 1000;
const UNIX_START = 1_700_000_000_000;

interface Path {
  readonly loss: number;
  readonly delayMs: number;
  readonly jitterMs: number;
}
const CLEAN: Path = { loss: 0, delayMs: 25, jitterMs: 0 };

/** Two sessions and the network between them, in virtual time. Their clocks have different origins. */
class Call {
  readonly sides: Side[];
  readonly #random = seededRandom(42);
  readonly #flying: { at: number; to: Side; kind: 'rtp' | 'rtcp'; data: Uint8Array }[] = [];
  readonly #path: Path;
  now = START;

  constructor(path: Path, options: Partial<RtpSessionOptions> = {}) {
    this.#path = path;
    this.sides = [new Side(1, 0, options), new Side(2, 777_777.25, options)];
  }

  /** Runs for a while in steps of 1 ms; every side for which `talks` sends a frame each 20 ms. */
  run(ms: number, talks: (side: Side) => boolean = () => true): void {
    for (const end = this.now + ms; this.now < end; this.now++) {
      const due = this.#flying.filter(({ at }) => at <= this.now).sort((a, b) => a.at - b.at);
      for (const packet of due) {
        this.#flying.splice(this.#flying.indexOf(packet), 1);
        packet.to.receive(packet.kind, packet.data, this.now);
      }
      for (const side of this.sides) {
        const frame = (this.now - START) / FRAME_MS;
        if (Number.isInteger(frame) && talks(side)) this.#fly(side, 'rtp', side.write(frame, this.now));
        this.drain(side);
      }
    }
  }

  drain(side: Side): void {
    side.session.handleTimeout(side.clock(this.now));
    for (let output = side.session.poll(); ; output = side.session.poll()) {
      if (output.type === 'timeout') {
        assert.ok(output.at > side.clock(this.now), 'a deadline in the past would spin');
        return;
      }
      side.outputs.push(output.type === 'bye' ? output : { type: output.type, data: output.data.slice() });
      if (output.type === 'rtcp') this.#fly(side, 'rtcp', output.data.slice());
      if (output.type === 'retransmit') this.#fly(side, 'rtp', output.data.slice());
    }
  }

  #fly(from: Side, kind: 'rtp' | 'rtcp', data: Uint8Array): void {
    if (this.#random() < this.#path.loss) return;
    const to = this.sides[from === this.sides[0] ? 1 : 0];
    this.#flying.push({ at: this.now + this.#path.delayMs + this.#random() * this.#path.jitterMs, to, kind, data });
  }
}

class Side {
  readonly session: RtpSession;
  readonly outputs: RtpSessionOutput[] = [];
  readonly written: Uint8Array[] = [];
  readonly received = new Set<number>();
  readonly #offset: number;

  constructor(ssrc: number, offset: number, options: Partial<RtpSessionOptions>) {
    this.#offset = offset;
    this.session = createSession({ ssrc, ntpEpochOffset: UNIX_START - offset, random: seededBytes(ssrc), ...options }, this.clock(START));
  }

  clock(now: number): number {
    return now + this.#offset;
  }

  write(frame: number, now: number): Uint8Array {
    const out = new Uint8Array(200);
    const payload = new Uint8Array(80).fill(frame);
    const length = this.session.writeRtp(
      out,
      { payload, payloadType: 111, timestamp: frame * 960, marker: frame === 0 },
      this.clock(now),
    );
    this.written.push(out.slice(0, length));
    return this.written.at(-1)!;
  }

  receive(kind: 'rtp' | 'rtcp', data: Uint8Array, now: number): void {
    if (kind === 'rtcp') this.session.handleRtcp(data, data.length, this.clock(now));
    else this.received.add(this.session.handleRtp(data, data.length, this.clock(now))!.sequence);
  }

  reports(): number {
    return this.outputs.filter((output) => output.type === 'rtcp' && (output.data[1] === 200 || output.data[1] === 201)).length;
  }
}

describe('RtpSession', () => {
  it('measures the round trip, though the two clocks have nothing in common', () => {
    const call = new Call(CLEAN);
    call.run(10_000);
    for (const { session } of call.sides) {
      const stats = session.stats();
      assert.ok(Math.abs(stats.rttMs! - 50) <= 2, `${stats.rttMs} ms`);
      assert.deepEqual([stats.localLoss, stats.remoteLoss, stats.packetsLost], [0, 0, 0]);
      assert.ok(stats.jitterMs! < 0.01 && stats.remoteJitterMs! < 0.1);
      assert.deepEqual(stats.faults, { 'malformed-rtp': 0, 'malformed-rtcp': 0, 'retransmission-unavailable': 0 });
      assert.equal(stats.packetsSent, 500);
      assert.equal(stats.octetsReceived, 80 * stats.packetsReceived);
    }
  });

  it('reports loss and jitter to the one who can do something about it', () => {
    const call = new Call({ loss: 0.1, delayMs: 30, jitterMs: 40 });
    call.run(60_000);
    const [a, b] = call.sides.map(({ session }) => session.stats());
    const lost = a.packetsLost / a.packetsReceived;
    assert.ok(lost > 0.07 && lost < 0.15, `${lost}`);
    assert.ok(a.localLoss! > 0.01 && b.remoteLoss! > 0.01);
    assert.ok(a.jitterMs! > 5 && a.jitterMs! < 20, `${a.jitterMs}`);
    assert.ok(Math.abs(b.remoteJitterMs! - a.jitterMs!) < 8);
  });

  it('sends reports at random times, two of three in every three seconds, first soon', () => {
    const call = new Call(CLEAN);
    call.run(0.75 * RTCP_INTERVAL_MS + 1);
    assert.ok(call.sides.every((side) => side.reports() === 1));
    call.run(40 * RTCP_INTERVAL_MS);
    for (const side of call.sides) assert.ok(side.reports() > 30 && side.reports() < 55, `${side.reports()}`);
  });

  it('sends sender reports while it sends, receiver reports when it only listens, a name in both', () => {
    const call = new Call(CLEAN);
    call.run(10_000, (side) => side === call.sides[0]);
    const kinds = call.sides.map(({ outputs }) =>
      outputs.map((output) => (output.type === 'rtcp' ? parseRtcp(output.data, output.data.length)! : [])),
    );
    assert.ok(kinds[0].every(([report, name]) => report.type === 'sender-report' && name.type === 'source-description'));
    assert.ok(kinds[1].every(([report]) => report.type === 'receiver-report'));
    assert.deepEqual(kinds[1].at(-1)![1], { type: 'source-description', chunks: [{ ssrc: 2, cname: 'earshot' }] });
  });

  it('gets lost packets again where NACK was negotiated, byte for byte as they were', () => {
    const call = new Call({ loss: 0.1, delayMs: 20, jitterMs: 5 }, { nack: true, reducedSize: true });
    call.run(20_000);
    call.run(1000, () => false);
    for (const [at, side] of call.sides.entries()) {
      const peer = call.sides[1 - at];
      const missed = peer.written.filter((packet) => !side.received.has((packet[2] << 8) | packet[3])).length;
      assert.ok(missed < peer.written.length / 100, `${missed} of ${peer.written.length} still missing`);
      const repeated = peer.outputs.flatMap((output) => (output.type === 'retransmit' ? [output.data] : []));
      assert.ok(repeated.length > 50);
      assert.equal(peer.session.stats().packetsRetransmitted, repeated.length);
      const originals = new Set(peer.written.map((packet) => Buffer.from(packet).toString('hex')));
      for (const data of repeated) assert.ok(originals.has(Buffer.from(data).toString('hex')));
    }
  });

  it('neither asks nor repeats where NACK was not negotiated', () => {
    const call = new Call({ loss: 0.1, delayMs: 20, jitterMs: 5 });
    call.run(10_000);
    const nack = new Uint8Array(32);
    const [side] = call.sides;
    const sequence = (side.written.at(-1)![2] << 8) | side.written.at(-1)![3];
    const end = writeNack(nack, 0, { senderSsrc: 2, mediaSsrc: 1, lost: [sequence] });
    side.session.handleRtcp(nack, end, side.clock(call.now));
    call.drain(side);
    assert.equal(side.session.stats().packetsRequested, 0);
    assert.ok(side.outputs.every(({ type }) => type !== 'retransmit'));
  });

  it('is not made to send more than it was asked for by a NACK that repeats itself', () => {
    const [side] = new Call(CLEAN, { nack: true }).sides;
    const now = side.clock(START);
    for (let frame = 0; frame < 200; frame++) side.write(frame, START);
    const all = side.written.map((packet) => (packet[2] << 8) | packet[3]);
    const buffer = new Uint8Array(8192);
    let end = 0;
    for (let i = 0; i < 100; i++) end = writeNack(buffer, end, { senderSsrc: 2, mediaSsrc: 1, lost: all });
    side.session.handleRtcp(buffer, end, now);
    side.session.handleRtcp(buffer, end, now);
    let repeats = 0;
    for (let output = side.session.poll(); output.type !== 'timeout'; output = side.session.poll()) {
      if (output.type === 'retransmit') repeats++;
    }
    assert.equal(repeats, 32);
    assert.ok(side.session.stats().faults['retransmission-unavailable'] > 0);
  });

  it('reports every arrival by its transport-wide number, four times a second at most', () => {
    const call = new Call({ loss: 0.05, delayMs: 20, jitterMs: 30 }, {
      transportFeedback: true,
      transportNumbers: true,
      reducedSize: true,
      extensions: { transportSequence: 3, mid: 4 },
    });
    call.run(5000);
    call.run(500, () => false);
    const [a, b] = call.sides;
    const feedback = a.outputs.flatMap((output) =>
      output.type === 'rtcp' ? parseRtcp(output.data, output.data.length)!.filter(({ type }) => type === 'transport-feedback') : [],
    );
    const reported = new Set<number>();
    for (const packet of feedback) {
      if (packet.type === 'transport-feedback') for (const { sequence } of packet.received) reported.add(sequence);
    }
    const packet = new RtpPacket();
    const expected = new Set<number>();
    b.written.forEach((bytes) => {
      assert.ok(packet.read(bytes, bytes.length));
      const at = packet.findExtension(3);
      if (a.received.has(packet.sequence)) expected.add((bytes[at] << 8) | bytes[at + 1]);
    });
    assert.ok(expected.size > 200);
    assert.deepEqual(reported, expected);
    assert.ok(feedback.length <= 22, `${feedback.length} in five seconds`);
  });

  it('puts a report and a name before feedback unless reduced size was negotiated', () => {
    const call = new Call({ loss: 0.2, delayMs: 20, jitterMs: 0 }, { nack: true });
    call.run(3000);
    for (const output of call.sides[0].outputs) {
      if (output.type !== 'rtcp') continue;
      const [first, second] = parseRtcp(output.data, output.data.length)!;
      assert.match(first.type, /report/);
      assert.equal(second.type, 'source-description');
    }
  });

  it('says goodbye once, with what it has to report, and then nothing more', () => {
    const call = new Call(CLEAN);
    call.run(2000);
    const [a, b] = call.sides;
    a.session.close(a.clock(call.now), 'done');
    a.session.close(a.clock(call.now), 'again');
    const output = a.session.poll();
    assert.ok(output.type === 'rtcp');
    const packets = parseRtcp(output.data, output.data.length)!;
    assert.deepEqual(packets.map(({ type }) => type), ['sender-report', 'source-description', 'goodbye']);
    b.receive('rtcp', output.data, call.now);
    assert.deepEqual(b.session.poll(), { type: 'bye', ssrc: 1, reason: 'done' });
    a.session.handleTimeout(a.clock(call.now + 60_000));
    assert.deepEqual(a.session.poll(), { type: 'timeout', at: Number.POSITIVE_INFINITY });
  });

  it('does not report on a stream that has ended, and starts afresh when it comes back', () => {
    const [side] = new Call(CLEAN).sides;
    const { session } = side;
    const peer = new Call(CLEAN).sides[1];
    for (let frame = 0; frame < 5; frame++) side.receive('rtp', peer.write(frame, START), START);
    const out = new Uint8Array(64);
    session.handleRtcp(out, writeGoodbye(out, 0, 2, new Uint8Array(0)), START);
    assert.equal(session.poll().type, 'bye');
    session.handleTimeout(START + 5000);
    const output = session.poll();
    assert.ok(output.type === 'rtcp');
    const [report] = parseRtcp(output.data, output.data.length)!;
    assert.ok(report.type === 'receiver-report' && report.reports.length === 0);
    side.receive('rtp', peer.write(900, START), START + 5001);
    assert.equal(session.stats().packetsLost, 0);
  });

  it('remembers a bounded number of streams, the latest of them', () => {
    const session = createSession({}, 0);
    const packet = new Uint8Array(20);
    packet[0] = 0x80;
    for (let ssrc = 1; ssrc <= 1000; ssrc++) {
      new DataView(packet.buffer).setUint32(8, ssrc);
      session.handleRtp(packet, packet.length, ssrc / 1000);
    }
    session.handleTimeout(5000);
    const output = session.poll();
    assert.ok(output.type === 'rtcp');
    const [report] = parseRtcp(output.data, output.data.length)!;
    assert.ok(report.type === 'receiver-report');
    assert.deepEqual(report.reports.map(({ ssrc }) => ssrc), [997, 998, 999, 1000]);
  });

  it('refuses a payload that does not fit, before anything is counted', () => {
    const session = createSession({}, 0);
    const frame = { payload: new Uint8Array(100), payloadType: 111, timestamp: 0, marker: false };
    assert.throws(() => session.writeRtp(new Uint8Array(110), frame, 0), RangeError);
    assert.equal(session.stats().packetsSent, 0);
  });

  it('counts malformed packets and survives 100,000 of them', () => {
    const session = createSession({ nack: true, transportFeedback: true, extensions: { transportSequence: 3 } }, 0);
    const sender = new Call(CLEAN, { transportNumbers: true, extensions: { transportSequence: 3 } }).sides[0];
    const nack = new Uint8Array(16);
    writeNack(nack, 0, { senderSsrc: 1, mediaSsrc: 9, lost: [1, 2] });
    let now = 0;
    fuzz(3, [sender.write(0, START), nack], (input, length) => {
      now += 0.1;
      session.handleRtp(input, length, now);
      session.handleRtcp(input, length, now);
      let outputs = 0;
      for (let output = session.poll(); output.type !== 'timeout'; output = session.poll()) {
        assert.ok(++outputs < 1000, 'poll does not come to an end');
        if (output.type === 'rtcp') assert.ok(parseRtcp(output.data, output.data.length), 'what it sends is malformed');
      }
    });
    const { faults, packetsReceived } = session.stats();
    assert.ok(faults['malformed-rtp'] > 10_000 && faults['malformed-rtcp'] > 10_000 && packetsReceived > 10_000);
  });
});

function createSession(options: Partial<RtpSessionOptions>, now: number): RtpSession {
  return new RtpSession(
    {
      random: seededBytes(9),
      ntpEpochOffset: UNIX_START,
      ssrc: 9,
      cname: 'earshot',
      clockRate: 48_000,
      mid: '0',
      extensions: {},
      nack: false,
      transportFeedback: false,
      transportNumbers: false,
      reducedSize: false,
      ...options,
    },
    now,
  );
}
