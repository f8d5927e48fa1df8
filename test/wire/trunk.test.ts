import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { TrunkCookies, TrunkEntry, TrunkReader, writeTrunkHeader } from '../../src/wire/trunk.ts';

const cookies = new TrunkCookies('secret');
const entries = fc.constantFrom<4 | 6>(4, 6).chain((family) =>
  fc.record({
    family: fc.constant(family),
    ip: fc.uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 }),
    port: fc.nat(0xffff),
    verified: fc.boolean(),
    via: fc.option(fc.uint8Array({ minLength: 6, maxLength: 6 })),
    target: fc.option(fc.uint8Array({ minLength: 6, maxLength: 6 })),
    control: fc.boolean(),
    handedBack: fc.boolean(),
    payload: fc.uint8Array({ maxLength: 400 }),
  }, { noNullPrototype: true }),
);
type Entry = typeof entries extends fc.Arbitrary<infer T> ? T : never;

describe('trunk', () => {
  it('gives back every entry that was written, at any offset', () => {
    fc.assert(
      fc.property(fc.array(entries, { maxLength: 8 }), fc.nat(0xffff_ffff), fc.boolean(), fc.nat(20), (list, sequence, towards, at) => {
        const data = write(list, sequence, towards, at);
        const reader = new TrunkReader(cookies);
        assert.equal(reader.open(data, at, data.length - at), null);
        assert.equal(reader.sequence, sequence);
        assert.equal(reader.towardsClients, towards);
        assert.deepEqual(readAll(reader, data), list);
        assert.equal(reader.malformed, false);
      }),
    );
  });

  it('takes the cookies of the current and of the previous secret, and no other', () => {
    const data = write([], 0, false, 0);
    assert.equal(new TrunkReader(new TrunkCookies('new', 'secret')).open(data), null);
    assert.equal(new TrunkReader(new TrunkCookies('newer', 'new')).open(data), 'trunk-cookie');
  });

  it('tells a later version and a foreign datagram apart', () => {
    const data = write([], 0, false, 0);
    const reader = new TrunkReader(cookies);
    assert.equal(reader.open(data.with(2, 2)), 'trunk-version');
    assert.equal(reader.open(data.with(0, 0)), 'trunk-malformed');
    assert.equal(reader.open(data.subarray(0, 15)), 'trunk-malformed');
    assert.equal(reader.next(), false);
  });

  it('reads no entry beyond a truncation, and says that there was one', () => {
    const list: Entry[] = [
      { family: 4, ip: new Uint8Array(4), port: 1, verified: true, via: null, target: new Uint8Array(6), control: false, handedBack: false, payload: new Uint8Array(20) },
      { family: 6, ip: new Uint8Array(16), port: 1, verified: true, via: new Uint8Array(6), target: new Uint8Array(6), control: false, handedBack: false, payload: new Uint8Array(9) },
      { family: 4, ip: new Uint8Array(4), port: 0, verified: false, via: null, target: null, control: true, handedBack: true, payload: new Uint8Array(8) },
    ];
    const data = write(list, 0, true, 0);
    const ends = [16, 16 + 16 + 20, 16 + 16 + 20 + 34 + 9, data.length];
    const reader = new TrunkReader(cookies);
    for (let length = 16; length <= data.length; length++) {
      assert.equal(reader.open(data, 0, length), null);
      assert.equal(readAll(reader, data).length, ends.filter((end) => end <= length).length - 1);
      assert.equal(reader.malformed, !ends.includes(length));
    }
  });

  it('believes nothing of a datagram in which one bit of version or cookie was changed', () => {
    fc.assert(
      fc.property(fc.array(entries, { minLength: 1, maxLength: 3 }), fc.integer({ min: 0, max: 11 * 8 - 1 }), (list, bit) => {
        // Magic and version, then the cookie: flags and sequence between them are anybody's.
        const at = bit >> 3 < 3 ? bit >> 3 : 5 + (bit >> 3);
        const data = write(list, 1, false, 0);
        const reader = new TrunkReader(cookies);
        assert.notEqual(reader.open(data.with(at, data[at] ^ (1 << (bit & 7)))), null);
        assert.equal(reader.next(), false);
      }),
    );
  });

  it('ends at an entry with a flag that it does not know, or that promises a via or a target which is not there', () => {
    const entry: Entry = { family: 4, ip: new Uint8Array(4), port: 1, verified: false, via: null, target: null, control: false, handedBack: false, payload: new Uint8Array(0) };
    const reader = new TrunkReader(cookies);
    for (let flags = 0; flags < 256; flags++) {
      const data = write([entry, entry], 0, false, 0);
      data[16 + 10 + 3] = flags;
      assert.equal(reader.open(data), null);
      const isWhole = (flags & ~0b11010) === 0;
      assert.equal(readAll(reader, data).length, isWhole ? 2 : 1, `flags ${flags}`);
      assert.equal(reader.malformed, !isWhole);
    }
  });

  it('survives 100,000 arbitrary bodies behind a good header, reading only what is there', () => {
    const reader = new TrunkReader(cookies);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (body) => {
        const data = new Uint8Array(16 + body.length);
        writeTrunkHeader(data, 0, true, 0, cookies);
        data.set(body, 16);
        assert.equal(reader.open(data), null);
        let last = 16;
        while (reader.next()) {
          const end = reader.payloadOffset + reader.payloadLength;
          assert.ok(reader.payloadOffset > last && end <= data.length);
          last = end;
        }
        assert.equal(reader.malformed, last !== data.length);
      }),
      { numRuns: 100_000 },
    );
  });
});

function write(list: readonly Entry[], sequence: number, towardsClients: boolean, at: number): Uint8Array {
  const data = new Uint8Array(at + 16 + 500 * list.length);
  let end = writeTrunkHeader(data, at, towardsClients, sequence, cookies);
  for (const { payload, ...fields } of list) {
    const entry = Object.assign(new TrunkEntry(), fields, { payload, payloadLength: payload.length });
    const start = end;
    end = entry.write(data, end);
    assert.equal(end - start, entry.byteLength);
  }
  return data.slice(0, end);
}

function readAll(reader: TrunkReader, data: Uint8Array): Entry[] {
  const list: Entry[] = [];
  while (reader.next()) {
    const { family, ipOffset, port, verified, payloadOffset, payloadLength } = reader;
    list.push({
      family,
      ip: data.slice(ipOffset, ipOffset + (family === 4 ? 4 : 16)),
      port,
      verified,
      via: reader.hasVia ? data.slice(reader.viaOffset, reader.viaOffset + 6) : null,
      target: reader.hasTarget ? data.slice(reader.targetOffset, reader.targetOffset + 6) : null,
      control: reader.control,
      handedBack: reader.handedBack,
      payload: data.slice(payloadOffset, payloadOffset + payloadLength),
    });
  }
  return list;
}
