import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeInit, readInitChunk } from '../../../src/webrtc/sctp/init.ts';
import { createAnswer } from '../../../src/webrtc/sdp/answer.ts';
import { parseAnswer } from '../../../src/webrtc/sdp/client.ts';
import { SdpError } from '../../../src/webrtc/sdp/error.ts';
import { parseOffer } from '../../../src/webrtc/sdp/offer.ts';
import { LOCAL, offer } from './fixtures.ts';

/** As Chromium 156 writes it: 30 bytes, tag 0x1a2b3c4d, 5 MiB, initial TSN 0x01020304. */
const CHROMIUM = 'AQAAHhorPE0AUAAA/////wECAwTAAAAEgAgABoLA';
const INIT = {
  tag: 0x1a2b3c4d,
  receiveWindow: 5 * 2 ** 20,
  outboundStreams: 65_535,
  inboundStreams: 65_535,
  initialTsn: 0x01020304,
  forwardTsn: true,
  reconfig: true,
};

function withInit(value: string): string {
  return offer('chromium-audio-data').replace(/(a=sctp-port:.*\r\n)/, `$1a=sctp-init:${value}\r\n`);
}

function refusal(value: string): SdpError {
  try {
    parseOffer(withInit(value));
  } catch (error) {
    assert.ok(error instanceof SdpError, String(error));
    return error;
  }
  return assert.fail(`${value} was taken`);
}

test('the INIT of an offer is read, the answer holds ours, and nothing but an offered one is answered', () => {
  const parsed = parseOffer(withInit(CHROMIUM));
  assert.deepEqual(parsed.negotiated.data?.init, INIT);
  const ours = { ...INIT, tag: 5, receiveWindow: 1_048_576 };
  const answer = createAnswer(parsed, { ...LOCAL, init: ours });
  assert.deepEqual(parseAnswer(answer).negotiated.data?.init, ours);
  assert.equal(answer.match(/a=sctp-init:/g)?.length, 1);
  const plain = parseOffer(offer('chromium-audio-data'));
  assert.equal(plain.negotiated.data?.init, null);
  assert.doesNotMatch(createAnswer(plain, { ...LOCAL, init: ours }), /sctp-init/);
});

test('base64 is read padded and unpadded, and a chunk with and without the padding of its own', () => {
  const chunk = encodeInit({ ...INIT, reconfig: false });
  for (const bytes of [chunk, Buffer.concat([chunk, new Uint8Array((4 - (chunk.length % 4)) % 4)])]) {
    const text = Buffer.from(bytes).toString('base64');
    for (const value of new Set([text, text.replace(/=+$/, '')])) {
      assert.deepEqual(parseOffer(withInit(value)).negotiated.data?.init, { ...INIT, reconfig: false }, value);
    }
  }
});

test('what is no base64, or no INIT, is refused with the line that is at fault', () => {
  const chunk = encodeInit(INIT);
  const changed = (change: (bytes: Uint8Array) => void): string => {
    const bytes = chunk.slice();
    change(bytes);
    return Buffer.from(bytes).toString('base64');
  };
  const cases: readonly (readonly [string, string])[] = [
    ['empty', ''],
    ['no base64', 'AQAA*horPE0AUAAA'],
    ['base64url', CHROMIUM.replaceAll('/', '_')],
    ['a rest of one character', `${CHROMIUM}A`],
    ['padding in the middle', `AQ==${CHROMIUM}`],
    ['an INIT ACK', changed((bytes) => (bytes[0] = 2))],
    ['tag 0', changed((bytes) => bytes.fill(0, 4, 8))],
    ['no outbound stream', changed((bytes) => bytes.fill(0, 12, 14))],
    ['no inbound stream', changed((bytes) => bytes.fill(0, 14, 16))],
    ['longer than it is', changed((bytes) => (bytes[3] += 4))],
    ['cut short', Buffer.from(chunk.subarray(0, 19)).toString('base64')],
    ['another chunk behind it', Buffer.concat([chunk, Uint8Array.of(0, 0, 10, 0, 0, 4)]).toString('base64')],
    ['a whole packet', Buffer.concat([new Uint8Array(12), chunk]).toString('base64')],
    ['a host name', Buffer.concat([Uint8Array.of(1, 0, 0, 28), chunk.subarray(4, 20), Uint8Array.of(0, 11, 0, 8, 97, 0, 0, 0)]).toString('base64')],
  ];
  for (const [name, value] of cases) {
    const error = refusal(value);
    assert.equal(error.code, 'invalid-sctp-init', name);
    assert.match(error.text ?? '', /^a=sctp-init/, name);
    assert.match(error.message, /^line \d+: a=sctp-init: /, name);
  }
});

test('any value is read to what encodes to an INIT again, or refused as such', () => {
  const mutated = fc.tuple(fc.nat(29), fc.nat(255), fc.nat(29)).map(([at, value, cut]) => {
    const bytes = encodeInit(INIT);
    bytes[at] = value;
    return bytes.subarray(0, bytes.length - (cut < 4 ? cut : 0));
  });
  const value = fc.oneof(
    fc.base64String({ maxLength: 200 }),
    fc.oneof(fc.uint8Array({ maxLength: 100 }), mutated).map((bytes) => Buffer.from(bytes).toString('base64')),
    fc.string({ maxLength: 40 }).filter((text) => !/[\r\n]/.test(text)),
  );
  let taken = 0;
  fc.assert(
    fc.property(value, (text) => {
      try {
        const init = parseOffer(withInit(text)).negotiated.data!.init!;
        assert.deepEqual(readInitChunk(encodeInit(init)), init);
        taken++;
      } catch (error) {
        assert.ok(error instanceof SdpError, String(error));
        assert.ok(error.code === 'invalid-sctp-init' || error.code === 'malformed-line', error.message);
      }
    }),
    { numRuns: 3_000 },
  );
  assert.ok(taken > 100, `only ${taken} were taken`);
});
