import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Shard } from '../../src/transceiver/shard.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { newOffer, TestCaller, TestRelay } from './test-relay.ts';
import { openTestShard } from './test-shard.ts';

const FRAME = new Uint8Array(40).fill(0xf8, 0, 1);
const SESSION = { type: 'realtime' } as const;

let shard: Shard;
let relay: TestRelay;
let nextPort = 40_000;
const ended: string[] = [];

before(async () => {
  shard = await openTestShard({}, { callEnded: (callId) => void ended.push(callId) });
  relay = await TestRelay.open();
});

after(async () => {
  await shard.close('test-over');
  await relay.close();
});

async function call(through = relay): Promise<{ caller: TestCaller; id: string }> {
  const offer = newOffer();
  const { id, answer } = shard.createCall({ offer: offer.offer, session: SESSION });
  const caller = new TestCaller(through, shard.trunk, nextPort++, offer.accept(answer, performance.now()));
  await caller.until('connected');
  return { caller, id };
}

test('on a declared channel session.created comes unasked, and others carry no events', async () => {
  const channel = { label: 'whatever', negotiated: true, id: 4 };
  const offer = newOffer({ channels: [channel] });
  const { answer } = shard.createCall({ offer: offer.offer, session: SESSION, eventsChannelId: 4 });
  const caller = new TestCaller(relay, shard.trunk, nextPort++, offer.accept(answer, performance.now()));
  await caller.until('message');
  assert.equal((JSON.parse(caller.messages[0]) as { type: string }).type, 'session.created');
  const other = caller.session.openChannel({ label: 'oai-events' }, performance.now())!;
  caller.session.sendMessage(other, '{"type":"session.update","event_id":"other","session":{"type":"realtime"}}', performance.now());
  caller.session.sendMessage(4, '{"type":"nonsense","event_id":"declared"}', performance.now());
  caller.drain();
  await caller.until('message');
  assert.deepEqual(caller.messages.slice(1).map((json) => (JSON.parse(json) as { type: string }).type), ['error']);
  caller.close();
});

test('an event that the peer cannot take is told as an error, and others go on', async () => {
  const channel = { label: 'events', negotiated: true, id: 4 };
  const offer = newOffer({ channels: [channel] });
  const small = offer.offer.replace(/a=max-message-size:\d+/, 'a=max-message-size:600');
  const { answer } = shard.createCall({ offer: small, session: SESSION, eventsChannelId: 4 });
  const caller = new TestCaller(relay, shard.trunk, nextPort++, offer.accept(answer, performance.now()));
  await caller.until('message');
  caller.session.sendMessage(4, '{"type":"input_audio_buffer.clear"}', performance.now());
  caller.drain();
  await caller.until('message');
  const [first, second] = caller.messages.map((json) => JSON.parse(json) as { type: string; error?: { code: string; message: string } });
  assert.equal(first.error?.code, 'event_too_large');
  assert.match(first.error?.message ?? '', /session\.created/);
  assert.equal(second.type, 'input_audio_buffer.cleared');
  caller.close();
});

test('a client that takes no events does not have them pile up without end', async () => {
  const offer = newOffer({ channels: [{ label: 'events', negotiated: true, id: 4 }] });
  const { id, answer } = shard.createCall({ offer: offer.offer, session: SESSION, eventsChannelId: 4 });
  const caller = new TestCaller(relay, shard.trunk, nextPort++, offer.accept(answer, performance.now()));
  await caller.until('message');
  let told = 0;
  const observation = shard.observe(id, { event: () => told++, ended: () => undefined });
  const update = JSON.stringify({ type: 'session.update', session: { type: 'realtime', instructions: 'x'.repeat(190_000) } });
  // Nothing is read meanwhile: all of it waits.
  for (let i = 0; i < 120; i++) observation.send(update);
  while (!ended.includes(id)) await new Promise(setImmediate);
  assert.equal(reading('earshot_calls_ended_total', { reason: 'events_backlog' }), 1);
  assert.ok(told > 100, 'observers go on');
  caller.close();
});

test('a declared channel that the peer has no stream for, or no section, harms nobody', async () => {
  const offer = newOffer();
  // The client says that it takes four streams.
  const few = offer.offer.replace(/(a=sctp-init:)(\S+)/, (_line, name: string, value: string) => {
    const init = Buffer.from(value, 'base64');
    init.writeUInt16BE(4, 14);
    return name + init.toString('base64');
  });
  const { answer } = shard.createCall({ offer: few, session: SESSION, eventsChannelId: 4 });
  const caller = new TestCaller(relay, shard.trunk, nextPort++, offer.accept(answer, performance.now()));
  await caller.until('connected');
  caller.sendAudio(FRAME, 0);
  await heardAtLeast(caller, 1);
  assert.deepEqual(caller.messages, []);
  caller.close();
  assert.throws(() => shard.createCall({ offer: newOffer({ data: false }).offer, session: SESSION, eventsChannelId: 4 }), { status: 400, param: 'dcid' });
});

async function heardAtLeast(caller: TestCaller, count: number): Promise<void> {
  while (caller.heard < count) await caller.until('audio');
}

function reading(name: string, labels: Readonly<Record<string, string>> = {}): number {
  const found = shard.stats().find((series) => series.name === name && Object.entries(labels).every(([key, value]) => series.labels?.[key] === value));
  return found?.value ?? 0;
}

test('a call through the trunk is echoed, and ends when its caller says goodbye', async () => {
  const { caller, id } = await call();
  for (let i = 0; i < 5; i++) caller.sendAudio(FRAME, i * 960);
  await heardAtLeast(caller, 5);
  caller.close();
  while (!ended.includes(id)) await new Promise(setImmediate);
  shard.hangup(id, 'again');
  assert.equal(ended.filter((callId) => callId === id).length, 1);
  assert.ok(reading('earshot_calls_ended_total', { reason: 'closed-by-peer' }) >= 1);
});

