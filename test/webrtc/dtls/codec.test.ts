import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { decodeAlert, encodeAlert } from '../../../src/webrtc/dtls/alert.ts';
import { decodeAck, encodeAck } from '../../../src/webrtc/dtls/ack.ts';
import { ByteReader } from '../../../src/webrtc/dtls/byte-reader.ts';
import {
  decodeCertificate,
  decodeCertificateRequest,
  decodeCertificateVerify,
  encodeCertificate,
  encodeCertificateRequest,
  encodeCertificateVerify,
} from '../../../src/webrtc/dtls/certificate-messages.ts';
import {
  decodeCertificate13,
  decodeCertificateRequest13,
  encodeCertificate13,
  encodeCertificateRequest13,
} from '../../../src/webrtc/dtls/certificate-messages-13.ts';
import {
  decodeExtensions,
  decodeKeyShare,
  decodeKeyShares,
  decodeSupportedVersions,
  decodeUint16,
  decodeUint16List,
  decodeUseSrtp,
  encodeKeyShare,
  encodeKeyShares,
  encodeSupportedVersions,
  encodeUint16,
  encodeUint16List,
  encodeUseSrtp,
} from '../../../src/webrtc/dtls/extensions.ts';
import { parseFingerprint } from '../../../src/webrtc/dtls/fingerprint.ts';
import { decodeHandshakeFragments, encodeHandshakeFragment } from '../../../src/webrtc/dtls/handshake-fragment.ts';
import {
  decodeClientHello,
  decodeHelloVerifyRequest,
  decodeServerHello,
  encodeClientHello,
  encodeServerHello,
} from '../../../src/webrtc/dtls/hello-messages.ts';
import {
  decodeClientKeyExchange,
  decodeServerKeyExchange,
  encodeClientKeyExchange,
  encodeServerKeyExchange,
} from '../../../src/webrtc/dtls/key-exchange-messages.ts';
import { Reassembly } from '../../../src/webrtc/dtls/reassembly.ts';
import { parseRecordHeader, writeRecordHeader } from '../../../src/webrtc/dtls/record.ts';
import { parseRecord } from '../../../src/webrtc/dtls/record-layer.ts';
import { ReplayWindow } from '../../../src/webrtc/dtls/replay-window.ts';
import { expandSequence } from '../../../src/webrtc/dtls/unified-header.ts';
import { dissect } from './datagrams.ts';
import { pairsOf, versions } from './pair.ts';
import { seededRandom } from '../../support/random.ts';

const uint8 = fc.integer({ min: 0, max: 0xff });
const uint16 = fc.integer({ min: 0, max: 0xffff });
const bytes = (maxLength: number, minLength = 0): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength, maxLength });
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(model, { noNullPrototype: true });
}
const random32 = bytes(32, 32);
const extensions = fc
  .uniqueArray(fc.tuple(uint16, bytes(40)), { selector: ([type]) => type, minLength: 1, maxLength: 8 })
  .map((list) => new Map(list));
const list16 = fc.array(uint16, { maxLength: 30 });

const clientHello = record({
  version: uint16,
  random: random32,
  sessionId: bytes(32),
  cookie: bytes(255),
  cipherSuites: fc.array(uint16, { minLength: 1, maxLength: 40 }),
  compressionMethods: bytes(5, 1),
  extensions,
});
const serverHello = record({
  version: uint16,
  random: random32,
  sessionId: bytes(32),
  cipherSuite: uint16,
  compressionMethod: uint8,
  extensions,
});
const serverKeyExchange = record({ groupId: uint16, publicKey: bytes(255), scheme: uint16, signature: bytes(300) });

const keyShare = record({ groupId: uint16, publicKey: bytes(300) });
const uint48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });

