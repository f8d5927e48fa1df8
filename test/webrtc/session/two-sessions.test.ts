import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateIceCredentials } from '../../../src/webrtc/index.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { numberedFrame, TwoSessions } from './two-sessions.ts';
import { seededBytes } from '../../support/random.ts';

const DATA_CHANNEL = { label: 'oai-events' };

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

test('a call comes up: ICE, DTLS, audio both ways, a data channel both ways', () => {
  const call = new TwoSessions().connect();
  const { caller, server } = call;
  const id = caller.session.openChannel(DATA_CHANNEL, call.now)!;
  caller.session.sendMessage(id, 'hello', call.now);
  call.drain();
  call.speak(caller, 50);
  call.speak(server, 50);
  server.session.sendMessage(id, new Uint8Array([1, 2, 3]), call.now);
  call.drain();
  call.run(call.now + 100);
  assert.deepEqual(server.heard, range(50));
  assert.deepEqual(caller.heard, range(50));
  assert.deepEqual(server.messages(), ['hello']);
  assert.deepEqual(caller.messages(), [new Uint8Array([1, 2, 3])]);
  assert.deepEqual(server.events.slice(0, 3).map(({ type }) => type), ['ice-connected', 'ready-to-send', 'connected']);
});

test('a call comes up and talks through 20% loss, reordering and duplication', () => {
  for (let seed = 1; seed <= 25; seed++) {
    const call = new TwoSessions({ seed, loss: 0.2, duplication: 0.05, minDelay: 5, maxDelay: 60 }).connect();
    const { caller, server } = call;
    assert.ok(caller.has('connected') && server.has('connected'), `seed ${seed} did not connect`);
    const id = caller.session.openChannel(DATA_CHANNEL, call.now)!;
    const text = 'x'.repeat(20_000);
    caller.session.sendMessage(id, text, call.now);
    call.drain();
    call.speak(caller, 100);
    call.run(call.now + 20_000);
    assert.deepEqual(server.messages(), [text], `seed ${seed}`);
    const heard = new Set(server.heard);
    assert.equal(heard.size, server.heard.length, `seed ${seed}: a frame was heard twice`);
    // NACK was negotiated: what the first transmission lost mostly comes with the second.
    assert.ok(heard.size >= 85, `seed ${seed}: ${heard.size} of 100 frames`);
  }
});

test('audio alone and data alone are calls as well', () => {
  const audio = new TwoSessions({ data: false }).connect();
  audio.speak(audio.caller, 5);
  assert.deepEqual(audio.server.heard, range(5));
  assert.equal(audio.caller.session.openChannel(DATA_CHANNEL, audio.now), null);
  const data = new TwoSessions({ audio: false }).connect();
  const id = data.caller.session.openChannel(DATA_CHANNEL, data.now)!;
  data.caller.session.sendMessage(id, 'hi', data.now);
  data.drain();
  data.run(data.now + 200);
  assert.deepEqual(data.server.messages(), ['hi']);
  data.caller.session.sendAudio(numberedFrame(1), 0, false, data.now);
  assert.equal(data.server.session.stats(), null);
});

test('an offer with setup:passive makes the server the DTLS client', () => {
  const call = new TwoSessions({ editOffer: (sdp) => sdp.replaceAll('a=setup:actpass', 'a=setup:passive') });
  assert.match(call.answerer.answer, /a=setup:active/);
  call.connect();
  call.speak(call.server, 5);
  assert.deepEqual(call.caller.heard, range(5));
});

test('a certificate that does not match the offer ends the call, and no media passes', () => {
  const call = new TwoSessions({ editOffer: (sdp) => sdp.replace(/(a=fingerprint:sha-256 )../, '$1FF') });
  call.run(5_000);
  assert.equal(call.server.closeReason(), 'dtls-failed');
  assert.ok(!call.server.has('connected'));
});

test('replayed SRTP, RTCP and DTLS change nothing and do not authenticate', () => {
  const call = new TwoSessions();
  const seen: { data: Uint8Array; first: number }[] = [];
  call.filter = ({ data, to }) => {
    if (to.port === call.server.address.port && data[0] >= 20) seen.push({ data: data.slice(), first: data[0] });
    return true;
  };
  call.connect();
  call.speak(call.caller, 200);
  const heard = call.server.heard.length;
  assert.equal(heard, 200);
  assert.ok(seen.some(({ data }) => data[0] >= 128 && data[1] >= 192), 'no RTCP was seen');
  for (const { data } of seen) assert.equal(call.deliver(data, call.caller.address, call.server), false);
  assert.equal(call.server.heard.length, heard);
  assert.equal(call.server.closeReason(), null);
});

