import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RelayCore } from '../../src/relay/core.ts';
import { CounterBlock } from '../../src/relay/counters.ts';
import { FLOW_CLIENT_BYTES, FLOW_RECORD_BYTES, FLOW_TARGET_OFFSET, writeFlowRecord } from '../../src/relay/flow-record.ts';
import { FlowSeal } from '../../src/relay/flow-seal.ts';
import { NetworkList } from '../../src/relay/networks.ts';
import { RecoveryDesk } from '../../src/relay/recovery-desk.ts';
import { RecoveryMail, type RecoveryMessage } from '../../src/relay/recovery-mail.ts';
import { makeShared, takeMail } from '../../src/relay/worker-setup.ts';
import { type FlowStore, type FlowStoreEntry, MemoryStore } from '../../src/store/index.ts';
import { parseAddress, type TransportAddress } from '../../src/wire/address.ts';
import { writeEndpoint4 } from '../../src/wire/locator.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { TrunkCookies, TrunkEntry, writeTrunkHeader } from '../../src/wire/trunk.ts';
import { bindingRequest } from './support/stun.ts';

const SECRET = 'a secret for tests';
const CLIENT = parseAddress('203.0.113.7:50000');
const OTHER = parseAddress('203.0.113.8:50000');
const TARGET = parseAddress('10.0.0.1:7100');
const RTP = Uint8Array.from([0x80, 111, 0, 1]);

describe('sealed flows', () => {
  const seal = new FlowSeal(SECRET, undefined, 0);
  const value = seal.seal(client(CLIENT), endpoint(TARGET));

  it('are opened for their client, under the same secret and cluster', () => {
    assert.deepEqual(seal.open(client(CLIENT), value), Buffer.from(endpoint(TARGET)));
    const rotated = new FlowSeal('the next secret', SECRET, 0);
    assert.deepEqual(rotated.open(client(CLIENT), value), Buffer.from(endpoint(TARGET)));
    assert.equal(rotated.keys(client(CLIENT))[1], seal.key(client(CLIENT)));
  });

  const refused: readonly [string, FlowSeal, TransportAddress, string][] = [
    ['of another client', seal, OTHER, value],
    ['of another cluster', new FlowSeal(SECRET, undefined, 1), CLIENT, value],
    ['under another secret', new FlowSeal('guess', undefined, 0), CLIENT, value],
    ['with one bit changed', seal, CLIENT, flip(value, 15)],
    ['cut short', seal, CLIENT, value.slice(0, -4)],
    ['empty', seal, CLIENT, ''],
    ['in plain', seal, CLIENT, '10.0.0.1:7100'],
  ];
  for (const [name, opener, of, sealed] of refused) {
    it(`a value ${name} is refused`, () => assert.equal(opener.open(client(of), sealed), null));
  }

  it('show neither the address of the client nor of the transceiver', () => {
    const shown = Buffer.concat([Buffer.from(seal.key(client(CLIENT))), Buffer.from(value, 'base64url')]);
    assert.equal(shown.includes(Buffer.from(CLIENT.ip)), false);
    assert.equal(shown.includes(Buffer.from(endpoint(TARGET))), false);
    assert.notEqual(seal.seal(client(CLIENT), endpoint(TARGET)), value);
  });
});

