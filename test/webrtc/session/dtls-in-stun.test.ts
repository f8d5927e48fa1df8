/** The DTLS handshake inside of STUN (SPED) and 0.5-RTT sending, between two of our own sessions in virtual time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { StunAttribute } from '../../../src/webrtc/stun/attributes.ts';
import { StunMessage } from '../../../src/webrtc/stun/message.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { numberedFrame, SERVER_ADDRESS, TwoSessions, type End, type TwoSessionsOptions } from './two-sessions.ts';

const HALF = 50;
const RTT = 2 * HALF;
const SPED = { caller: { dtlsInStun: true } } as const;
const PLAIN = { caller: {} } as const;
const ONLY_12 = { versions: ['1.2'] } as const;
const POST_QUANTUM = { groups: ['x25519mlkem768', 'x25519'] } as const;
const PASSIVE_CALLER = (sdp: string): string => sdp.replaceAll('a=setup:actpass', 'a=setup:passive');

interface InStunDump {
  readonly state: string;
  readonly counters: { readonly datagramsIn: number; readonly datagramsOut: number; readonly held: number; readonly malformed: number };
}

function inStun(end: End): InStunDump {
  return (end.session.dump() as { dtlsInStun: InStunDump }).dtlsInStun;
}

/** A call in which both ends speak, and the caller opens a channel, as soon as they may. */
function talkative(options: TwoSessionsOptions = {}): TwoSessions {
  const call = new TwoSessions({ minDelay: HALF, snap: false, ...options });
  call.onEvent = (end, event) => {
    if (event.type !== 'ready-to-send') return;
    end.session.sendAudio(numberedFrame(7), 0, true, call.now);
    if (end === call.caller) end.session.openChannel({ label: 'oai-events' }, call.now);
  };
  return call;
}

/** When things were there, in round trips after the answer was applied. */
function roundTrips(options: TwoSessionsOptions): Record<string, number> {
  const call = talkative(options);
  call.run(2_000);
  const at = (end: End, what: keyof End['times']): number => (end.times[what] ?? Number.NaN) / RTT;
  return {
    serverReady: at(call.server, 'ready-to-send'),
    agentHeard: at(call.caller, 'audio'),
    callerHeard: at(call.server, 'audio'),
    callerConnected: at(call.caller, 'connected'),
    serverConnected: at(call.server, 'connected'),
    channelAtServer: at(call.server, 'channel'),
  };
}

const EXPECTED: readonly { name: string; options: TwoSessionsOptions; expected: Record<string, number> }[] = [
  {
    name: 'DTLS 1.2',
    options: { ...PLAIN, server: { dtls: ONLY_12 } },
    expected: { serverReady: 2.5, agentHeard: 3, callerHeard: 3.5, callerConnected: 3, serverConnected: 2.5, channelAtServer: 4.5 },
  },
  {
    name: 'DTLS 1.3',
    options: PLAIN,
    expected: { serverReady: 1.5, agentHeard: 2, callerHeard: 2.5, callerConnected: 2, serverConnected: 2.5, channelAtServer: 3.5 },
  },
  {
    name: 'DTLS 1.3 without early sending',
    options: { ...PLAIN, server: { earlySending: false } },
    expected: { serverReady: 2.5, agentHeard: 3, callerHeard: 2.5, callerConnected: 2, serverConnected: 2.5, channelAtServer: 3.5 },
  },
  {
    // What is sent early leaves 10 ms after the flight that went with the first answer.
    name: 'SPED and DTLS 1.3',
    options: SPED,
    expected: { serverReady: 0.6, agentHeard: 1.1, callerHeard: 1.5, callerConnected: 1, serverConnected: 1.5, channelAtServer: 2.5 },
  },
  {
    name: 'SPED and DTLS 1.3 without early sending',
    options: { ...SPED, server: { earlySending: false } },
    expected: { serverReady: 1.5, agentHeard: 2, callerHeard: 1.5, callerConnected: 1, serverConnected: 1.5, channelAtServer: 2.5 },
  },
  {
    // The second piece of the ClientHello comes with the second check, 50 ms after the first: half a round trip here.
    name: 'SPED and DTLS 1.3, post-quantum',
    options: { caller: { dtlsInStun: true, dtls: POST_QUANTUM } },
    expected: { serverReady: 1, agentHeard: 1.5, callerHeard: 2, callerConnected: 1.5, serverConnected: 2, channelAtServer: 3 },
  },
  {
    name: 'SPED and DTLS 1.3 with SNAP',
    options: { ...SPED, snap: true },
    expected: { serverReady: 0.6, agentHeard: 1.1, callerHeard: 1.5, callerConnected: 1, serverConnected: 1.5, channelAtServer: 1.5 },
  },
  {
    name: 'SPED and DTLS 1.2',
    options: { ...SPED, server: { dtls: ONLY_12 } },
    expected: { serverReady: 1.5, agentHeard: 2, callerHeard: 2.5, callerConnected: 2, serverConnected: 1.5, channelAtServer: 3.5 },
  },
];

