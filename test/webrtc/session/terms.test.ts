import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { decodeTerms, encodeTerms, type SessionTerms } from '../../../src/webrtc/index.ts';

const plain = { noNullPrototype: true };
const u8 = fc.integer({ min: 1, max: 255 });
const u16 = fc.integer({ min: 1, max: 0xffff });
const u32 = fc.integer({ min: 1, max: 0xffff_ffff });
const name = fc.stringMatching(/^[a-zA-Z0-9]{1,32}$/);
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null });

const audio = fc.record({
  mid: optional(name),
  payloadType: fc.nat(127),
  clockRate: fc.constant(48_000 as const),
  redPayloadType: optional(fc.nat(127)),
  extensions: fc.record({ mid: optional(u8), audioLevel: optional(u8), transportCc: optional(u8) }, plain),
  feedback: fc.record({ nack: fc.boolean(), transportCc: fc.boolean() }, plain),
  reducedSizeRtcp: fc.boolean(),
  opus: fc.record({ useInbandFec: fc.boolean() }, plain),
}, plain);
const init = fc.record({
  tag: u32, receiveWindow: u32, outboundStreams: u16, inboundStreams: u16, initialTsn: u32, forwardTsn: fc.boolean(), reconfig: fc.boolean(),
}, plain);
const data = fc.record({ mid: optional(name), sctpPort: u16, maxMessageSize: fc.oneof(u32, fc.constant(Infinity)), init: optional(init) }, plain);

/** Terms as `negotiate` makes them: in the BUNDLE group are sections in use that have a mid, each once. */
const terms: fc.Arbitrary<SessionTerms> = fc
  .record({
    audio: optional(audio),
    data: optional(data),
    fingerprint: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    localSetup: fc.constantFrom('active' as const, 'passive' as const),
    ufrag: fc.stringMatching(/^[A-Za-z0-9+/]{4,32}$/),
    group: fc.constantFrom([], ['audio'], ['data'], ['audio', 'data'], ['data', 'audio']),
  })
  .filter(({ audio: a, data: d }) => a?.mid !== d?.mid || a === null || d === null)
  .map(({ audio: a, data: d, fingerprint, localSetup, ufrag, group }) => ({
    bundleMids: group.map((part) => (part === 'audio' ? a : d)?.mid ?? null).filter((mid) => mid !== null),
    fingerprints: [{ algorithm: 'sha-256' as const, value: fingerprint }],
    localSetup,
    ice: { ufrag, password: '' },
    audio: a,
    data: d,
  }));

const SOME: SessionTerms = {
  bundleMids: ['0', '1'],
  fingerprints: [{ algorithm: 'sha-256', value: new Uint8Array(32) }],
  localSetup: 'passive',
  ice: { ufrag: 'abcd', password: '' },
  audio: {
    mid: '0', payloadType: 111, clockRate: 48_000, redPayloadType: 63, extensions: { mid: 4, audioLevel: 1, transportCc: 3 },
    feedback: { nack: false, transportCc: true }, reducedSizeRtcp: true, opus: { useInbandFec: true },
  },
  data: {
    mid: '1', sctpPort: 5000, maxMessageSize: 262_144,
    init: { tag: 1, receiveWindow: 5_242_880, outboundStreams: 65_535, inboundStreams: 65_535, initialTsn: 7, forwardTsn: true, reconfig: true },
  },
};

describe('terms in few bytes', () => {
  it('come back as they were', () => {
    fc.assert(fc.property(terms, (each) => assert.deepEqual(decodeTerms(encodeTerms(each)), each)));
  });

  it('of a call of Chromium with WARP take 70 bytes', () => {
    assert.equal(encodeTerms(SOME).length, 70);
  });

  it('are refused when cut short or followed by more', () => {
    const bytes = encodeTerms(SOME);
    for (let length = 0; length < bytes.length; length++) assert.throws(() => decodeTerms(bytes.subarray(0, length)), RangeError);
    assert.throws(() => decodeTerms(Buffer.concat([bytes, Uint8Array.of(0)])), RangeError);
  });

  for (const [what, change] of [
    ['fingerprint', { fingerprints: [{ algorithm: 'sha-512', value: new Uint8Array(64) }] }],
    ['fingerprint', { fingerprints: [...SOME.fingerprints, ...SOME.fingerprints] }],
    ['ICE ufrag', { ice: { ufrag: 'x'.repeat(33), password: '' } }],
    ['mid of the audio section', { audio: { ...SOME.audio!, mid: 'm'.repeat(33) } }],
    ['mid of the data section', { data: { ...SOME.data!, mid: 'ü' } }],
  ] as const) {
    it(`that do not fit are refused by name: ${what}`, () => {
      assert.throws(() => encodeTerms({ ...SOME, ...change }), { name: 'RangeError', message: new RegExp(what) });
    });
  }
});
