import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DataChannels, type DataChannelsOptions, type DataChannelsOutput } from '../../../src/webrtc/datachannel/data-channels.ts';
import { DCEP_ACK, encodeOpen, Ppid } from '../../../src/webrtc/datachannel/dcep.ts';
import { SctpAssociation } from '../../../src/webrtc/sctp/association.ts';
import type { SctpOutput } from '../../../src/webrtc/sctp/association-types.ts';
import { ChunkType } from '../../../src/webrtc/sctp/packet.ts';
import { chunkTypes } from '../sctp/pair.ts';
import { type PathOptions, Prng, VirtualNetwork } from '../sctp/virtual-network.ts';

type Event = Exclude<DataChannelsOutput, { type: 'transmit' | 'timeout' }>;

const CLIENT = 0;
const SERVER = 1;

class Channels {
  readonly peers: readonly [DataChannels, DataChannels];
  readonly network: VirtualNetwork<DataChannelsOutput>;
  readonly events: [Event[], Event[]] = [[], []];
  readonly lows: number[] = [];
  readonly prng: Prng;

  constructor(seed: number, path: PathOptions = {}, options: Partial<DataChannelsOptions> = {}) {
    this.prng = new Prng(seed);
    const make = (role: 'dtls-client' | 'dtls-server'): DataChannels =>
      new DataChannels({ role, localPort: 5000, remotePort: 5000, maxMessageSize: 262_144, random: this.prng.randomize, now: 0, ...options });
    this.peers = [make('dtls-client'), make('dtls-server')];
    this.network = new VirtualNetwork<DataChannelsOutput>(this.peers, this.prng, path, (who, output) => {
      if (output.type === 'buffered-low') this.lows.push(output.channelId);
      else this.events[who].push(output as Event);
    });
  }

  do<T>(who: 0 | 1, act: (channels: DataChannels, now: number) => T): T {
    const result = act(this.peers[who], this.network.now);
    this.network.drain(who);
    return result;
  }

  connect(): this {
    this.do(CLIENT, (channels, now) => channels.connect(now));
    return this;
  }

  run(isDone: () => boolean, limit = 60_000): void {
    if (!this.network.run(isDone, limit)) assert.fail(JSON.stringify(this.peers.map((peer) => peer.dump())));
  }

  count(who: 0 | 1, type: Event['type']): number {
    return this.events[who].filter((event) => event.type === type).length;
  }

  messages(who: 0 | 1): (string | Uint8Array)[] {
    return this.events[who].filter((event) => event.type === 'message').map((event) => event.data);
  }
}

test('both sides open channels with ids of their own parity, and see the same parameters', () => {
  const pair = new Channels(1).connect();
  const options = [
    { label: 'oai-events' },
    { label: 'b', protocol: 'json', ordered: false },
    { label: 'c', maxRetransmits: 0 },
    { label: 'd', maxPacketLifeTime: 100, ordered: false },
  ];
  const ids = [CLIENT, SERVER].map((who) => options.map((o) => pair.do(who as 0 | 1, (channels, now) => channels.open(o, now))));
  assert.deepEqual(ids, [[0, 2, 4, 6], [1, 3, 5, 7]]);
  pair.run(() => pair.count(CLIENT, 'channel') === 8 && pair.count(SERVER, 'channel') === 8);
  const channelsOf = (who: 0 | 1, origin: string): unknown[] =>
    pair.events[who].filter((event) => event.type === 'channel' && event.origin === origin).map((event) => 'channel' in event && event.channel);
  assert.deepEqual(channelsOf(CLIENT, 'local'), channelsOf(SERVER, 'remote'));
  assert.deepEqual(channelsOf(SERVER, 'local'), channelsOf(CLIENT, 'remote'));
  assert.deepEqual(channelsOf(SERVER, 'remote')[1], {
    id: 2, label: 'b', protocol: 'json', ordered: false, maxRetransmits: null, maxPacketLifeTime: null, negotiated: false,
  });
});