describe('recovery desk', { timeout: 10_000 }, () => {
  it('finds for one relay what another has written', async () => {
    const store = new MemoryStore();
    const { desk } = openDesk(store);
    desk.handle(0, learned([CLIENT, OTHER], TARGET));
    await until(() => desk.figures.written === 2);
    assert.equal(desk.figures.writeBatches, 1);

    const successor = openDesk(store);
    successor.desk.handle(3, lookup([CLIENT, parseAddress('203.0.113.9:1')]));
    await until(() => successor.answers.length === 1);
    assert.deepEqual(successor.answers, [{ worker: 3, records: Buffer.from(record(CLIENT, TARGET)) }]);
    const { hits, misses, queued } = successor.desk.figures;
    assert.deepEqual({ hits, misses, queued }, { hits: 1, misses: 1, queued: 0 });
    await Promise.all([desk.close(), successor.desk.close()]);
  });

  it('follows nothing that somebody else has written', async () => {
    const store = new MemoryStore();
    const seal = new FlowSeal(SECRET, undefined, 0);
    const stolen = seal.seal(client(OTHER), endpoint(TARGET));
    await store.write([{ key: seal.key(client(CLIENT)), value: stolen }], 60_000);
    const { desk, answers } = openDesk(store);
    desk.handle(0, lookup([CLIENT]));
    await until(() => desk.figures.misses === 1);
    assert.equal(desk.figures.forged, 1);
    assert.deepEqual(answers, []);
    await desk.close();
  });

  it('keeps what it could not write, and writes only where the flow is now', async () => {
    const store = new FailingStore();
    const { desk } = openDesk(store);
    desk.handle(0, learned([CLIENT], TARGET));
    await until(() => desk.figures.writeErrors === 1);
    desk.handle(0, learned([CLIENT], parseAddress('10.0.0.2:7100')));
    store.fails = false;
    await until(() => desk.figures.written === 1);
    assert.equal(store.written.length, 1);
    assert.equal(desk.figures.queued, 0);
    await desk.close();
  });

  it('writes a flow again that has moved while it was being written', async () => {
    const store = new FailingStore();
    store.fails = false;
    const { desk } = openDesk(store);
    store.during = () => desk.handle(0, learned([CLIENT], parseAddress('10.0.0.2:7100')));
    desk.handle(0, learned([CLIENT], TARGET));
    await until(() => desk.figures.written === 2);
    const seal = new FlowSeal(SECRET, undefined, 0);
    const last = seal.open(client(CLIENT), store.written[1].value);
    assert.deepEqual(last, Buffer.from(endpoint(parseAddress('10.0.0.2:7100'))));
    await desk.close();
  });

  it('holds a bounded number of questions and flows while the store says nothing', async () => {
    const { desk } = openDesk(new SilentStore());
    for (let batch = 0; batch < 400; batch++) {
      const clients = Array.from({ length: 500 }, (_, i) => ({ ...CLIENT, ip: Uint8Array.of(10, batch >> 8, batch, i >> 8), port: (i & 0xff) + 1 }));
      desk.handle(0, lookup(clients));
      desk.handle(0, learned(clients, TARGET));
    }
    assert.equal(desk.figures.lookups, 200_000);
    assert.ok(desk.figures.queued <= 16_384 + 131_072, `${desk.figures.queued} wait`);
    assert.ok(desk.figures.lookupErrors > 0 && desk.figures.writesDropped > 0);
    await desk.close();
  });
});

/** 20 ms of voice at a time through a core that is replaced by an empty one, in virtual time: what is lost after it. */
const RESTARTS: readonly [string, { agentTalks: boolean; redisMs: number | null; checkEveryMs: number }, number][] = [
  ['the agent talks, no Redis', { agentTalks: true, redisMs: null, checkEveryMs: 2500 }, 40],
  ['only the caller talks, Redis answers in 1 ms', { agentTalks: false, redisMs: 1, checkEveryMs: 2500 }, 40],
  ['only the caller talks, Redis answers in 75 ms', { agentTalks: false, redisMs: 75, checkEveryMs: 2500 }, 100],
  ['only the caller talks, no Redis', { agentTalks: false, redisMs: null, checkEveryMs: 2500 }, 2500],
];

describe('a relay that has just started', () => {
  for (const [name, situation, promiseMs] of RESTARTS) {
    for (const phase of [0, 7, 13, 19]) {
      it(`${name}: heard again within ${promiseMs} ms (voice ${phase} ms after the start)`, () => {
        assert.ok(silence(situation, phase) <= promiseMs, `silent for ${silence(situation, phase)} ms`);
      });
    }
  }
});