/** Decoders of whole bodies, each with something to encode for it. */
const codecs: { name: string; decode: (body: Uint8Array) => unknown; encoded: fc.Arbitrary<{ value: unknown; body: Uint8Array }> }[] = [
  codec('ClientHello', decodeClientHello, encodeClientHello, clientHello),
  codec('ServerHello', decodeServerHello, encodeServerHello, serverHello),
  codec('Certificate', decodeCertificate, encodeCertificate, fc.array(bytes(300), { maxLength: 4 })),
  codec(
    'CertificateRequest',
    decodeCertificateRequest,
    encodeCertificateRequest,
    record({ certificateTypes: bytes(10), signatureSchemes: list16 }),
  ),
  codec('CertificateVerify', decodeCertificateVerify, encodeCertificateVerify, record({ scheme: uint16, signature: bytes(300) })),
  codec('ServerKeyExchange', decodeServerKeyExchange, encodeServerKeyExchange, serverKeyExchange),
  codec('ClientKeyExchange', decodeClientKeyExchange, encodeClientKeyExchange, bytes(255)),
  codec('Certificate of 1.3', decodeCertificate13, encodeCertificate13, record({ context: bytes(20), chain: fc.array(bytes(300), { maxLength: 4 }) })),
  codec(
    'CertificateRequest of 1.3',
    decodeCertificateRequest13,
    encodeCertificateRequest13,
    record({ context: bytes(20), signatureSchemes: list16 }),
  ),
  codec('key_share', decodeKeyShare, encodeKeyShare, keyShare),
  codec('key_share of a ClientHello', decodeKeyShares, encodeKeyShares, fc.array(keyShare, { maxLength: 4 })),
  codec('ACK', decodeAck, encodeAck, fc.array(record({ epoch: uint48, sequence: uint48 }), { maxLength: 70 })),
  codec('supported_versions', decodeSupportedVersions, encodeSupportedVersions, fc.array(uint16, { maxLength: 100 })),
  codec('16-bit number', decodeUint16, encodeUint16, uint16),
  codec('list of 16-bit numbers', decodeUint16List, encodeUint16List, list16),
];

function codec<T>(name: string, decode: (body: Uint8Array) => T | null, encode: (value: T) => Uint8Array, value: fc.Arbitrary<T>) {
  return { name, decode, encoded: value.map((value) => ({ value, body: encode(value) })) };
}

describe('codecs', () => {
  for (const { name, decode, encoded } of codecs) {
    test(`${name}: what was encoded decodes to the same, and no shorter or longer body does`, () => {
      fc.assert(
        fc.property(encoded, fc.nat(), ({ value, body }, cut) => {
          assert.deepEqual(decode(body), value);
          assert.notDeepEqual(decode(body.subarray(0, cut % body.length)), value);
          assert.equal(decode(Buffer.concat([body, Uint8Array.of(0)])), null);
        }),
        { numRuns: 200 },
      );
    });
  }

  test('use_srtp: profiles keep their order, unknown ones are passed over', () => {
    assert.deepEqual(decodeUseSrtp(encodeUseSrtp(['AES128_CM_HMAC_SHA1_80', 'AEAD_AES_128_GCM'])), {
      profiles: ['AES128_CM_HMAC_SHA1_80', 'AEAD_AES_128_GCM'],
      mki: new Uint8Array(0),
    });
    assert.deepEqual(decodeUseSrtp(Uint8Array.of(0, 4, 0, 8, 0, 7, 1, 9)), { profiles: ['AEAD_AES_128_GCM'], mki: Uint8Array.of(9) });
    assert.equal(decodeUseSrtp(Uint8Array.of(0, 3, 0, 8, 0, 0)), null);
  });

  test('alerts: every description survives, other shapes do not', () => {
    assert.deepEqual(decodeAlert(encodeAlert('fatal', 'handshake_failure')), { level: 'fatal', description: 'handshake_failure' });
    assert.deepEqual(decodeAlert(encodeAlert('warning', 'close_notify')), { level: 'warning', description: 'close_notify' });
  });

  test('an extension that occurs twice makes a hello malformed', () => {
    assert.equal(decodeExtensions(new ByteReader(Uint8Array.of(0, 8, 0, 9, 0, 0, 0, 9, 0, 0))), null);
  });

  test('record headers: every field survives', () => {
    fc.assert(
      fc.property(uint8, uint16, uint16, fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.nat(100), (type, version, epoch, sequence, length) => {
        const datagram = new Uint8Array(5 + 13 + length);
        writeRecordHeader(datagram, 5, { type, version, epoch, sequence, length });
        assert.deepEqual(parseRecordHeader(datagram, 5), { form: 'classic', type, version, epoch, sequence, start: 18, end: 18 + length });
        assert.equal(parseRecordHeader(datagram.subarray(0, datagram.length - 1), 5), null);
      }),
      { numRuns: 500 },
    );
  });
});