describe('round trips after the answer', () => {
  for (const { name, options, expected } of EXPECTED) {
    test(name, () => assert.deepEqual(roundTrips(options), expected));
  }
});

test('with SNAP the first message of an agreed channel is there after one round trip', () => {
  const channels = [{ label: 'oai-events', negotiated: true, id: 0 }];
  const call = new TwoSessions({ ...SPED, minDelay: HALF, channels });
  call.onEvent = (end, event) => {
    if (event.type === 'channel') end.session.sendMessage(0, end === call.server ? 'session.created' : 'hello', call.now);
  };
  call.run(1_000);
  // 10 ms after the flight, see FIRST_ANSWER_HOLD.
  assert.deepEqual([call.caller.times.message, call.server.times.message], [RTT + 10, 1.5 * RTT]);
});

test('without SNAP the association is up a round trip after DTLS, since both sides begin', () => {
  const channels = [{ label: 'oai-events', negotiated: true, id: 0 }];
  const call = new TwoSessions({ ...PLAIN, minDelay: HALF, snap: false, channels });
  call.run(1_000);
  assert.deepEqual([call.caller.times.channel, call.server.times.channel], [3 * RTT, 3.5 * RTT]);
});

test('a session that ends while it holds back what it may send early is never ready to send', () => {
  const call = talkative(SPED);
  call.run(HALF + 5);
  call.server.session.close(call.now);
  call.run(1_000);
  assert.deepEqual([call.server.closeReason(), call.server.times['ready-to-send']], ['closed-locally', undefined]);
});

describe('a peer that does not take part costs nothing', () => {
  const plain = EXPECTED[1].expected;
  const plain12 = EXPECTED[0].expected;

  test('a server that is not told by the offer, but finds plain checks', () => {
    const call = talkative({ ...PLAIN });
    call.run(1_000);
    assert.equal(inStun(call.server).state, 'off');
    assert.deepEqual(roundTrips(PLAIN), plain);
  });

  test('a client whose answer does not echo the option sends no attribute', () => {
    const call = talkative({ ...SPED, server: { dtlsInStun: false } });
    assert.doesNotMatch(call.answerer.answer, /sped/);
    let seen = 0;
    call.tap = ({ data }) => (seen += carries(data) ? 1 : 0);
    call.run(1_000);
    assert.equal(seen, 0);
    assert.deepEqual(roundTrips({ ...SPED, server: { dtlsInStun: false } }), plain);
  });

  test('a client that finds out from the first answer sends its hello directly, at once', () => {
    const ignorant: TwoSessionsOptions = {
      ...SPED,
      server: { dtlsInStun: false },
      editAnswer: (sdp) => sdp.replace('a=ice-options:ice2', 'a=ice-options:ice2 sped'),
    };
    assert.deepEqual(roundTrips(ignorant), plain);
    assert.deepEqual(roundTrips({ ...ignorant, server: { dtlsInStun: false, dtls: ONLY_12 } }), plain12);
    assert.deepEqual(roundTrips({ ...ignorant, caller: { dtlsInStun: true, dtls: POST_QUANTUM } }), plain);
    const call = talkative(ignorant);
    call.run(1_000);
    assert.equal(inStun(call.caller).state, 'off');
  });

  test('a server that is the DTLS client is no slower either', () => {
    const times = roundTrips({ ...SPED, editOffer: PASSIVE_CALLER });
    const without = roundTrips({ ...PLAIN, editOffer: PASSIVE_CALLER });
    for (const [what, at] of Object.entries(times)) assert.ok(at <= without[what], `${what}: ${at} instead of ${without[what]}`);
    const call = talkative({ ...SPED, editOffer: PASSIVE_CALLER });
    call.run(1_000);
    assert.ok(inStun(call.caller).counters.datagramsIn > 0);
    assert.deepEqual([inStun(call.caller).state, inStun(call.server).state], ['complete', 'complete']);
  });
});

test('the offer and the answer name the option, in the words of the offer', () => {
  const call = new TwoSessions({
    ...SPED,
    editOffer: (sdp) => sdp.replace('a=ice-options:ice2 sped', 'a=ice-options:trickle sped googspedv1 renomination'),
  });
  assert.match(call.answerer.answer, /^a=ice-options:ice2 sped googspedv1\r$/m);
});

