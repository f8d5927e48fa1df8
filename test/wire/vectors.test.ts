import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';
import { CallIdKeys } from '../../src/wire/call-id.ts';
import { CallTickets } from '../../src/wire/call-ticket.ts';
import { deriveKey, hkdfSha256 } from '../../src/wire/derive-key.ts';
import type { Locator } from '../../src/wire/locator.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { pathProbeCluster, pathProbeKind, pathProbeNumber, writePathProbe, writeWorkerReport } from '../../src/wire/path-probe.ts';
import { TrunkCookies, TrunkEntry, TrunkReader, writeTrunkHeader } from '../../src/wire/trunk.ts';

/** The vectors come from independent programs: Python's hmac and hashlib, and `openssl enc`; those of sealed tickets, Go's crypto. */
interface LocatorVector {
  kind: 0 | 1;
  address?: string;
  nodeId?: string;
}

interface CallVector {
  secret: string;
  cluster: number;
  locator: LocatorVector;
  nonce: number;
}

interface EntryVector {
  family: 4 | 6;
  ip: string;
  port: number;
  verified: boolean;
  via: string | null;
  payload: string;
  target: string | null;
  control: boolean;
  handedBack: boolean;
}

const ROOT = new URL('../../../', import.meta.url);
const docs = readFileSync(new URL('docs/wire.md', ROOT), 'utf8');

describe('wire vectors', () => {
  it('HKDF is that of RFC 5869', () => {
    const { rfc5869 } = load<{ rfc5869: { ikm: string; salt: string; info: string; length: number; okm: string }[] }>('keys');
    for (const { ikm, salt, info, length, okm } of rfc5869) {
      assert.equal(hex(hkdfSha256(bytes(ikm), bytes(salt), bytes(info), length)), okm);
    }
  });

  it('derived keys, the program and the docs agree', () => {
    const { derived } = load<{ derived: { secret: string; info: string; length: number; key: string }[] }>('keys');
    for (const { secret, info, length, key } of derived) {
      assert.equal(hex(deriveKey(secret, info, length)), key);
      documented(info, key);
    }
  });

  it('routing tokens, the program and the docs agree', () => {
    for (const vector of load<(CallVector & { block: string; token: string; ufrag: string })[]>('routing-token')) {
      const fields = { cluster: vector.cluster, locator: locator(vector.locator), nonce: vector.nonce };
      const keys = new RoutingKeys(vector.secret);
      assert.equal(keys.encodeUfrag(fields), vector.ufrag);
      assert.deepEqual(keys.decodeUfragText(vector.ufrag), fields);
      documented(vector.block, vector.token, vector.ufrag);
    }
  });

  it('tokens of tickets, the program and the docs agree', () => {
    type TicketVector = { secret: string; cluster: number; issuedAt: number; random: string; block: string; token: string; prefix: string };
    for (const { secret, cluster, issuedAt, random, block, token, prefix } of load<TicketVector[]>('ticket-token')) {
      const keys = new RoutingKeys(secret);
      assert.equal(keys.encodeTicketToken({ cluster, issuedAt }, (into) => into.set(bytes(random))), prefix);
      assert.deepEqual(keys.decodeUfragText(`${prefix}sealed`), { cluster, issuedAt });
      documented(random, block, token, prefix);
    }
  });

  it('sealed tickets, the program and the docs agree', () => {
    type SealedVector = { secret: string; token: string; iv: string; body: string; ufrag: string; drawn: string };
    for (const { secret, token, iv, body, ufrag, drawn } of load<SealedVector[]>('call-ticket')) {
      const tickets = new CallTickets(secret);
      assert.equal(tickets.seal(token, bytes(body), (into) => into.set(bytes(iv))).ufrag, ufrag);
      const opened = tickets.open(ufrag)!;
      assert.equal(hex(opened.body), body);
      const first = new Uint8Array(drawn.length / 2);
      opened.draw(first);
      assert.equal(hex(first), drawn);
      documented(token, iv, body, ufrag, drawn);
    }
  });

  it('call ids, the program and the docs agree', () => {
    for (const vector of load<(CallVector & { random: string; plain: string; id: string })[]>('call-id')) {
      const fields = { cluster: vector.cluster, locator: locator(vector.locator), nonce: vector.nonce };
      const keys = new CallIdKeys(vector.secret);
      assert.equal(keys.encodeCallId(fields, (into) => into.set(bytes(vector.random))), vector.id);
      assert.deepEqual(keys.decodeCallId(vector.id), fields);
      documented(vector.plain, vector.id);
    }
  });

  it('trunk datagrams, the program and the docs agree', () => {
    const vectors = load<
      { secret: string; towardsClients: boolean; sequence: number; entries: EntryVector[]; datagram: string }[]
    >('trunk');
    for (const vector of vectors) {
      const cookies = new TrunkCookies(vector.secret);
      const datagram = bytes(vector.datagram);
      const reader = new TrunkReader(cookies);
      assert.equal(reader.open(datagram), null);
      assert.equal(reader.towardsClients, vector.towardsClients);
      assert.equal(reader.sequence, vector.sequence);
      for (const expected of vector.entries) {
        assert.ok(reader.next());
        assert.deepEqual(currentEntry(reader, datagram), expected);
      }
      assert.equal(reader.next(), false);
      assert.equal(reader.malformed, false);

      const written = new Uint8Array(datagram.length);
      let end = writeTrunkHeader(written, 0, vector.towardsClients, vector.sequence, cookies);
      for (const entry of vector.entries) end = trunkEntry(entry).write(written, end);
      assert.equal(hex(written), vector.datagram);
      documented(vector.datagram);
    }
  });

  it('the messages between peers in these datagrams are a probe, its echo and a report', () => {
    const messages = load<{ towardsClients: boolean; entries: EntryVector[] }[]>('trunk').flatMap(({ towardsClients, entries }) =>
      entries.filter(({ control }) => control).map(({ payload }) => ({ towardsClients, payload: bytes(payload) })),
    );
    const read = messages.map(({ towardsClients, payload }) => [towardsClients, pathProbeKind(payload, 0, payload.length), pathProbeCluster(payload, 0), pathProbeNumber(payload, 0)]);
    assert.deepEqual(read, [[false, 'probe', 513, 9], [true, 'echo', 513, 9], [true, 'report', 513, 9]]);
    const [probe, echo, report] = messages.map(({ payload }) => ({ payload, written: new Uint8Array(payload.length) }));
    writePathProbe(probe.written, false, 513, 9);
    writePathProbe(echo.written, true, 513, 9);
    writeWorkerReport(report.written, { accepting: true, cluster: 513, workers: 4, readySince: 1_767_225_600 }, 9);
    for (const { payload, written } of [probe, echo, report]) assert.deepEqual(written, payload);
  });
});

