import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Uplink, type UplinkCounters } from '../../src/conversation/uplink.ts';
import type { RedDistance } from '../../src/webrtc/rtp/red-sender.ts';
import { encodeWav, readWav } from '../media/wav.ts';
import { TwoSessions } from '../webrtc/session/two-sessions.ts';
import { seededRandom } from '../support/random.ts';
import { isRtp } from '../support/rtp.ts';

/** True for a packet that is lost. */
type Loss = () => boolean;

const random = (share: number, seed: number): Loss => {
  const fraction = seededRandom(seed);
  return () => fraction() < share;
};

/** Losses in bursts of this mean length (Gilbert's model), `share` of all packets. */
const bursts = (share: number, length: number, seed: number): Loss => {
  const fraction = seededRandom(seed);
  let bad = false;
  return () => (bad = fraction() < (bad ? 1 - 1 / length : share / ((1 - share) * length)));
};

const speech = encodeWav(readWav('hello.wav'));
const FRAMES = 3000;

interface Outcome {
  readonly lost: number;
  readonly uplink: UplinkCounters;
  readonly recovered: number;
  readonly requested: number;
}

/**
 * A minute of speech on the way that it takes in a call: Opus, RED, SRTP, a network that delays each packet by 20 to
 * 35 ms and loses some, SRTP, RED, jitter buffer, decoder. Only speech is lost, so that losses can be counted.
 */
function talk(loss: Loss, redundancy: RedDistance | undefined, nack: boolean): Outcome {
  const sessions = new TwoSessions({
    minDelay: 20,
    maxDelay: 35,
    ...(redundancy === undefined ? {} : { caller: { redundancy } }),
    editOffer: (sdp) => (nack ? sdp : sdp.replace(/a=rtcp-fb:111 nack\r\n/, '')),
  }).connect();
  const { caller, server } = sessions;
  const uplink = new Uplink(16_000, null, { samples: () => {}, turn: () => {} });
  server.onAudio = ({ payload, sequence, timestamp }, now) => uplink.push(payload, sequence, timestamp, now);
  let lost = 0;
  let sent = 0;
  sessions.filter = ({ data, to }) => {
    if (!isRtp(data) || to.port !== server.address.port || !(sent++ > 0 && sent < FRAMES - 5 && loss())) return true;
    lost++;
    return false;
  };
  for (let i = 0; i < FRAMES; i++) {
    caller.session.sendAudio(speech[i % speech.length], i * 960, false, sessions.now);
    sessions.drain();
    sessions.run(sessions.now + 20);
    uplink.tick(sessions.now);
  }
  for (let i = 0; i < 20; i++) {
    sessions.run(sessions.now + 20);
    uplink.tick(sessions.now);
  }
  const stats = server.session.stats()!;
  assert.equal(uplink.positionMs, FRAMES * 20, 'every frame has its time');
  return { lost, uplink: uplink.counters, recovered: stats.framesRecovered, requested: stats.packetsRequested };
}

test('20 % random loss: two older frames in each packet bring 99 % of the speech through, nothing asked for again', () => {
  const { lost, uplink, recovered } = talk(random(0.2, 7), 2, false);
  assert.ok(lost > FRAMES * 0.18, `${lost} lost`);
  assert.ok(uplink.decoded >= FRAMES * 0.99, JSON.stringify(uplink));
  assert.ok(recovered >= lost * 0.95, `${recovered} of ${lost} recovered`);
});

test('5 % loss in bursts: the same', () => {
  const { lost, uplink } = talk(bursts(0.05, 1.5, 11), 2, false);
  assert.ok(lost > FRAMES * 0.035, `${lost} lost`);
  assert.ok(uplink.decoded >= FRAMES * 0.99, JSON.stringify(uplink));
});

test('longer bursts: what redundancy leaves is asked for again', () => {
  const { lost, uplink, recovered, requested } = talk(bursts(0.05, 3, 5), 2, true);
  assert.ok(lost > FRAMES * 0.035, `${lost} lost`);
  assert.ok(uplink.decoded >= FRAMES * 0.99, JSON.stringify(uplink));
  assert.ok(requested > 0 && recovered > lost / 2, `${requested} asked for, ${recovered} recovered, ${lost} lost`);
});

test('without redundancy forward error correction brings back what was lost alone', () => {
  const { lost, uplink } = talk(random(0.2, 7), undefined, false);
  assert.equal(uplink.concealed + uplink.restored, lost);
  assert.ok(uplink.decoded + uplink.restored >= FRAMES * 0.9, JSON.stringify(uplink));
});

test('with one older frame, as browsers send it, its forward error correction reaches one further back', () => {
  const { lost, uplink } = talk(random(0.2, 7), 1, false);
  assert.ok(lost > FRAMES * 0.18, `${lost} lost`);
  assert.ok(uplink.decoded + uplink.restored >= FRAMES * 0.98, JSON.stringify(uplink));
});

test('the other way: redundancy begins when the caller reports loss, and ends on a clean path', () => {
  const sessions = new TwoSessions({ minDelay: 20, caller: { redundancy: 2 } }).connect();
  const { caller, server } = sessions;
  const heard = new Set<number>();
  caller.onAudio = ({ sequence }) => heard.add(sequence);
  const distance = (): number => server.session.stats()!.redundancy;
  const speak = (frames: number): void => {
    for (let i = 0; i < frames; i++) {
      server.session.sendAudio(speech[i % speech.length], sessions.now * 48, false, sessions.now);
      sessions.drain();
      sessions.run(sessions.now + 20);
    }
  };
  speak(200);
  assert.equal(distance(), 0);
  const loss = random(0.2, 3);
  sessions.filter = ({ data, to }) => !(data[0] >= 128 && to.port === caller.address.port && loss());
  speak(300);
  assert.equal(distance(), 2);
  heard.clear();
  speak(500);
  assert.ok(heard.size >= 495 * 0.99, `${heard.size} of 500 heard`);
  sessions.filter = () => true;
  speak(800);
  assert.equal(distance(), 0);
});
