import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { CallIdKeys } from '../../src/wire/call-id.ts';
import type { Locator } from '../../src/wire/locator.ts';
import { MAX_UFRAG_LENGTH, RoutingKeys, RoutingToken, UFRAG_LENGTH } from '../../src/wire/routing-token.ts';

const plain = { noNullPrototype: true };
const locators: fc.Arbitrary<Locator> = fc.oneof(
  fc.record({
    kind: fc.constant(0 as const),
    address: fc.record(
      { family: fc.constant(4 as const), ip: fc.uint8Array({ minLength: 4, maxLength: 4 }), port: fc.nat(0xffff) },
      plain,
    ),
  }, plain),
  fc.record({ kind: fc.constant(1 as const), nodeId: fc.uint8Array({ minLength: 6, maxLength: 6 }) }, plain),
);
const calls = fc.record({ cluster: fc.nat(0xffff), locator: locators, nonce: fc.nat(0xffffff) }, plain);
const secrets = fc.string({ minLength: 1 });

describe('routing token', () => {
  it('loses no field on the way through an ICE ufrag', () => {
    fc.assert(
      fc.property(secrets, calls, (secret, call) => {
        const keys = new RoutingKeys(secret);
        const ufrag = keys.encodeUfrag(call);
        assert.match(ufrag, /^[A-Za-z0-9+/]{23}$/);
        assert.deepEqual(keys.decodeUfragText(ufrag), call);
      }),
    );
  });

  it('outlives one rotation of the secret, not two', () => {
    fc.assert(
      fc.property(calls, (call) => {
        const ufrag = new RoutingKeys('first').encodeUfrag(call);
        assert.deepEqual(new RoutingKeys('second', 'first').decodeUfragText(ufrag), call);
        assert.equal(new RoutingKeys('third', 'second').decodeUfragText(ufrag), null);
      }),
    );
  });

  it('is read when both secrets happen to have the same key id', () => {
    const call = { cluster: 1, locator: { kind: 1, nodeId: new Uint8Array(6) }, nonce: 2 } as const;
    const first = new RoutingKeys('secret').encodeUfrag(call);
    let twin = 0;
    // The first character holds the version and the top of the key id, the second the rest.
    while (new RoutingKeys(`twin ${twin}`).encodeUfrag(call).slice(0, 1) !== first.slice(0, 1)) twin++;
    assert.deepEqual(new RoutingKeys(`twin ${twin}`, 'secret').decodeUfragText(first), call);
  });

  it('is refused with any one character changed', () => {
    const keys = new RoutingKeys('secret');
    const ufrag = keys.encodeUfrag({ cluster: 1, locator: { kind: 1, nodeId: new Uint8Array(6) }, nonce: 7 });
    for (let i = 0; i < UFRAG_LENGTH; i++) {
      for (const other of ['A', 'z', '+', '=', '\u0000', '\u00ff']) {
        if (other !== ufrag[i]) assert.equal(keys.decodeUfragText(ufrag.slice(0, i) + other + ufrag.slice(i + 1)), null);
      }
    }
  });

  it('is refused when shorter or longer, and read only within its bounds', () => {
    const keys = new RoutingKeys('secret');
    const call = { cluster: 3, locator: { kind: 1, nodeId: new Uint8Array(6) }, nonce: 7 } as const;
    const ufrag = keys.encodeUfrag(call);
    assert.equal(keys.decodeUfragText(ufrag.slice(1)), null);
    assert.equal(keys.decodeUfragText(`${ufrag}A`), null);
    const out = new RoutingToken();
    assert.ok(keys.decodeUfrag(Buffer.from(`xx${ufrag}:yy`), 2, UFRAG_LENGTH, out));
    assert.equal(out.cluster, 3);
    assert.equal(keys.decodeUfrag(Buffer.from(ufrag), 1, UFRAG_LENGTH, out), false);
  });

  it('says which field of a call is out of range', () => {
    const keys = new RoutingKeys('secret');
    const locator: Locator = { kind: 1, nodeId: new Uint8Array(6) };
    assert.throws(() => keys.encodeUfrag({ cluster: 65_536, locator, nonce: 0 }), /Cluster id must be 0 to 65535/);
    assert.throws(() => keys.encodeUfrag({ cluster: 0, locator, nonce: 1 << 24 }), /Call nonce must be 0 to 16777215/);
    const v6 = { kind: 0, address: { family: 6, ip: new Uint8Array(16), port: 1 } } as const;
    assert.throws(() => keys.encodeUfrag({ cluster: 0, locator: v6, nonce: 0 }), /must be IPv4/);
    assert.throws(() => new RoutingKeys(''), /EARSHOT_SECRET/);
  });

  it('survives 100,000 arbitrary ufrags', () => {
    const keys = new RoutingKeys('secret', 'previous');
    const out = new RoutingToken();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(40), fc.nat(300), (data, offset, length) => {
        assert.equal(keys.decodeUfrag(data, offset, length, out), false);
      }),
      { numRuns: 100_000 },
    );
  });
});