test('a sequence number is found again from its low bits when it is near the expected one', () => {
  fc.assert(
    fc.property(fc.constantFrom(8, 16), uint48, fc.integer({ min: -127, max: 127 }), (bits, expected, distance) => {
      const sequence = Math.max(0, expected + distance);
      assert.equal(expandSequence(sequence % 2 ** bits, bits, expected), sequence);
    }),
    { numRuns: 1_000 },
  );
  // Nothing is in front of the first number.
  assert.equal(expandSequence(250, 8, 3), 250);
});

describe('reassembly', () => {
  test('gives back any message from any cut, in any order, with overlaps and repetitions', () => {
    const cuts = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })), { maxLength: 30 });
    fc.assert(
      fc.property(bytes(400), cuts, (body, cuts) => {
        const reassembly = new Reassembly();
        const message = { type: 11, sequence: 0, body };
        const add = (offset: number, size: number): void => {
          const record = encodeHandshakeFragment(message, offset, size);
          assert.equal(reassembly.add(decodeHandshakeFragments(record)![0]), 'taken');
          record.fill(0xee);
        };
        for (const [from, share] of cuts) {
          const offset = Math.floor(from * body.length);
          add(offset, Math.floor(share * (body.length - offset)));
        }
        add(Math.floor(body.length / 3), body.length - Math.floor(body.length / 3));
        add(0, Math.ceil(body.length / 2));
        assert.deepEqual(reassembly.peek(), message);
      }),
      { numRuns: 500 },
    );
  });

  test('hands messages out in order, and a discarded one again when it is sent again', () => {
    const reassembly = new Reassembly();
    const add = (sequence: number, type = 11): string =>
      reassembly.add(decodeHandshakeFragments(encodeHandshakeFragment({ type, sequence, body: Uint8Array.of(sequence) }, 0, 1))![0]);
    assert.equal(add(1), 'taken');
    assert.equal(reassembly.peek(), null);
    assert.equal(add(0), 'taken');
    assert.equal(reassembly.peek()!.sequence, 0);
    reassembly.discard();
    assert.equal(reassembly.peek(), null);
    assert.equal(add(0, 12), 'taken');
    assert.equal(add(0, 13), 'taken');
    assert.equal(reassembly.peek()!.type, 13);
    reassembly.accept();
    assert.equal(reassembly.peek()!.sequence, 1);
    reassembly.accept();
    assert.equal(add(0), 'repeated');
    assert.equal(add(2 + 8), 'beyond-reassembly');
  });

  test('keeps no more than its limits, whatever lengths are claimed', () => {
    const reassembly = new Reassembly();
    const part = new Uint8Array(16_000);
    let taken = 0;
    for (let i = 0; i < 64; i++) {
      const fragment = { type: 11, sequence: i % 8, length: 32_768, offset: Math.floor(i / 8) * 2000, part: part.subarray(0, 2000) };
      if (reassembly.add(fragment) === 'taken') taken += 2000;
    }
    assert.equal(taken, 64_000);
    assert.equal(reassembly.add({ type: 11, sequence: 0, length: 40_000, offset: 0, part }), 'beyond-reassembly');
    const crumbs = new Reassembly();
    const results = Array.from({ length: 1100 }, (_, i) => crumbs.add({ type: 11, sequence: 0, length: 32_768, offset: 2 * i, part: part.subarray(0, 1) }));
    assert.equal(results.filter((result) => result === 'taken').length, 1024);
  });
});

