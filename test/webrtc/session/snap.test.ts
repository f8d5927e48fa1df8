/** Data channels that need no round trip of their own: SCTP set up in offer and answer, and ids agreed beforehand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SdpError } from '../../../src/webrtc/index.ts';
import { TwoSessions } from './two-sessions.ts';

const EVENTS = { label: 'oai-events', negotiated: true, id: 0 };
const ONE_WAY = 50;

/** When, in round trips after the answer, the server has the caller's channel and first message, and the caller its answer. */
function timeline(options: ConstructorParameters<typeof TwoSessions>[0]): { message: number; reply: number } {
  const call = new TwoSessions({ minDelay: ONE_WAY, ...options });
  const { caller, server } = call;
  let asked = false;
  let replied = false;
  let message = Number.NaN;
  for (let at = 0; at < 2_000; at += 5) {
    call.run(at);
    const id = options?.channels ? 0 : 2;
    if (!asked && caller.has('connected')) {
      const opened = options?.channels ? 0 : caller.session.openChannel({ label: 'oai-events' }, at)!;
      caller.session.sendMessage(opened, 'hello', at);
      asked = true;
    }
    if (!replied && server.messages().length > 0) {
      server.session.sendMessage(options?.channels ? id : 0, 'welcome', at);
      message = at;
      replied = true;
    }
    call.drain();
    if (caller.messages().length > 0) return { message: message / (2 * ONE_WAY), reply: at / (2 * ONE_WAY) };
  }
  return assert.fail(JSON.stringify([caller.session.dump(), server.session.dump()]));
}

test('with SNAP the first message arrives with the flight that ends DTLS: two round trips sooner', () => {
  const snap = timeline({});
  const plain = timeline({ snap: false });
  assert.ok(snap.message <= 2.7, `${snap.message} round trips`);
  assert.ok(plain.message - snap.message >= 0.9, `${plain.message} without, ${snap.message} with`);
  const negotiated = timeline({ channels: [EVENTS] });
  assert.ok(negotiated.message <= snap.message);
});

test('the answer has a=sctp-init where the offer has it, and only there', () => {
  assert.match(new TwoSessions().answerer.answer, /a=sctp-init:/);
  assert.doesNotMatch(new TwoSessions({ snap: false }).answerer.answer, /a=sctp-init:/);
  const stripped = new TwoSessions({ editOffer: (sdp) => sdp.replace(/a=sctp-init:.*\r\n/, '') });
  assert.doesNotMatch(stripped.answerer.answer, /a=sctp-init:/);
});

test('a server may speak first on a negotiated channel: nothing announces it, and nothing is dropped', () => {
  for (const snap of [true, false]) {
    const call = new TwoSessions({ snap, channels: [EVENTS] }).connect();
    call.server.session.sendMessage(0, 'session.created', call.now);
    call.caller.session.sendMessage(0, 'hello', call.now);
    call.drain();
    call.run(call.now + 300);
    assert.deepEqual(call.caller.messages(), ['session.created'], `SNAP ${snap}`);
    assert.deepEqual(call.server.messages(), ['hello'], `SNAP ${snap}`);
    for (const end of [call.caller, call.server]) {
      assert.deepEqual(end.events.flatMap((event) => (event.type === 'channel' ? [event.channel.id] : [])), [0]);
    }
  }
});

test('channels come up with SNAP through loss, reordering and duplication', () => {
  for (let seed = 1; seed <= 25; seed++) {
    const call = new TwoSessions({ seed, loss: 0.25, duplication: 0.1, minDelay: 5, maxDelay: 60, channels: [EVENTS] }).connect();
    const { caller, server } = call;
    server.session.sendMessage(0, 'session.created', call.now);
    const id = caller.session.openChannel({ label: 'more' }, call.now)!;
    caller.session.sendMessage(id, 'x'.repeat(5_000), call.now);
    caller.session.sendMessage(0, 'hello', call.now);
    call.drain();
    call.run(call.now + 30_000);
    assert.deepEqual(caller.messages(), ['session.created'], `seed ${seed}`);
    assert.deepEqual(server.messages().map((message) => message.length).toSorted((a, b) => a - b), [5, 5_000], `seed ${seed}`);
  }
});

test('a client that offers a=sctp-init and sends an INIT all the same gets its channels', () => {
  // What the client has put into the offer is not what its association begins with.
  const call = new TwoSessions({ editAnswer: (sdp) => sdp.replace(/a=sctp-init:.*\r\n/, '') });
  call.connect();
  const id = call.caller.session.openChannel({ label: 'oai-events' }, call.now)!;
  call.caller.session.sendMessage(id, 'hello', call.now);
  call.drain();
  call.run(call.now + 2_000);
  assert.deepEqual(call.server.messages(), ['hello']);
  assert.deepEqual(call.server.events.filter(({ type }) => type === 'channel-closed'), []);
});

test('the server as DTLS client takes SNAP as well', () => {
  const call = new TwoSessions({ editOffer: (sdp) => sdp.replaceAll('a=setup:actpass', 'a=setup:passive'), channels: [EVENTS] }).connect();
  call.server.session.sendMessage(0, 'session.created', call.now);
  call.drain();
  call.run(call.now + 300);
  assert.deepEqual(call.caller.messages(), ['session.created']);
});

test('later descriptions may repeat a=sctp-init or leave it out, not change it', () => {
  const call = new TwoSessions().connect();
  const line = /a=sctp-init:.*\r\n/.exec(call.offer)![0];
  const fragment = (init: string): string =>
    `a=ice-ufrag:newU\r\na=ice-pwd:newPasswordnewPassword\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\n${init}`;
  const other = /a=sctp-init:.*\r\n/.exec(new TwoSessions({ seed: 2 }).offer)![0];
  assert.throws(
    () => call.answerer.restartIce(fragment(other), 'again', [], call.now),
    (error) => error instanceof SdpError && error.code === 'changed-sctp-init' && error.line === 5,
  );
  assert.match(call.answerer.restartIce(fragment(line), 'again', [], call.now) ?? '', /a=ice-ufrag:again/);
});
