import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { NetError } from '../../src/net/net-error.ts';
import { type Relay, type RelayCounterKey, type RelayOptions, startRelay } from '../../src/relay/index.ts';
import { type FlowStore, MemoryStore } from '../../src/store/index.ts';
import { type TransportAddress, formatAddress, parseAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { TestClient } from './support/client.ts';
import { FakeTransceiver } from './support/fake-transceiver.ts';
import { bindingRequest, stunMessage } from './support/stun.ts';

const SECRET = 'a secret for tests';
const RTP = Buffer.from([0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3]);

/** A store that hangs. */
const SILENT_STORE: FlowStore = {
  read: () => new Promise(() => undefined),
  write: () => new Promise(() => undefined),
  close: async () => undefined,
};

for (const engine of ['mmsg', 'dgram'] as const) {
  const options = { udp: parseAddress('127.0.0.1:0'), trunk: parseAddress('127.0.0.1:0'), secret: SECRET, engine, workers: 1 };

  describe(`relay, ${engine} engine`, { timeout: 20_000 }, () => {
    it('carries a call both ways over IPv4', () => withRelay(options, echoes));

    it('carries calls of IPv6 and of IPv4 clients on one [::] port', () =>
      withRelay({ ...options, udp: parseAddress('[::]:0') }, async (relay, transceiver) => {
        const v6 = parseAddress(`[::1]:${relay.udp.port}`);
        const v4 = parseAddress(`127.0.0.1:${relay.udp.port}`);
        assert.equal((await talk(v6, relay, transceiver)).family, 6);
        assert.equal((await talk(v4, relay, transceiver)).family, 4);
      }));

    it('carries a check and an answer that hold a DTLS datagram (SPED), byte for byte, up to 1,200 of them', () =>
      withRelay(options, async (relay, transceiver) => {
        const client = await TestClient.open(relay.udp);
        const check = withDtls(bindingRequest(`${ufragFor(transceiver)}:abcd`), 1200);
        client.send(check);
        const arrived = await transceiver.next();
        assert.deepEqual(Buffer.from(arrived.payload), check);
        const answer = withDtls(stunMessage(0x0101, new Uint8Array(0)), 1200);
        transceiver.send(arrived.relay, arrived.client, answer, true);
        assert.deepEqual(await client.next(), answer);
        await client.close();
      }));

    it('tells how long its rounds took', () =>
      withRelay(options, async (relay, transceiver) => {
        await talk(relay.udp, relay, transceiver);
        await counted(relay, 'loops', 1);
        await relay.close();
        const loop = relay.histograms().find(({ name }) => name === 'loop_duration_seconds');
        const { loops, loopSeconds } = relay.counters();
        assert.equal(loop?.counts.reduce((sum, count) => sum + count), loops);
        assert.equal(loop?.sum, loopSeconds);
        assert.ok(loopSeconds > 0);
      }));

    it('heals after a restart by the first verified packet on the way back', async () => {
      const transceiver = await FakeTransceiver.open(SECRET);
      let relay = await startRelay(options);
      const client = await TestClient.open(relay.udp);
      try {
        client.send(bindingRequest(`${ufragFor(transceiver)}:abcd`));
        const { client: from, relay: trunk } = await transceiver.next();
        const { udp } = relay;
        await relay.close();
        relay = await startRelay({ ...options, udp, trunk });

        client.send(RTP);
        await counted(relay, 'drop:unknown-flow');
        transceiver.send(trunk, from, Buffer.from('way back'), true);
        assert.equal((await client.next()).toString(), 'way back');
        client.send(RTP);
        assert.deepEqual((await transceiver.next()).payload, RTP);
        assert.equal(relay.counters().flowsReturned, 1);
      } finally {
        await Promise.all([client.close(), transceiver.close(), relay.close()]);
      }
    });

    it('heals after a restart by the store, when only the client talks', async () => {
      const memory = new MemoryStore();
      // Outlives the relay that closes it, as Redis does.
      const store: FlowStore = { read: (keys) => memory.read(keys), write: (entries, ttlMs) => memory.write(entries, ttlMs), close: async () => undefined };
      const transceiver = await FakeTransceiver.open(SECRET);
      let relay = await startRelay({ ...options, store });
      const client = await TestClient.open(relay.udp);
      try {
        client.send(bindingRequest(`${ufragFor(transceiver)}:abcd`));
        const check = await transceiver.next();
        transceiver.send(check.relay, check.client, RTP, true);
        while (relay.recovery()?.written !== 1) await delay(5);
        const { udp, trunk } = relay;
        await relay.close();
        relay = await startRelay({ ...options, udp, trunk: trunk[0], store });

        client.send(RTP);
        await counted(relay, 'flowsRecovered');
        assert.equal(relay.counters()['drop:flow-recovering'], 1);
        client.send(RTP);
        assert.deepEqual((await transceiver.next()).payload, RTP);
        assert.equal(relay.recovery()?.hits, 1);
      } finally {
        await Promise.all([client.close(), transceiver.close(), relay.close()]);
      }
    });

    it('forwards a known flow as ever while the store says nothing', () =>
      withRelay({ ...options, store: SILENT_STORE }, async (relay, transceiver) => {
        await talk(relay.udp, relay, transceiver);
        const stranger = await TestClient.open(relay.udp);
        stranger.send(RTP);
        await counted(relay, 'drop:flow-recovering');
        await talk(relay.udp, relay, transceiver);
        await stranger.close();
      }));

    it('sends not one byte to a source that showed no token', () =>
      withRelay(options, async (relay, transceiver) => {
        const client = await TestClient.open(relay.udp);
        for (const junk of [RTP, Buffer.from('junk'), bindingRequest('nobody:x'), bindingRequest(null), Buffer.alloc(0)]) {
          client.send(junk);
        }
        await counted(relay, 'clientReceived', 5);
        // A packet that is answered, after the junk and on the same path: no answer can still be under way.
        await talk(relay.udp, relay, transceiver);
        assert.equal(client.unread, 0);
        assert.equal(relay.counters().clientSent, 2);
        await client.close();
      }));

    it('drops a trunk datagram under another secret', () =>
      withRelay(options, async (relay) => {
        const stranger = await FakeTransceiver.open('another secret');
        stranger.send(relay.trunk[0], parseAddress('127.0.0.1:9'), RTP, true);
        await counted(relay, 'drop:trunk-cookie');
        assert.equal(relay.counters().clientSent, 0);
        await stranger.close();
      }));

    it('says what to do when another process has the port', async () => {
      const squatter = createSocket('udp4');
      squatter.bind(0, '127.0.0.1');
      await once(squatter, 'listening');
      const taken = parseAddress(`127.0.0.1:${squatter.address().port}`);
      for (const at of ['udp', 'trunk'] as const) {
        await assert.rejects(startRelay({ ...options, [at]: taken }), (error) => {
          assert.ok(error instanceof NetError);
          assert.equal(error.code, 'EADDRINUSE');
          assert.match(error.message, new RegExp(`UDP ${formatAddress(taken)}: another process has this port; stop it`));
          return true;
        });
      }
      squatter.close();
    });

    it('closes at once, twice, and frees its ports', async () => {
      const first = await startRelay(options);
      await Promise.all([first.close(), first.close()]);
      await first.finished;
      const second = await startRelay({ ...options, udp: first.udp, trunk: first.trunk[0] });
      await second.close();
    });

    it('drains no longer than it is told', async () => {
      const relay = await startRelay(options);
      await relay.drain(50);
      await relay.finished;
    });
  });
}

describe('relay, mmsg engine, under load', { timeout: 20_000 }, () => {
  const options: RelayOptions = {
    udp: parseAddress('127.0.0.1:0'),
    trunk: parseAddress('127.0.0.1:0'),
    secret: SECRET,
    engine: 'mmsg',
    workers: 1,
    gatherUs: 1000,
  };

  it('lets packets gather, says so and forwards on', () =>
    withRelay(options, async (relay, transceiver) => {
      const client = await TestClient.open(relay.udp);
      while (relay.counters().gatherings === 0) {
        for (let i = 0; i < 100; i++) client.send(RTP);
        await delay(1);
      }
      await client.close();
      await talk(relay.udp, relay, transceiver);
      assert.ok(relay.counters().gatheringSeconds > 0);
      const batches = relay.histograms().filter(({ name }) => name === 'batch_datagrams');
      assert.deepEqual(batches.map(({ labels }) => labels), [{ call: 'receive' }, { call: 'send' }]);
      assert.ok(batches.every(({ sum }) => sum > 0));
    }));

  it('lets none gather when told never to', () =>
    withRelay({ ...options, gatherUs: 0 }, async (relay, transceiver) => {
      const client = await TestClient.open(relay.udp);
      while (relay.counters()['drop:unknown-flow'] < 2000) {
        for (let i = 0; i < 100; i++) client.send(RTP);
        await delay(1);
      }
      await client.close();
      await talk(relay.udp, relay, transceiver);
      assert.equal(relay.counters().gatherings, 0);
      assert.equal(relay.gathering(), 0);
    }));
});

describe('relay, mmsg engine, several workers', { timeout: 20_000 }, () => {
  const options: RelayOptions = {
    udp: parseAddress('127.0.0.1:0'),
    trunk: parseAddress('127.0.0.1:0'),
    secret: SECRET,
    engine: 'mmsg',
    workers: 4,
  };

  it('gives each client to one worker, which all answer from the one port', () =>
    withRelay(options, async (relay, transceiver) => {
      for (let i = 0; i < 20; i++) await talk(relay.udp, relay, transceiver);
      assert.equal(relay.counters().forwarded, 40);
      const busy = relay.dump().workers.filter(({ counters }) => counters.forwarded > 0);
      assert.ok(busy.length > 1, `only ${busy.length} of 4 workers got packets`);
    }));

  it('gives every client the same worker after a restart, so that each flow heals by its way back', async () => {
    const transceiver = await FakeTransceiver.open(SECRET);
    let relay = await startOnConsecutivePorts(options);
    const { udp, trunk } = relay;
    const clients = await Promise.all(Array.from({ length: 12 }, () => TestClient.open(udp)));
    try {
      const calls = [];
      for (const client of clients) {
        client.send(bindingRequest(`${ufragFor(transceiver)}:abcd`));
        calls.push(await transceiver.next());
      }
      await relay.close();
      relay = await startRelay({ ...options, udp, trunk: trunk[0] });
      for (const [i, client] of clients.entries()) {
        transceiver.send(calls[i].relay, calls[i].client, RTP, true);
        await client.next();
        client.send(RTP);
        assert.equal(formatAddress((await transceiver.next()).relay), formatAddress(calls[i].relay));
      }
    } finally {
      await Promise.all([...clients.map((client) => client.close()), transceiver.close(), relay.close()]);
    }
  });

  it('refuses a port that another relay shares with its workers', async () => {
    const first = await startRelay(options);
    await assert.rejects(startRelay({ ...options, udp: first.udp }), { code: 'EADDRINUSE' });
    await first.close();
  });
});

/** A whole exchange of a new client: STUN there and back, then voice there and back. Returns its address as seen. */
async function talk(to: TransportAddress, relay: Relay, transceiver: FakeTransceiver): Promise<TransportAddress> {
  const client = await TestClient.open(to);
  const request = bindingRequest(`${ufragFor(transceiver)}:abcd`);
  client.send(request);
  const check = await transceiver.next();
  assert.deepEqual(check.payload, Buffer.from(request));
  assert.equal(check.client.port, client.port);
  assert.ok(relay.trunk.some((trunk) => formatAddress(trunk) === formatAddress(check.relay)));
  transceiver.send(check.relay, check.client, Buffer.from('response'), true);
  assert.equal((await client.next()).toString(), 'response');
  client.send(RTP);
  const voice = await transceiver.next();
  assert.deepEqual(voice.payload, RTP);
  transceiver.send(voice.relay, voice.client, voice.payload, true);
  assert.deepEqual(await client.next(), RTP);
  await client.close();
  return check.client;
}

async function echoes(relay: Relay, transceiver: FakeTransceiver): Promise<void> {
  await talk(relay.udp, relay, transceiver);
  const counters = relay.counters();
  assert.equal(counters.clientReceived, 2);
  assert.equal(counters.clientSent, 2);
  assert.equal(counters.tokensDecoded, 1);
  assert.equal(counters.flowsRouted, 1);
}

/** Worker i's trunk port is the first one + i, which may be taken: tries other places. */
async function startOnConsecutivePorts(options: RelayOptions): Promise<Relay> {
  for (let port = 21_000; ; port += 16) {
    try {
      return await startRelay({ ...options, trunk: { ...options.trunk, port } });
    } catch (error) {
      if (!(error instanceof NetError) || error.code !== 'EADDRINUSE') throw error;
    }
  }
}

function ufragFor(transceiver: FakeTransceiver): string {
  return new RoutingKeys(SECRET).encodeUfrag({ cluster: 0, locator: { kind: 0, address: transceiver.address }, nonce: 1 });
}

async function withRelay(options: RelayOptions, body: (relay: Relay, transceiver: FakeTransceiver) => Promise<void>): Promise<void> {
  const transceiver = await FakeTransceiver.open(SECRET);
  const relay = await startRelay(options);
  try {
    await body(relay, transceiver);
  } finally {
    await Promise.all([relay.close(), transceiver.close()]);
  }
}

/** Waits for a counter, which another thread writes: there is no event to await. */
async function counted(relay: Relay, key: RelayCounterKey, atLeast = 1): Promise<void> {
  while (relay.counters()[key] < atLeast) await delay(2);
}

/** The message with the attribute of SPED behind the others, so long in all. */
function withDtls(message: Uint8Array, bytes: number): Buffer {
  const attribute = Buffer.alloc(bytes - message.length, 0x16);
  attribute.writeUInt16BE(0xc070, 0);
  attribute.writeUInt16BE(attribute.length - 4, 2);
  const whole = Buffer.concat([message, attribute]);
  whole.writeUInt16BE(whole.length - 20, 2);
  return whole;
}