function silence(situation: (typeof RESTARTS)[number][1], phase: number): number {
  const { agentTalks, redisMs, checkEveryMs } = situation;
  const answers: { at: number; records: Uint8Array }[] = [];
  let now = 0;
  const mail = new RecoveryMail(({ records, lookups }) => {
    if (redisMs === null) return;
    for (let i = 0; i < lookups; i++) answers.push({ at: now + redisMs, records: filled(records.slice(i * FLOW_RECORD_BYTES, (i + 1) * FLOW_RECORD_BYTES)) });
  });
  const core = makeCore(mail);
  const check = bindingRequest(`${new RoutingKeys(SECRET).encodeUfrag({ cluster: 0, locator: { kind: 0, address: TARGET }, nonce: 1 })}:x`);
  const wayBack = verifiedEntry();
  for (; now < 10_000; now++) {
    for (const answer of answers) if (answer.at === now) takeMail({ core, paths: null, transceivers: null }, answer.records, now);
    // The agent's clock has nothing to do with the caller's: its frames come half a frame later.
    if (agentTalks && now % 20 === (phase + 10) % 20) {
      assert.equal(core.openTrunk(wayBack, 0, wayBack.length, TARGET.ip, 0, TARGET.port), null);
      while (core.nextEntry(now) !== null);
    }
    const packet = now % checkEveryMs === checkEveryMs - 1 ? check : now % 20 === phase ? RTP : null;
    if (packet !== null && core.fromClient(packet, 0, packet.length, 4, CLIENT.ip, 0, CLIENT.port, now) === 'forward') return now;
    mail.flush();
  }
  return now;
}

function makeCore(recovery: RecoveryMail): RelayCore {
  return new RelayCore({
    keys: new RoutingKeys(SECRET),
    cookies: new TrunkCookies(SECRET),
    cluster: 0,
    paths: null,
    transceivers: null,
    allowTargets: new NetworkList(['10.0.0.0/8']),
    maxFlows: 16,
    idleTimeoutMs: 60_000,
    publicFamily: 4,
    counters: new CounterBlock(makeShared(), 8),
    recovery,
    sourceLimit: null,
  });
}

function verifiedEntry(): Uint8Array {
  const data = new Uint8Array(200);
  const start = writeTrunkHeader(data, 0, true, 0, new TrunkCookies(SECRET));
  const entry = Object.assign(new TrunkEntry(), CLIENT, { verified: true, payload: RTP, payloadLength: RTP.length });
  return data.slice(0, entry.write(data, start));
}

function openDesk(store: FlowStore): { desk: RecoveryDesk; answers: { worker: number; records: Uint8Array }[] } {
  const answers: { worker: number; records: Uint8Array }[] = [];
  const desk = new RecoveryDesk({
    store,
    seal: new FlowSeal(SECRET, undefined, 0),
    ttlMs: 60_000,
    answer: (worker, records) => answers.push({ worker, records }),
  });
  return { desk, answers };
}

class FailingStore implements FlowStore {
  fails = true;
  readonly written: FlowStoreEntry[] = [];
  /** Happens while the next write is under way. */
  during: (() => void) | null = null;

  read(): Promise<never> {
    return Promise.reject(new Error('away'));
  }

  async write(entries: readonly FlowStoreEntry[]): Promise<void> {
    if (this.fails) throw new Error('away');
    this.during?.();
    this.during = null;
    this.written.push(...entries);
  }

  async close(): Promise<void> {}
}

class SilentStore implements FlowStore {
  read(): Promise<never> {
    return new Promise(() => undefined);
  }

  write(): Promise<never> {
    return new Promise(() => undefined);
  }

  async close(): Promise<void> {}
}

function record(of: TransportAddress, target: TransportAddress | null): Uint8Array {
  const bytes = new Uint8Array(FLOW_RECORD_BYTES);
  writeFlowRecord(bytes, 0, of.ip, 0, of.family, of.port, target && endpoint(target), 0);
  return bytes;
}

function filled(asked: Uint8Array): Uint8Array {
  asked.set(endpoint(TARGET), FLOW_TARGET_OFFSET);
  return asked;
}

function client(of: TransportAddress): Uint8Array {
  return record(of, null).subarray(0, FLOW_CLIENT_BYTES);
}

function lookup(clients: readonly TransportAddress[]): RecoveryMessage {
  return { records: new Uint8Array(Buffer.concat(clients.map((of) => record(of, null)))), lookups: clients.length };
}

function learned(clients: readonly TransportAddress[], target: TransportAddress): RecoveryMessage {
  return { records: new Uint8Array(Buffer.concat(clients.map((of) => record(of, target)))), lookups: 0 };
}

function endpoint(address: TransportAddress): Uint8Array {
  const bytes = new Uint8Array(6);
  writeEndpoint4(bytes, 0, address.ip, 0, address.port);
  return bytes;
}

function flip(value: string, at: number): string {
  const bytes = Buffer.from(value, 'base64url');
  bytes[at] ^= 1;
  return bytes.toString('base64url');
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}