test('the replay window takes each number once, whatever the order, and none that is too old', () => {
  const step = fc.oneof({ weight: 20, arbitrary: fc.integer({ min: -300, max: 300 }) }, { weight: 1, arbitrary: fc.constant(2 ** 40) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 100 }), (steps) => {
      const window = new ReplayWindow();
      const seen = new Set<number>();
      for (const step of steps) {
        const highest = Math.max(-1, ...seen);
        const sequence = Math.max(0, highest + step);
        const expected = sequence <= highest - 256 ? 'too-old' : seen.has(sequence) ? 'replayed' : 'fresh';
        assert.equal(window.check(sequence), expected);
        if (expected === 'fresh') {
          window.accept(sequence);
          seen.add(sequence);
        }
      }
    }),
    { numRuns: 500 },
  );
});

describe('fuzz', () => {
  const decoders: readonly ((bytes: Uint8Array) => unknown)[] = [
    ...codecs.map((codec) => codec.decode),
    decodeAlert,
    decodeHelloVerifyRequest,
    decodeHandshakeFragments,
    decodeSupportedVersions,
    decodeUseSrtp,
    (bytes) => decodeExtensions(new ByteReader(bytes)),
    (bytes) => parseRecordHeader(bytes, 0),
    (bytes) => parseRecord(bytes, 0),
    (bytes) => parseFingerprint(Buffer.from(bytes).toString('latin1')),
  ];

  /** Real datagrams of a handshake, to be mutated. */
  const corpus = versions.flatMap((version) => pairsOf(version)(1, {}, { mtu: 400 }, { mtu: 400 }).run().sent.map((datagram) => datagram.data));
  const bodies = corpus.flatMap((datagram) => dissect(datagram).flatMap((record) => record.fragments.map((fragment) => fragment.part)));

  test('no decoder crashes or makes more of 100,000 inputs than is in them', () => {
    const random = seededRandom(20);
    for (let i = 0; i < 100_000; i++) {
      const input = random() < 0.5 ? noise(random, 200) : mutate(bodies[Math.floor(random() * bodies.length)], random);
      const result = decoders[i % decoders.length](input);
      assert.ok(weight(result) <= 64 + 32 * input.length, `input ${Buffer.from(input).toString('hex')}`);
    }
  });

  test('no endpoint crashes, hangs or answers with more than a flight to any of 100,000 datagrams, at every step', () => {
    const random = seededRandom(21);
    for (let i = 0; i < 100_000; ) {
      // The genuine handshake goes on to a step of its own in each round, then the noise begins.
      const steps = Math.floor(i / 2_000) % 12;
      const pair = pairsOf(versions[(i / 1_000) % 2])(i, {}, { mtu: 400 }, { mtu: 400 });
      pair.tap = (data) => (pair.sent.length <= steps ? [data] : []);
      pair.settle();
      const own = [...corpus, ...pair.sent.map((datagram) => datagram.data)];
      const end = i + 1_000;
      for (; i < end; i++) {
        const input = i % 3 ? mutate(own[i % own.length], random) : noise(random, 120);
        const endpoint = pair[i % 2 ? 'client' : 'server'];
        endpoint.handleDatagram(input, 1_000 + (i % 1_000));
        let outputs = 0;
        while (endpoint.poll().type !== 'timeout') outputs++;
        assert.ok(outputs <= 12, `${outputs} outputs for one datagram`);
      }
    }
  });

  function noise(random: () => number, length: number): Uint8Array {
    return Uint8Array.from({ length: Math.floor(random() * length) }, () => Math.floor(random() * 256));
  }

  function mutate(bytes: Uint8Array, random: () => number): Uint8Array {
    const copy = bytes.slice(0, random() < 0.3 ? Math.floor(random() * (bytes.length + 1)) : bytes.length);
    for (let flips = Math.floor(random() * 4); flips > 0 && copy.length > 0; flips--) {
      copy[Math.floor(random() * copy.length)] = random() * 256;
    }
    return copy;
  }

  /** A rough count of what a result holds: its bytes and its elements. */
  function weight(value: unknown): number {
    if (value instanceof Uint8Array) return 8 + value.length;
    if (value instanceof Map) return [...value].reduce((sum, [, item]) => sum + 8 + weight(item), 0);
    if (typeof value === 'object' && value !== null) return Object.values(value).reduce((sum: number, item) => sum + weight(item), 0);
    return 1;
  }
});