test('whoever asks about a call the moment it is answered finds it', async () => {
  const create = (): string => shard.createCall({ offer: newOffer().offer, session: SESSION }).id;
  assert.equal((shard.dump(create()) as { session: { ice: { state: string } } }).session.ice.state, 'checking');
  const seen: string[] = [];
  const observed = create();
  shard.observe(observed, { event: (json) => seen.push((JSON.parse(json) as { type: string }).type), ended: (reason) => seen.push(reason) });
  assert.deepEqual(seen, ['session.created']);
  shard.hangup(observed, 'at once');
  assert.ok(ended.includes(observed));
  assert.equal(seen.at(-1), 'at once');
  const restarted = create();
  assert.equal(shard.restartIce(restarted, 'a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n', ['ice-1']).etag, 'ice-2');
  shard.hangup(restarted, 'test');
});

test('hanging up says goodbye to the caller', async () => {
  const { caller, id } = await call();
  shard.hangup(id, 'test');
  if (caller.closeReason === null) await caller.until('closed');
  assert.equal(caller.closeReason, 'closed-by-peer');
  caller.close();
});

test('answers go through another relay only after an authentic packet has come through it', async () => {
  const { caller } = await call();
  const second = await TestRelay.open();
  const { port } = caller.address;
  // A spoofed source: no integrity, so nothing may move.
  second.send(shard.trunk, caller.address, randomBytes(80).fill(0x80, 0, 1));
  caller.sendAudio(FRAME, 0);
  await heardAtLeast(caller, 1);
  assert.equal(second.returned.get(port), undefined);
  // The client's flow has moved: its next SRTP packet comes through the second relay.
  caller.relay = second;
  second.callers.set(port, caller);
  caller.sendAudio(FRAME, 960);
  await heardAtLeast(caller, 2);
  const before = relay.returned.get(port);
  for (let i = 2; i < 12; i++) caller.sendAudio(FRAME, i * 960);
  await heardAtLeast(caller, 12);
  assert.equal(relay.returned.get(port), before, 'the old relay got a packet for a client that has left it');
  assert.ok(second.returned.get(port)! > 0);
  caller.close();
  await second.close();
});

test('a second call from the same client port is a call of its own', async () => {
  const first = await call();
  nextPort--;
  first.caller.close();
  const second = await call();
  assert.equal(second.caller.address.port, first.caller.address.port);
  second.caller.sendAudio(FRAME, 0);
  await heardAtLeast(second.caller, 1);
  second.caller.close();
});

test('what is no datagram of a call is counted by reason and answered with silence', async () => {
  const stranger = parseAddress('203.0.113.9:999');
  const { caller } = await call();
  const imposter = await TestRelay.open('another secret altogether');
  relay.sendRaw(shard.trunk, randomBytes(40));
  imposter.send(shard.trunk, stranger, randomBytes(40));
  relay.send(shard.trunk, stranger, randomBytes(40).fill(0x80, 0, 1));
  // A check for a call that is not here: of another shard's call, after a restart.
  const check = stunCheckFor('unknownUfrag');
  relay.send(shard.trunk, stranger, check);
  // The socket keeps order: an echo shows that everything before it has been handled.
  const heard = caller.heard;
  caller.sendAudio(FRAME, 0);
  await heardAtLeast(caller, heard + 1);
  for (const reason of ['trunk-malformed', 'trunk-cookie', 'unknown-client', 'unknown-call']) {
    assert.ok(reading('earshot_transceiver_dropped_total', { reason }) >= 1, reason);
  }
  assert.equal(relay.returned.get(stranger.port), undefined);
  caller.close();
  await imposter.close();
});

test('an offer that cannot be served is a CallError that names the line', () => {
  for (const [offer, line] of [
    ['hello', /line 1/],
    [newOffer().offer.replace(/sha-256 /g, 'md5 '), /line \d+: a=fingerprint.*md5/],
    [newOffer({ data: false }).offer.replace(/opus/g, 'PCMU'), /line \d+/],
  ] as const) {
    assert.throws(() => shard.createCall({ offer, session: SESSION }), (error: { status: number; message: string; param: string }) => {
      assert.equal(error.status, 400);
      assert.match(error.message, line);
      assert.match(error.param, /^sdp/);
      return true;
    });
  }
});

test('ICE restart: an outdated entity tag is refused, the right one gives new credentials', async () => {
  const { caller, id } = await call();
  const fragment = 'a=ice-ufrag:newone\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n';
  assert.throws(() => shard.restartIce(id, fragment, ['stale']), { status: 412 });
  const first = shard.restartIce(id, fragment, '*');
  assert.match(first.fragment!, /a=ice-ufrag:\S{23}/);
  assert.throws(() => shard.restartIce('rtc_nonsense', fragment, '*'), { status: 404 });
  const trickle = shard.restartIce(id, 'm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=end-of-candidates\r\n', [first.etag]);
  assert.deepEqual(trickle, { fragment: null, etag: first.etag });
  caller.close();
});

function stunCheckFor(ufrag: string): Uint8Array {
  const username = Buffer.from(`${ufrag}:peer`);
  const padded = Buffer.concat([username, Buffer.alloc((4 - (username.length % 4)) % 4)]);
  const message = Buffer.alloc(24);
  message.writeUInt16BE(1, 0);
  message.writeUInt16BE(4 + padded.length, 2);
  message.writeUInt32BE(0x2112a442, 4);
  message.writeUInt16BE(6, 20);
  message.writeUInt16BE(username.length, 22);
  return Buffer.concat([message, padded]);
}