describe('token of an unbound ticket', () => {
  const tickets = fc.record({ cluster: fc.nat(0xffff), issuedAt: fc.nat(0xffff_ffff) }, plain);
  const fives = fc.uint8Array({ minLength: 5, maxLength: 5 });

  it('loses no field, whatever follows it, and outlives one rotation', () => {
    fc.assert(
      fc.property(tickets, fives, fc.uint8Array({ minLength: 1, maxLength: MAX_UFRAG_LENGTH - UFRAG_LENGTH }), fc.nat(9), (ticket, random, sealed, at) => {
        const prefix = new RoutingKeys('first').encodeTicketToken(ticket, (into) => into.set(random));
        assert.match(prefix, /^[A-Za-z0-9+/]{23}$/);
        const data = Buffer.concat([Buffer.alloc(at), Buffer.from(prefix), sealed]);
        const out = new RoutingToken();
        assert.ok(new RoutingKeys('second', 'first').decodeUfrag(data, at, data.length - at, out));
        assert.deepEqual([out.cluster, out.locatorKind, out.issuedAt], [ticket.cluster, 2, ticket.issuedAt]);
        assert.equal(Buffer.from(out.bytes).toString('base64').slice(0, UFRAG_LENGTH), prefix);
        assert.equal(new RoutingKeys('third', 'second').decodeUfrag(data, at, data.length - at, out), false);
      }),
    );
  });

  it('is refused without a sealed part, and with one beyond 256 characters in all', () => {
    const keys = new RoutingKeys('secret');
    const ticket = { cluster: 1, issuedAt: 2 };
    const prefix = keys.encodeTicketToken(ticket, () => undefined);
    assert.equal(keys.decodeUfragText(prefix), null);
    assert.deepEqual(keys.decodeUfragText(prefix.padEnd(MAX_UFRAG_LENGTH, '+')), ticket);
    assert.equal(keys.decodeUfragText(prefix.padEnd(MAX_UFRAG_LENGTH + 1, '+')), null);
    assert.equal(keys.decodeUfragText(`A${prefix}`), null);
  });

  it('says which field is out of range', () => {
    const keys = new RoutingKeys('secret');
    assert.throws(() => keys.encodeTicketToken({ cluster: -1, issuedAt: 0 }, () => undefined), /Cluster id must be 0 to 65535/);
    assert.throws(() => keys.encodeTicketToken({ cluster: 0, issuedAt: 2 ** 32 }, () => undefined), /Time of issue must be 0 to/);
  });
});

describe('call id', () => {
  it('loses no field, outlives one rotation, and is never the same twice', () => {
    let salt = 0;
    const random = (bytes: Uint8Array): unknown => bytes.fill(++salt);
    fc.assert(
      fc.property(calls, (call) => {
        const keys = new CallIdKeys('first');
        const id = keys.encodeCallId(call, random);
        assert.match(id, /^rtc_[A-Za-z0-9_-]{43}$/);
        assert.deepEqual(new CallIdKeys('second', 'first').decodeCallId(id), call);
        assert.equal(new CallIdKeys('third', 'second').decodeCallId(id), null);
        assert.notEqual(keys.encodeCallId(call, random), id);
      }),
    );
  });

  it('is refused with any one character changed, and survives 100,000 arbitrary texts', () => {
    const keys = new CallIdKeys('secret');
    const id = keys.encodeCallId({ cluster: 1, locator: { kind: 1, nodeId: new Uint8Array(6) }, nonce: 7 }, () => undefined);
    for (let i = 0; i < id.length; i++) {
      const other = id[i] === 'A' ? 'B' : 'A';
      assert.equal(keys.decodeCallId(id.slice(0, i) + other + id.slice(i + 1)), null);
    }
    const texts = fc.oneof(fc.string(), fc.base64String({ minLength: 40, maxLength: 48 }).map((text) => `rtc_${text}`));
    fc.assert(
      fc.property(texts, (text) => assert.equal(keys.decodeCallId(text), null)),
      { numRuns: 100_000 },
    );
  });
});