function currentEntry(reader: TrunkReader, datagram: Uint8Array): EntryVector {
  const part = (offset: number, length: number): string => hex(datagram.subarray(offset, offset + length));
  const endpoint = (at: number): string => formatAddress({ family: 4, ip: datagram.subarray(at, at + 4), port: (datagram[at + 4] << 8) | datagram[at + 5] });
  return {
    family: reader.family,
    ip: part(reader.ipOffset, reader.family === 4 ? 4 : 16),
    port: reader.port,
    verified: reader.verified,
    via: reader.hasVia ? endpoint(reader.viaOffset) : null,
    payload: part(reader.payloadOffset, reader.payloadLength),
    target: reader.hasTarget ? endpoint(reader.targetOffset) : null,
    control: reader.control,
    handedBack: reader.handedBack,
  };
}

function trunkEntry(vector: EntryVector): TrunkEntry {
  const entry = new TrunkEntry();
  entry.family = vector.family;
  entry.ip = bytes(vector.ip);
  entry.port = vector.port;
  entry.verified = vector.verified;
  entry.via = endpointBytes(vector.via);
  entry.target = endpointBytes(vector.target);
  entry.control = vector.control;
  entry.handedBack = vector.handedBack;
  entry.payload = bytes(vector.payload);
  entry.payloadLength = entry.payload.length;
  return entry;
}

function endpointBytes(text: string | null): Uint8Array | null {
  if (text === null) return null;
  const { ip, port } = parseAddress(text);
  return Uint8Array.from([...ip, port >> 8, port & 0xff]);
}

function locator({ kind, address, nodeId }: LocatorVector): Locator {
  return kind === 0 ? { kind, address: parseAddress(address ?? '') } : { kind, nodeId: bytes(nodeId ?? '') };
}

function documented(...texts: string[]): void {
  for (const text of texts) assert.ok(docs.includes(text), `docs/wire.md lacks the vector ${text}`);
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- names the shape of the file where it is read
function load<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`test/fixtures/wire/${name}.json`, ROOT), 'utf8')) as T;
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}
