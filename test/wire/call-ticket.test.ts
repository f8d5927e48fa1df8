import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { CallTickets, MAX_TICKET_BODY } from '../../src/wire/call-ticket.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { seededBytes } from '../support/random.ts';

const SECRET = 'correct horse battery staple';
const random = seededBytes(7);
const token = new RoutingKeys(SECRET).encodeTicketToken({ cluster: 1, issuedAt: 1_790_000_000 }, random);
const bodies = fc.uint8Array({ maxLength: MAX_TICKET_BODY });

describe('call ticket', () => {
  it('brings back what was sealed, within the length of an ICE ufrag', () => {
    fc.assert(
      fc.property(bodies, (body) => {
        const tickets = new CallTickets(SECRET);
        const { ufrag } = tickets.seal(token, body, random);
        assert.match(ufrag, /^[A-Za-z0-9+/]{24,256}$/);
        assert.ok(ufrag.startsWith(token));
        const opened = tickets.open(ufrag)!;
        assert.deepEqual(Buffer.from(opened.body), Buffer.from(body));
        assert.equal(opened.secret, 0);
      }),
    );
  });

  it('is a token to a relay, whatever is sealed behind it', () => {
    const { ufrag } = new CallTickets(SECRET).seal(token, Uint8Array.of(1), random);
    assert.deepEqual(new RoutingKeys(SECRET).decodeUfragText(ufrag), { cluster: 1, issuedAt: 1_790_000_000 });
  });

  it('takes the longest body and not a byte more', () => {
    const tickets = new CallTickets(SECRET);
    assert.ok(tickets.seal(token, new Uint8Array(MAX_TICKET_BODY), random).ufrag.length <= 256);
    assert.throws(() => tickets.seal(token, new Uint8Array(MAX_TICKET_BODY + 1), random), RangeError);
  });

  it('outlives one rotation of the secret, not two, and says which secret it was', () => {
    const { ufrag } = new CallTickets('first').seal(token, Uint8Array.of(5), random);
    assert.equal(new CallTickets('second', 'first').open(ufrag)?.secret, 1);
    assert.equal(new CallTickets('third', 'second').open(ufrag), null);
  });

  it('is refused with any one character changed, cut, added, or of another deployment', () => {
    const tickets = new CallTickets(SECRET);
    const { ufrag } = tickets.seal(token, Uint8Array.of(1, 2, 3, 4), random);
    for (let i = 0; i < ufrag.length; i++) {
      for (const other of ['A', 'z', '+', '=', '-', '\u0000', '\u00ff']) {
        if (other !== ufrag[i]) assert.equal(tickets.open(ufrag.slice(0, i) + other + ufrag.slice(i + 1)), null, `${i} ${other}`);
      }
      assert.equal(tickets.open(ufrag.slice(0, i)), null);
    }
    for (const more of ['A', 'AA', '=', ' ', '\n']) assert.equal(tickets.open(ufrag + more), null);
    assert.equal(new CallTickets('another').open(ufrag), null);
  });

  it('never throws on any text', () => {
    const tickets = new CallTickets(SECRET);
    fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => tickets.open(text) === null));
  });

  it('draws the same again, in portions of any size, and other things for another ticket or deployment', () => {
    const tickets = new CallTickets(SECRET);
    const sealed = tickets.seal(token, Uint8Array.of(9), random);
    const whole = drawn(sealed.draw, [100]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40 })), (portions) => {
        const pieces = drawn(tickets.open(sealed.ufrag)!.draw, portions).subarray(0, 100);
        assert.deepEqual(pieces, whole.subarray(0, pieces.length));
      }),
    );
    const other = tickets.seal(token, Uint8Array.of(10), random);
    assert.notDeepEqual(drawn(other.draw, [32]), whole.subarray(0, 32));
  });
});

function drawn(draw: (bytes: Uint8Array) => void, portions: readonly number[]): Uint8Array {
  return Buffer.concat(
    portions.map((length) => {
      const bytes = new Uint8Array(length);
      draw(bytes);
      return bytes;
    }),
  );
}
