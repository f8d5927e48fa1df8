import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { DescriptorStream } from '../../src/net/descriptor-stream.ts';
import { requireLibc } from '../../src/net/libc.ts';
import { FRAMES, HandoverKeys, NONCE_BYTES, readFlows, readFrame, readState, writeFrame } from '../../src/relay/handover-wire.ts';
import { type Relay, type RelayOptions, startRelay as startRelayForGood } from '../../src/relay/index.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { TestClient } from './support/client.ts';
import { FakeTransceiver } from './support/fake-transceiver.ts';
import { bindingRequest } from './support/stun.ts';

const SECRET = 'a secret for tests';
const SOON_MS = 5000;
const NOTHING = new Uint8Array(0);

const folder = mkdtempSync(path.join(tmpdir(), 'earshot-handover-'));
after(() => rmSync(folder, { recursive: true }));

const relays: Relay[] = [];
afterEach(() => Promise.all(relays.splice(0).map((relay) => relay.close())));

async function startRelay(options: RelayOptions): Promise<Relay> {
  const relay = await startRelayForGood(options);
  relays.push(relay);
  return relay;
}

describe('handover of a relay', { timeout: 30_000 }, () => {
  let options: RelayOptions & { readonly handover: string };
  let sockets = 0;
  beforeEach(() => {
    options = {
      udp: parseAddress('127.0.0.1:0'),
      trunk: parseAddress('127.0.0.1:0'),
      secret: SECRET,
      engine: 'mmsg',
      workers: 1,
      handover: path.join(folder, `relay-${sockets++}.sock`),
    };
  });

  it('passes from relay to relay, with the flows and whatever waits in the sockets', async () => {
    const first = await startRelay({ ...options, workers: 2 });
    await using call = await Call.through(first);
    await using other = await Call.through(first);
    await call.voice();
    assert.equal(first.takenOver, null);
    assert.equal(statSync(options.handover).mode & 0o777, 0o600);
    let relay = first;
    for (let round = 1; round <= 2; round++) {
      const next = await startRelay({ ...options, workers: 2, udp: first.udp });
      assert.equal((await relay.handedOver).flows, 2);
      assert.equal(next.takenOver?.flows, 2);
      assert.deepEqual([next.udp, next.trunk], [first.udp, first.trunk]);
      await Promise.all([relay.close(), next.predecessorLeft()]);
      await relay.finished;
      relay = next;
      // That a transceiver has vouched for the flow is handed over, too: a token of another call moves nothing.
      await call.showTokenOf(other);
      await call.voice();
      assert.equal(relay.counters().tokensDecoded, 1);
      while (relay.counters().flowsHandedOver < 2) await delay(2);
    }
    await relay.close();
    assert.equal(existsSync(options.handover), false);
  });

  it('goes on when its successor dies at the last moment, and forwards what came while it was held', async () => {
    const failed: Error[] = [];
    const relay = await startRelay({ ...options, onHandoverFailed: (error) => failed.push(error) });
    await using call = await Call.through(relay);
    const successor = await claim(options.handover, SECRET);
    for (let i = 0; i < relay.trunk.length; i++) await successor.receiveDescriptors(2, SOON_MS);
    await writeFrame(successor, FRAMES.HOLD, NOTHING, SOON_MS);
    for (let i = 0; i < relay.trunk.length; i++) await readFlows(successor, SOON_MS);
    const voice = call.voice();
    // A second one that comes meanwhile is sent away.
    await assert.rejects(startRelay({ ...options, udp: relay.udp }), /Another process is taking over/);
    assert.equal(relay.counters().forwarded, 1);
    successor.close();
    await voice;
    assert.equal(failed.length, 2);
    const next = await startRelay({ ...options, udp: relay.udp });
    assert.equal(next.takenOver?.flows, 1);
    await relay.close();
    await call.voice();
    await next.close();
  });

  it('is refused to whoever has another secret, and to a successor that is to be elsewhere', async () => {
    const relay = await startRelay(options);
    await using call = await Call.through(relay);
    const elsewhere = parseAddress('127.0.0.1:9');
    for (const [change, why] of [
      [{ secret: 'another secret' }, /another EARSHOT_SECRET/],
      [{ udp: elsewhere }, /has --udp 127\.0\.0\.1:\d+, and this one wants 127\.0\.0\.1:9/],
      [{ trunk: elsewhere }, /has --trunk/],
      [{ cluster: 1 }, /has --cluster 0, and this one wants 1/],
      [{ workers: 3 }, /has --workers 1, and this one wants 3/],
    ] as const) {
      await assert.rejects(startRelay({ ...options, ...change }), why);
    }
    await assert.rejects(claim(options.handover, 'another secret'), { code: 'ECONNREFUSED', message: /another EARSHOT_SECRET/ });
    await call.voice();
    await relay.close();
  });

  it('goes from the previous secret to the current one', async () => {
    const relay = await startRelay(options);
    const next = await startRelay({ ...options, secret: 'the secret after it', previousSecret: SECRET });
    assert.notEqual(next.takenOver, null);
    await Promise.all([relay.close(), next.close()]);
  });

  it('finds nobody at a path that a dead relay has left, and takes no file for one', async () => {
    await (await startRelay(options)).close();
    const dead = await startRelay(options);
    const stolen = `${options.handover}.left`;
    renameSync(options.handover, stolen);
    await dead.close();
    const relay = await startRelay({ ...options, handover: stolen });
    assert.equal(relay.takenOver, null);
    await relay.close();
    writeFileSync(options.handover, '');
    await assert.rejects(startRelay(options), /a file of that name that is no socket/);
    await assert.rejects(startRelay({ ...options, handover: path.join(folder, 'no', 'folder') }), /its folder does not exist/);
  });

  it('needs the mmsg engine', async () => {
    await assert.rejects(startRelay({ ...options, engine: 'dgram', workers: 1 }), /needs the mmsg engine/);
  });
});

