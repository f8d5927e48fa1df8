import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { datagramKind } from '../../src/wire/datagram-kind.ts';
import { StunUsernameReader } from '../../src/wire/stun-username.ts';
import { bindingRequest, stunMessage } from '../relay/support/stun.ts';

/** RFC 5769, section 2.1: the sample request, with USERNAME `evtj:h6vY`. */
const RFC_5769_REQUEST = Buffer.from(
  '000100582112a442b7e7a701bc34d686fa87dfae' +
    '802200105354554e207465737420636c69656e74' +
    '002400046e0001ff' +
    '80290008932ff9b151263b36' +
    '000600096576746a3a68367659202020' +
    '000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2' +
    '80280004e57a3bcf',
  'hex',
);

describe('STUN username', () => {
  const reader = new StunUsernameReader();
  const ufrag = (data: Uint8Array, offset = 0, length = data.length - offset): string | null => {
    if (reader.read(data, offset, length) !== 'binding-request' || reader.ufragOffset < 0) return null;
    return Buffer.from(data).toString('latin1', reader.ufragOffset, reader.ufragOffset + reader.ufragLength);
  };

  it('is found in the request of RFC 5769', () => assert.equal(ufrag(RFC_5769_REQUEST), 'evtj'));

  it('is found wherever the datagram lies in a larger buffer', () => {
    const data = Buffer.concat([Buffer.alloc(7), RFC_5769_REQUEST, Buffer.alloc(9)]);
    assert.equal(ufrag(data, 7, RFC_5769_REQUEST.length), 'evtj');
    assert.equal(ufrag(data, 7), null);
  });

  it('ends at the first colon, and without one is no ufrag', () => {
    assert.equal(ufrag(bindingRequest('a:b:c')), 'a');
    assert.equal(ufrag(bindingRequest(':b')), '');
    assert.equal(ufrag(bindingRequest('none')), null);
    assert.equal(ufrag(bindingRequest(null)), null);
  });

  it('is not looked for in responses, indications and other methods', () => {
    for (const type of [0x0101, 0x0111, 0x0011, 0x0003]) assert.equal(reader.read(stunMessage(type, new Uint8Array(0)), 0, 20), 'other');
  });

  it('is refused in every truncation, and behind lengths that lie', () => {
    for (let length = 0; length < RFC_5769_REQUEST.length; length++) {
      assert.equal(reader.read(RFC_5769_REQUEST, 0, length), 'malformed');
    }
    assert.equal(reader.read(RFC_5769_REQUEST, 0, RFC_5769_REQUEST.length + 4), 'malformed');
    // An attribute that claims more than there is.
    assert.equal(reader.read(stunMessage(1, Buffer.from('00060010414243440000', 'hex')), 0, 30), 'malformed');
    assert.equal(reader.read(stunMessage(1, Buffer.from('0006001041424344', 'hex')), 0, 28), 'malformed');
    assert.equal(reader.read(new Uint8Array(RFC_5769_REQUEST).with(4, 0), 0, 108), 'malformed');
  });

  it('survives 100,000 arbitrary bodies and mutated requests, staying within the datagram', () => {
    const bodies = fc.uint8Array({ maxLength: 60 }).map((body) => stunMessage(1, body.subarray(0, body.length & ~3)));
    const mutants = fc
      .array(fc.tuple(fc.nat(RFC_5769_REQUEST.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((changes) => {
        const data = new Uint8Array(RFC_5769_REQUEST);
        for (const [at, value] of changes) data[at] = value;
        return data;
      });
    fc.assert(
      fc.property(fc.oneof(bodies, mutants, fc.uint8Array({ maxLength: 40 })), (data) => {
        reader.read(data, 0, data.length);
        if (reader.ufragOffset >= 0) {
          assert.ok(reader.ufragOffset >= 24 && reader.ufragOffset + reader.ufragLength < data.length);
        }
      }),
      { numRuns: 100_000 },
    );
  });
});

describe('datagram kind', () => {
  it('follows the ranges of RFC 7983 for every first byte', () => {
    const ranges = { stun: [0, 3], dtls: [20, 63], rtp: [128, 191] } as const;
    for (let byte = 0; byte < 256; byte++) {
      const entry = Object.entries(ranges).find(([, [low, high]]) => byte >= low && byte <= high);
      assert.equal(datagramKind(byte), entry?.[0] ?? 'other');
    }
  });
});