test('when all is done both sides are complete and checks carry nothing more', () => {
  const call = talkative(SPED);
  call.run(1_000);
  assert.deepEqual([inStun(call.caller).state, inStun(call.server).state], ['complete', 'complete']);
  let checks = 0;
  call.tap = ({ data }) => {
    if (data[0] < 4) checks++;
    assert.ok(!carries(data), 'an attribute after the end');
  };
  call.run(20_000);
  assert.ok(checks > 4);
});

test('no DTLS goes to the client before the answer to its check, nor a datagram above 1200 bytes', () => {
  for (const groups of [['x25519'], ['x25519mlkem768']] as const) {
    const call = talkative({ caller: { dtlsInStun: true, dtls: { groups } } });
    const first: number[] = [];
    call.tap = ({ data, to }) => {
      assert.ok(data.length <= 1200, `${data.length} bytes`);
      if (to.port !== parseAddress(SERVER_ADDRESS).port) first.push(data[0]);
    };
    call.run(1_000);
    assert.equal(first[0], 1);
    assert.ok(first.some((byte) => byte >= 20 && byte < 64));
  }
});

test('the same bytes again bring no flight; a repetition under a new record number does', () => {
  const call = talkative(SPED);
  const checks: Uint8Array[] = [];
  let flights = 0;
  call.filter = ({ data, to }) => {
    const atServer = to.port === parseAddress(SERVER_ADDRESS).port;
    if (atServer && data[0] === 0) checks.push(data.slice());
    // Nothing reaches the caller: it goes on to check.
    return atServer;
  };
  const handshakeRecords = (): number => (call.server.session.dump() as { dtls: { counters: { datagramsSent: number } } }).dtls.counters.datagramsSent;
  call.run(HALF);
  assert.equal(checks.length, 1);
  flights = handshakeRecords();
  assert.ok(flights > 0);
  for (let i = 0; i < 20; i++) call.deliver(checks[0], call.caller.address, call.server);
  assert.equal(handshakeRecords(), flights);
});

test('a caller that repeats its hello is answered again', () => {
  const call = talkative(SPED);
  let lost = 0;
  // The first answers are lost, and all that comes directly.
  call.filter = ({ data, to }) => to.port === parseAddress(SERVER_ADDRESS).port || (data[0] === 1 && ++lost > 3);
  call.run(600);
  assert.ok(call.caller.has('connected'));
});

describe('before the caller has shown its certificate', () => {
  const impostor = (sdp: string): string => sdp.replace(/(a=fingerprint:sha-256 )../, '$1FF');

  test('it hears the agent, but nothing that it says is heard, and the call ends', () => {
    const call = talkative({ ...SPED, editOffer: impostor });
    call.run(2_000);
    assert.ok(call.server.has('ready-to-send'));
    assert.deepEqual(call.server.heard, []);
    assert.deepEqual(call.server.messages(), []);
    assert.ok(!call.server.has('connected') && !call.server.has('channel'));
    assert.equal(call.server.closeReason(), 'dtls-failed');
  });

  test('nothing is sent when the policy says so', () => {
    const call = talkative({ ...SPED, editOffer: impostor, server: { earlySending: false } });
    call.run(2_000);
    assert.deepEqual(call.caller.heard, []);
    assert.ok(!call.server.has('ready-to-send'));
  });

  test('what overtakes its certificate is heard afterwards, in order', () => {
    const call = talkative({ ...SPED });
    let held: { data: Uint8Array }[] = [];
    call.filter = (datagram) => {
      const isFlight = call.caller.has('connected') && datagram.data[0] >= 20 && datagram.data[0] < 64 && datagram.to.port === 3478;
      if (isFlight && !call.server.has('connected') && call.now < 400) {
        held.push({ data: datagram.data.slice() });
        return false;
      }
      return true;
    };
    call.run(RTT);
    call.speak(call.caller, 5, 10);
    assert.deepEqual(call.server.heard, []);
    call.run(320);
    assert.deepEqual(call.server.heard, []);
    for (const { data } of held.splice(0)) call.deliver(data, call.caller.address, call.server);
    assert.deepEqual(call.server.heard, [7, 10, 11, 12, 13, 14]);
    held = [];
  });

  test('only so much of its media is kept, and of the agent’s sent', () => {
    const call = talkative({ ...SPED });
    let bytes = 0;
    let received = 0;
    call.filter = ({ data, to }) => {
      const toServer = to.port === 3478;
      if (toServer) received += data.length;
      else bytes += data.length;
      // Its certificate never comes.
      return !(toServer && data[0] >= 20 && data[0] < 64);
    };
    const strip = call.filter;
    call.filter = (datagram) => strip(datagram) && !(datagram.to.port === 3478 && datagram.data[0] === 0 && call.now > HALF);
    call.run(RTT);
    call.speak(call.caller, 100);
    call.speak(call.server, 1_000);
    assert.ok(call.server.session.counters['early-media-full'] > 0);
    assert.ok(call.caller.heard.length < 400, `${call.caller.heard.length} frames to somebody unknown`);
    assert.ok(bytes < 3 * received + 16_384 + 1_000, `${bytes} bytes for ${received}`);
  });

  test('a stranger’s address gets at most three times what came from it', () => {
    const call = new TwoSessions({ ...SPED, minDelay: HALF });
    let first: Uint8Array | null = null;
    let sent = 0;
    call.filter = ({ data, to }) => {
      if (to.port === 3478) first ??= data.slice();
      return false;
    };
    call.tap = ({ data, to }) => {
      // Media and reports have a budget of their own.
      if (to.port !== 3478 && data[0] < 64) sent += data.length;
    };
    call.run(HALF);
    call.deliver(first!, call.caller.address, call.server);
    call.run(29_000);
    assert.ok(inStun(call.server).counters.held > 0);
    assert.ok(sent > 500 && sent <= 3 * first!.length, `${sent} bytes for ${first!.length}`);
  });
});