test('media from an address that ICE has not validated is dropped', () => {
  const call = new TwoSessions();
  let packet: Uint8Array | null = null;
  call.filter = ({ data }) => {
    if (data[0] < 128 || packet) return true;
    packet = data;
    return false;
  };
  call.connect();
  call.speak(call.caller, 3);
  assert.equal(call.deliver(packet!, parseAddress('203.0.113.66:6666'), call.server), false);
  assert.equal(call.server.session.counters['unvalidated-source'], 1);
  assert.equal(call.deliver(packet!, call.caller.address, call.server), true, 'the packet itself was good');
});

test('a caller whose address changes is followed at its next check', () => {
  const call = new TwoSessions().connect();
  call.caller.address = parseAddress('192.0.2.99:50000');
  call.run(call.now + 6_000);
  call.server.heard.length = 0;
  call.speak(call.caller, 5);
  call.speak(call.server, 5);
  assert.deepEqual(call.server.heard, range(5));
  assert.deepEqual(call.caller.heard.slice(-5), range(5));
});

test('an ICE restart moves to new credentials while media goes on', () => {
  const call = new TwoSessions().connect();
  const { caller, server, answerer } = call;
  const local = generateIceCredentials(seededBytes(77));
  const fragment = `a=ice-ufrag:${local.ufrag}\r\na=ice-pwd:${local.password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n`;
  const answer = answerer.restartIce(fragment, 'restarted', [call.server.address], call.now)!;
  assert.match(answer, /a=ice-ufrag:restarted/);
  const password = /a=ice-pwd:(\S+)/.exec(answer)![1];
  call.drain();
  call.speak(server, 2);
  caller.session.restartIce(local, { ufrag: 'restarted', password }, call.now);
  call.drain();
  call.run(call.now + 200);
  call.speak(caller, 5);
  assert.deepEqual(server.heard.slice(-5), range(5));
  call.run(call.now + 60_000);
  assert.equal(server.closeReason(), null, 'consent goes on under the new credentials');
  assert.equal(answerer.restartIce('a=candidate:1 1 udp 1 192.0.2.7 5 typ host\r\n', 'again', [], call.now), null);
});

test('a caller that vanishes costs the session its consent after 30 s', () => {
  const call = new TwoSessions().connect();
  call.impairments = { loss: 1 };
  call.run(call.now + 29_000);
  assert.equal(call.server.closeReason(), null);
  call.run(call.now + 6_000);
  assert.equal(call.server.closeReason(), 'ice-consent-expired');
});

test('an offer that nobody follows up ends with ice-connect-timeout', () => {
  const call = new TwoSessions({ loss: 1 });
  call.run(31_000);
  assert.equal(call.server.closeReason(), 'ice-connect-timeout');
  assert.ok(!call.server.has('ice-connected'));
});

test('closing says goodbye: the other end knows at once, and nothing comes after', () => {
  const call = new TwoSessions().connect();
  call.server.session.close(call.now);
  call.server.session.close(call.now);
  call.drain();
  call.run(call.now + 50);
  assert.equal(call.server.closeReason(), 'closed-locally');
  assert.equal(call.caller.closeReason(), 'closed-by-peer');
  assert.equal(call.server.events.filter(({ type }) => type === 'closed').length, 1);
  call.server.session.sendAudio(numberedFrame(1), 0, false, call.now);
  call.server.session.sendMessage(1, 'late', call.now);
  assert.equal(call.server.session.poll().type, 'timeout');
  call.server.session.dispose();
  call.server.session.dispose();
});

test('arbitrary and mutated datagrams never throw, and a call survives them', () => {
  const call = new TwoSessions({ seed: 5 });
  const random = seededBytes(99);
  const sample: Uint8Array[] = [];
  call.filter = ({ data }) => {
    if (sample.length < 200) sample.push(data.slice());
    return true;
  };
  call.connect();
  call.speak(call.caller, 20);
  const dice = new Uint8Array(4);
  for (let i = 0; i < 20_000; i++) {
    random(dice);
    let data: Uint8Array;
    if (i % 2 === 0) {
      data = new Uint8Array(dice[0]);
      random(data);
    } else {
      const original = sample[(dice[0] << 8 | dice[1]) % sample.length];
      data = original.slice(0, 1 + (((dice[2] << 8) | dice[3]) % original.length));
      data[dice[1] % data.length] ^= 1 << (dice[0] & 7);
    }
    call.deliver(data, call.caller.address, i % 3 === 0 ? call.caller : call.server);
  }
  const before = call.server.heard.length;
  call.speak(call.caller, 10, 100);
  assert.equal(call.server.heard.length - before, 10);
});
