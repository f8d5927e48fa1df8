/** The set-up of a caller without WARP, as most are today, when datagrams are lost: until the agent is heard and its first event is there. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sameAddress } from '../../../src/wire/address.ts';
import { numberedFrame, TwoSessions, type TwoSessionsOptions } from './two-sessions.ts';

const HALF = 50;
const RTT = 2 * HALF;
/** As long as `session.created`: three datagrams. */
const CREATED = 'x'.repeat(2_500);
const AGREED = [{ label: 'oai-events', negotiated: true, id: 0 }];
const LIMIT_MS = 20_000;

/** A call whose server speaks as soon as it may, and sends an event on the channel that the caller has opened. */
function talkative(options: TwoSessionsOptions): TwoSessions {
  const call = new TwoSessions({ minDelay: HALF, snap: false, caller: { dtls: { groups: ['x25519mlkem768', 'x25519'] } }, ...options });
  call.onEvent = (end, event) => {
    if (event.type === 'ready-to-send' && end === call.caller && !options.channels) end.session.openChannel({ label: 'oai-events' }, call.now);
    if (event.type === 'channel' && end === call.server) end.session.sendMessage(event.channel.id, CREATED, call.now);
  };
  return call;
}

/** When the agent has been heard and the first event is there. */
function upAt(call: TwoSessions): number {
  const { times } = call.caller;
  for (let i = 0; call.now < LIMIT_MS && !(times.audio && times.message); i++) {
    call.server.session.sendAudio(numberedFrame(i), i * 960, i === 0, call.now);
    call.run(call.now + 20);
  }
  return Math.max(times.audio ?? LIMIT_MS, times.message ?? LIMIT_MS);
}

const CHANNELS = [
  { name: 'a channel announced in band', options: {} },
  { name: 'an agreed channel', options: { channels: AGREED } },
] as const;

for (const { name, options } of CHANNELS) {
  describe(name, () => {
    const clean = upAt(talkative(options));

    test('the agent is heard after two round trips, the first event comes after four', () => {
      const call = talkative(options);
      upAt(call);
      // Frames leave every 20 ms here.
      assert.ok(call.caller.times.audio! <= 2 * RTT + 20);
      assert.equal(call.caller.times.message, 4 * RTT);
    });

    test('whichever datagram of the server is lost, its second copy brings it 20 ms later', () => {
      for (let lost = 0; lost < 40; lost++) {
        const call = talkative(options);
        let sent = 0;
        call.filter = ({ from, data }) => !sameAddress(from, call.server.address) || data[0] >= 128 || sent++ !== lost;
        const at = upAt(call);
        // The test's own clock has steps of 20 ms.
        assert.ok(at <= clean + 40, `datagram ${lost} of the server lost: ${at} ms, ${clean} without`);
      }
    });

    test('whichever is lost with its copy, what it delays comes two round trips later at most', () => {
      for (let lost = 0; lost < 20; lost++) {
        const call = talkative(options);
        const seen: string[] = [];
        call.filter = ({ from, data }) => {
          if (!sameAddress(from, call.server.address) || data[0] >= 128) return true;
          const text = Buffer.from(data).toString('latin1');
          if (!seen.includes(text)) seen.push(text);
          return seen.indexOf(text) !== lost;
        };
        const at = upAt(call);
        assert.ok(at <= clean + 2 * RTT + 20, `datagram ${lost} of the server and its copy lost: ${at} ms, ${clean} without`);
      }
    });

    test('when the call is up nothing leaves twice, and before that not more than a few kilobytes', () => {
      const call = talkative(options);
      const datagrams: { text: string; at: number }[] = [];
      call.tap = ({ from, data, at }) => {
        if (sameAddress(from, call.server.address) && data[0] < 128) datagrams.push({ text: Buffer.from(data).toString('latin1'), at });
      };
      upAt(call);
      const { id } = call.server.events.flatMap((event) => (event.type === 'channel' ? [event.channel] : []))[0] ?? { id: 0 };
      call.run(call.now + 1_500);
      const settled = call.now;
      for (let i = 0; i < 20; i++) {
        call.server.session.sendMessage(id, `event ${i}`, call.now);
        call.run(call.now + 50);
      }
      const copies = datagrams.filter(({ text }, i) => datagrams.findIndex((other) => other.text === text) < i);
      assert.ok(copies.length > 5 && copies.every(({ at }) => at < settled), 'something left twice later');
      assert.ok(copies.reduce((sum, { text }) => sum + text.length, 0) < 10_000);
    });

    test('95 of 100 calls of our own core are set up within 1.75 times what it takes without loss', () => {
      for (const loss of [0.02, 0.1]) {
        const times = Array.from({ length: 200 }, (_, seed) => upAt(talkative({ ...options, seed: seed + 1, loss }))).sort((a, b) => a - b);
        const p95 = times[Math.ceil(0.95 * times.length) - 1];
        assert.ok(p95 < 1.75 * clean, `${p95} ms at a loss of ${loss}, ${clean} ms without`);
      }
    });
  });
}

test('the first flight is repeated as soon as the answer to the first check has shown the round trip', () => {
  const half = 20;
  const call = new TwoSessions({ minDelay: half });
  const sent: number[] = [];
  const seen = new Set<string>();
  call.filter = ({ from, data }) => !(sameAddress(from, call.server.address) && data[0] === 22);
  call.tap = ({ from, data, at }) => {
    const text = Buffer.from(data).toString('latin1');
    // A second copy is no repetition: that one has new record numbers.
    if (sameAddress(from, call.server.address) && data[0] === 22 && !seen.has(text)) sent.push(at);
    seen.add(text);
  };
  call.run(3 * half + 75);
  const [first, ...again] = sent.filter((at, i) => at !== sent[i - 1]);
  assert.deepEqual([first, again[0]], [3 * half, 3 * half + 1.5 * 2 * half]);
});