test('any handshake completes through loss, reordering and duplication, and both are heard', () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.integer({ min: 1, max: 1_000_000 }),
        loss: fc.constantFrom(0, 0.02, 0.1, 0.3),
        duplication: fc.constantFrom(0, 0.2),
        maxDelay: fc.constantFrom(20, 60, 200),
        postQuantum: fc.boolean(),
        only12: fc.boolean(),
        passive: fc.boolean(),
        earlySending: fc.boolean(),
        callerSped: fc.boolean(),
        serverSped: fc.boolean(),
      }),
      ({ seed, loss, duplication, maxDelay, postQuantum, only12, passive, earlySending, callerSped, serverSped }) => {
        const call = talkative({
          seed,
          loss,
          duplication,
          minDelay: 10,
          maxDelay,
          caller: { dtlsInStun: callerSped, ...(postQuantum && { dtls: POST_QUANTUM }) },
          server: { dtlsInStun: serverSped, earlySending, ...(only12 && { dtls: ONLY_12 }) },
          ...(passive && { editOffer: PASSIVE_CALLER }),
        });
        call.connect();
        assert.ok(call.caller.has('connected') && call.server.has('connected'), 'not connected');
        call.speak(call.caller, 40, 100);
        call.speak(call.server, 40, 100);
        assert.ok(call.caller.heard.length > 10 && call.server.heard.length > 10, 'not heard');
      },
    ),
    { numRuns: 60, seed: 20_261_122 },
  );
});

test('loss costs no dead wait: 95 of 100 calls are set up within 2.5 times what it takes without', () => {
  for (const dtls of [{}, { dtls: POST_QUANTUM }]) {
    const caller = { dtlsInStun: true, ...dtls };
    const clean = talkative({ caller });
    clean.run(2_000);
    for (const loss of [0.02, 0.1]) {
      const heard: { agent: number; caller: number }[] = [];
      for (let seed = 1; seed <= 100; seed++) {
        const call = talkative({ seed, loss, caller });
        // Both go on speaking, as people and agents do.
        call.onEvent = () => {};
        for (let i = 0; i < 150 && !(call.caller.times.audio && call.server.times.audio); i++) {
          for (const end of [call.caller, call.server]) end.session.sendAudio(numberedFrame(i), i * 960, i === 0, call.now);
          call.run(call.now + 20);
        }
        heard.push({ agent: call.caller.times.audio ?? Infinity, caller: call.server.times.audio ?? Infinity });
      }
      for (const side of ['agent', 'caller'] as const) {
        const p95 = heard.map((times) => times[side]).sort((a, b) => a - b)[Math.ceil(0.95 * heard.length) - 1];
        const median = side === 'agent' ? clean.caller.times.audio! : clean.server.times.audio!;
        assert.ok(p95 < 2.5 * median, `${side}: ${p95} ms at a loss of ${loss}, ${median} ms without`);
      }
    }
  }
});

function carries(data: Uint8Array): boolean {
  const message = new StunMessage();
  return message.read(data) && (message.has(StunAttribute.dtlsInStun) || message.has(StunAttribute.dtlsInStunAck));
}