test('messages sent right after open, before the association is up, arrive in order behind it', () => {
  const pair = new Channels(2, { delay: 20, jitter: 30, loss: 0.2 });
  const id = pair.do(CLIENT, (channels, now) => channels.open({ label: 'x', ordered: false }, now));
  const messages = ['{"type":"a"}', '', Uint8Array.of(1, 2, 3), new Uint8Array(0), 'ä€😀', 'x'.repeat(100_000)];
  for (const message of messages) pair.do(CLIENT, (channels, now) => channels.send(id, message, now));
  pair.connect().run(() => pair.count(SERVER, 'message') === messages.length);
  assert.equal(pair.events[SERVER][0].type, 'channel');
  assert.deepEqual(pair.messages(SERVER), messages);
  assert.ok(pair.lows.includes(id));
});

test('unordered messages do not overtake the OPEN they depend on', () => {
  for (let seed = 0; seed < 10; seed++) {
    const pair = new Channels(seed, { delay: 20, jitter: 30 }).connect();
    pair.network.sleep(1_000);
    const id = pair.do(CLIENT, (channels, now) => channels.open({ label: 'x', ordered: false }, now));
    for (let i = 0; i < 10; i++) {
      pair.do(CLIENT, (channels, now) => channels.send(id, `${i}`, now));
      pair.network.sleep(2);
    }
    pair.run(() => pair.count(SERVER, 'message') === 10, 5_000);
    assert.deepEqual(pair.peers[SERVER].dropped, {});
  }
});

test('an answer that overtakes the ACK opens the channel first', () => {
  const pair = new Channels(3);
  const id = pair.do(CLIENT, (channels, now) => channels.open({ label: 'x' }, now));
  pair.connect().run(() => pair.count(SERVER, 'channel') === 1);
  pair.do(SERVER, (channels, now) => channels.send(id, 'welcome', now));
  pair.run(() => pair.count(CLIENT, 'message') === 1);
  assert.deepEqual(pair.events[CLIENT].map((event) => event.type), ['channel', 'message']);
});

test('negotiated channels are usable on both sides as soon as the association is up, without a word', () => {
  const pair = new Channels(4);
  for (const who of [CLIENT, SERVER] as const) {
    pair.do(who, (channels, now) => channels.open({ label: 'n', negotiated: true, id: 7 }, now));
  }
  pair.do(SERVER, (channels, now) => channels.send(7, 'early', now));
  pair.connect().run(() => pair.count(CLIENT, 'message') === 1);
  assert.deepEqual([pair.count(CLIENT, 'channel'), pair.count(SERVER, 'channel')], [1, 1]);
  pair.do(CLIENT, (channels, now) => channels.open({ label: 'late', negotiated: true, id: 8 }, now));
  assert.equal(pair.count(CLIENT, 'channel'), 2);
});

for (const [seed, loss] of [0, 0.05, 0.2, 0.2, 0.2].entries()) {
  test(`closing delivers what was sent, closes both sides, and frees the id, ${loss * 100}% loss, seed ${seed}`, () => {
    const pair = new Channels(seed, { loss, delay: 20, jitter: loss * 100, duplication: loss / 4 }).connect();
    for (let life = 0; life < 30; life++) {
      const opener = (life % 2) as 0 | 1;
      const closer = (life % 3 === 0 ? opener : 1 - opener) as 0 | 1;
      const id = pair.do(opener, (channels, now) => channels.open({ label: `life ${life}` }, now));
      assert.equal(id, opener === CLIENT ? 0 : 1, 'the id is free again');
      pair.do(opener, (channels, now) => channels.send(id, `hello ${life}`, now));
      const other = (1 - opener) as 0 | 1;
      pair.run(() => pair.messages(other).includes(`hello ${life}`) && pair.count(opener, 'channel') === life + 1);
      for (let i = 0; i < 5; i++) pair.do(closer, (channels, now) => channels.send(id, `${life}.${i} `.repeat(500), now));
      pair.do(closer, (channels, now) => channels.close(id, now));
      pair.do(closer, (channels, now) => channels.close(id, now));
      assert.throws(() => pair.peers[closer].send(id, 'x', pair.network.now), TypeError);
      // Only the opener has to be done: the other side may learn late that its reset was performed.
      pair.run(() => pair.count(opener, 'channel-closed') === life + 1, 300_000);
      assert.ok(pair.messages((1 - closer) as 0 | 1).includes(`${life}.4 `.repeat(500)));
    }
    pair.run(() => pair.count(0, 'channel-closed') === 30 && pair.count(1, 'channel-closed') === 30, 300_000);
    for (const who of [0, 1] as const) {
      for (const id of [0, 1]) {
        const lives = pair.events[who]
          .filter((event) => (event.type === 'channel' ? event.channel.id : event.type === 'channel-closed' ? event.channelId : -1) === id)
          .map(({ type }) => type);
        assert.deepEqual(lives, Array.from({ length: 15 }, () => ['channel', 'channel-closed']).flat());
      }
      assert.deepEqual(pair.peers[who].dump().channels, []);
    }
  });
}