/** Asks a relay to make way, up to the moment where the descriptors come. */
async function claim(at: string, secret: string): Promise<DescriptorStream> {
  const stream = DescriptorStream.connect(requireLibc(), at)!;
  const keys = new HandoverKeys(secret, undefined);
  const hello = await readFrame(stream, FRAMES.HELLO, 64, SOON_MS);
  const nonce = Buffer.alloc(NONCE_BYTES, 7);
  const nonces = Buffer.concat([hello.subarray(1), nonce]);
  await writeFrame(stream, FRAMES.CLAIM, Buffer.concat([nonce, keys.prove('successor', nonces)]), SOON_MS);
  const { proofs } = await readState(stream);
  assert.ok(keys.verify('relay', nonces, proofs));
  return stream;
}

/** A client and its transceiver. */
class Call implements AsyncDisposable {
  readonly #client: TestClient;
  readonly #transceiver: FakeTransceiver;
  #packets = 0;

  private constructor(client: TestClient, transceiver: FakeTransceiver) {
    this.#client = client;
    this.#transceiver = transceiver;
  }

  static async through(relay: Relay): Promise<Call> {
    const transceiver = await FakeTransceiver.open(SECRET);
    const client = await TestClient.open(relay.udp);
    const call = new Call(client, transceiver);
    await call.showTokenOf(call);
    return call;
  }

  /** A check under the token of a call, which must come to its transceiver. */
  async showTokenOf(call: Call): Promise<void> {
    const transceiver = call.#transceiver;
    const ufrag = new RoutingKeys(SECRET).encodeUfrag({ cluster: 0, locator: { kind: 0, address: transceiver.address }, nonce: 1 });
    this.#client.send(bindingRequest(`${ufrag}:abcd`));
    await transceiver.next();
  }

  /** A packet there, whose flow must be known, and one back. */
  async voice(): Promise<void> {
    const packet = Buffer.from([0x80, 111, 0, ++this.#packets]);
    this.#client.send(packet);
    const { payload, relay, client } = await this.#transceiver.next();
    assert.deepEqual(payload, packet);
    this.#transceiver.send(relay, client, packet, true);
    assert.deepEqual(await this.#client.next(), packet);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#client.close(), this.#transceiver.close()]);
  }
}