test('both sides may close at once', () => {
  const pair = new Channels(6, { delay: 20, loss: 0.1 }).connect();
  const id = pair.do(CLIENT, (channels, now) => channels.open({ label: 'x' }, now));
  pair.run(() => pair.count(SERVER, 'channel') === 1);
  for (const who of [CLIENT, SERVER] as const) pair.do(who, (channels, now) => channels.close(id, now));
  pair.run(() => pair.count(CLIENT, 'channel-closed') === 1 && pair.count(SERVER, 'channel-closed') === 1);
});

test('a channel closed before the association is up is opened and closed', () => {
  const pair = new Channels(7);
  const id = pair.do(CLIENT, (channels, now) => channels.open({ label: 'x' }, now));
  pair.do(CLIENT, (channels, now) => channels.close(id, now));
  pair.connect().run(() => pair.count(CLIENT, 'channel-closed') === 1 && pair.count(SERVER, 'channel-closed') === 1);
});

test('a peer that opens the id again while our reset is still unanswered gets its channel', () => {
  const pair = new Channels(8, { delay: 10 }).connect();
  const id = pair.do(CLIENT, (channels, now) => channels.open({ label: 'first' }, now));
  pair.run(() => pair.count(SERVER, 'channel') === 1);
  pair.network.sleep(1_000);
  pair.do(CLIENT, (channels, now) => channels.close(id, now));
  // The client's answer to the server's own reset is lost, so only the client knows that both are done.
  let reconfigs = 0;
  pair.network.tap = (from, data) => (from === CLIENT && chunkTypes(data).includes(ChunkType.reconfig) && reconfigs++ === 0 ? 'drop' : 'pass');
  pair.run(() => pair.count(CLIENT, 'channel-closed') === 1);
  assert.equal(pair.count(SERVER, 'channel-closed'), 0);
  assert.equal(pair.do(CLIENT, (channels, now) => channels.open({ label: 'second' }, now)), id);
  pair.do(CLIENT, (channels, now) => channels.send(id, 'again', now));
  pair.run(() => pair.count(SERVER, 'message') === 1 && pair.count(CLIENT, 'channel') === 2);
  assert.deepEqual(pair.events[SERVER].map(({ type }) => type), ['channel', 'channel-closed', 'channel', 'message']);
});

test('the end of the association closes every channel, gracefully or not', () => {
  for (const act of ['shutdown', 'abort'] as const) {
    const pair = new Channels(9).connect();
    const id = pair.do(CLIENT, (channels, now) => channels.open({ label: 'x' }, now));
    pair.run(() => pair.count(CLIENT, 'channel') === 1);
    pair.do(CLIENT, (channels, now) => {
      channels.send(id, 'bye', now);
      if (act === 'abort') channels.abort('enough', now);
      else channels.shutdown(now);
    });
    pair.run(() => pair.count(CLIENT, 'closed') === 1 && pair.count(SERVER, 'closed') === 1);
    assert.equal(pair.count(SERVER, 'message'), act === 'shutdown' ? 1 : 0);
    for (const who of [CLIENT, SERVER] as const) {
      assert.deepEqual(pair.events[who].slice(-2).map(({ type }) => type), ['channel-closed', 'closed']);
      pair.do(who, (channels, now) => channels.close(id, now));
      assert.throws(() => pair.peers[who].send(id, 'x', pair.network.now), TypeError);
      assert.throws(() => pair.peers[who].open({ label: 'y' }, pair.network.now), TypeError);
    }
  }
});

test('mistakes of the caller are refused', () => {
  const { peers } = new Channels(10, {}, { maxMessageSize: 100 });
  const [channels] = peers;
  assert.throws(() => channels.open({ label: 'x', maxRetransmits: 1, maxPacketLifeTime: 1 }, 0), TypeError);
  assert.throws(() => channels.open({ label: 'x', negotiated: true }, 0), TypeError);
  assert.throws(() => channels.open({ label: 'x', id: 4 }, 0), TypeError);
  assert.throws(() => channels.open({ label: 'x', negotiated: true, id: 65_535 }, 0), RangeError);
  const id = channels.open({ label: 'x' }, 0);
  assert.throws(() => channels.open({ label: 'y', negotiated: true, id }, 0), RangeError);
  assert.throws(() => channels.send(id, 'x'.repeat(101), 0), RangeError);
  assert.throws(() => channels.send(99, 'x', 0), TypeError);
  assert.equal(channels.dump().channels.length, 1);
});

/** DataChannels (the DTLS server) against a bare association, for what no decent peer sends. */
function against(seed: number): { raw: SctpAssociation; run: (ms: number) => void; server: DataChannels; events: Event[]; rawEvents: SctpOutput[] } {
  const prng = new Prng(seed);
  const options = { localPort: 5000, remotePort: 5000, maxMessageSize: 0, random: prng.randomize, now: 0 };
  const raw = new SctpAssociation(options);
  const server = new DataChannels({ ...options, role: 'dtls-server' });
  const events: Event[] = [];
  const rawEvents: SctpOutput[] = [];
  const network = new VirtualNetwork<{ type: string }>([raw, server], prng, {}, (who, output) => {
    if (who === 0) rawEvents.push(output as SctpOutput);
    else if (output.type !== 'buffered-low') events.push(output as Event);
  });
  raw.connect(0);
  const run = (ms: number): void => {
    network.drain(0);
    network.drain(1);
    network.sleep(ms);
  };
  run(1_000);
  return { raw, run, server, events, rawEvents };
}

const OPEN = encodeOpen({ label: 'x', protocol: '', ordered: true, maxRetransmits: null, maxPacketLifeTime: null });
const ORDERED = { ordered: true };

test('an OPEN for an id of the wrong parity is reset and opens nothing', () => {
  const { raw, run, server, events, rawEvents } = against(11);
  raw.send(1, Ppid.control, OPEN, ORDERED, 1_000);
  run(1_000);
  assert.deepEqual(events, []);
  assert.equal(server.dropped['wrong-parity'], 1);
  assert.ok(rawEvents.some((event) => event.type === 'stream-reset' && event.direction === 'incoming' && event.streamId === 1));
});

test('a second OPEN on a stream in use closes it', () => {
  const { raw, run, server, events } = against(12);
  raw.send(0, Ppid.control, OPEN, ORDERED, 1_000);
  raw.send(0, Ppid.control, OPEN, ORDERED, 1_000);
  run(1_000);
  raw.resetStream(0, 2_000);
  run(1_000);
  assert.deepEqual(events.map(({ type }) => type), ['channel', 'channel-closed']);
  assert.equal(server.dropped['stream-in-use'], 1);
});

test('what belongs to no channel is dropped under its reason', () => {
  const { raw, run, server, events } = against(13);
  raw.send(0, Ppid.string, Uint8Array.of(65), ORDERED, 1_000);
  raw.send(2, Ppid.control, DCEP_ACK, ORDERED, 1_000);
  raw.send(4, Ppid.control, Uint8Array.of(9), ORDERED, 1_000);
  raw.send(6, Ppid.control, OPEN, ORDERED, 1_000);
  raw.send(6, 99, Uint8Array.of(65), ORDERED, 1_000);
  run(1_000);
  assert.deepEqual(server.dropped, { 'unknown-channel': 1, 'unexpected-dcep-ack': 1, 'malformed-dcep': 1, 'unreadable-message': 1 });
  assert.equal(events.filter((event) => event.type === 'channel').length, 1);
  assert.equal(events.filter((event) => event.type === 'message').length, 0);
});
