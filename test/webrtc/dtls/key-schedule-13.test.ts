/**
 * The key schedule against vectors of an independent implementation: `openssl kdf … TLS13-KDF` of OpenSSL 3.0 with
 * `prefix:dtls13`. The masks of sequence numbers are those of RFC 9001, appendix A, whose header protection is made in
 * the same way.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import {
  deriveSecret,
  expandLabel,
  exportKeyingMaterial13,
  handshakeSecret,
  masterSecret13,
  trafficKeys,
} from '../../../src/webrtc/dtls/key-schedule-13.ts';
import { RecordProtection13 } from '../../../src/webrtc/dtls/record-protection-13.ts';
import { parseRecord } from '../../../src/webrtc/dtls/record-layer.ts';
import { cipherSuites13 } from '../../../src/webrtc/dtls/registry.ts';
import { Transcript } from '../../../src/webrtc/dtls/transcript.ts';
import type { UnifiedHeader } from '../../../src/webrtc/dtls/unified-header.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
const counting = (from: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => from + i);
const [aes128, aes256, chacha20] = cipherSuites13;

describe('the key schedule', () => {
  test('gives the traffic keys that OpenSSL gives', () => {
    const keys = trafficKeys(aes128, counting(0, 32));
    assert.deepEqual(Buffer.from(keys.key), hex('cc95abc258d309424ddbf7cba68bd77e'));
    assert.deepEqual(Buffer.from(keys.iv), hex('6d3299305dd209fc865cf8f1'));
    assert.deepEqual(Buffer.from(keys.sequenceKey), hex('c5b1a0649ea4fdafbe7e256665068222'));
    const { key } = trafficKeys(aes256, counting(0, 48));
    assert.deepEqual(Buffer.from(key), hex('d6732c55efc102933ffe3af6922bdb7fe44d18f2b7307173758bfeb457a6f9bb'));
  });

  test('gives the secrets that OpenSSL gives', () => {
    const client = deriveSecret('sha256', counting(0, 32), 'c hs traffic', counting(0x20, 32));
    assert.deepEqual(Buffer.from(client), hex('d859c67d1a49d062a95c08c4d984ef2af49a0a3cd42a4c37a6ced7dae3e5777f'));
    const exporter = deriveSecret('sha384', counting(0, 48), 'exp master', counting(0x30, 48));
    assert.deepEqual(Buffer.from(exporter), hex('465b6461f4f48813ead933f5f93b9130c360ae721df5598dfe1c6cbb7346d253fda3d5167c321297f3ba8c81615ed7e5'));
    const handshake = handshakeSecret('sha256', counting(0x40, 32));
    assert.deepEqual(Buffer.from(handshake), hex('a77e64a62ffb4661b56cd13e1ece08e32582e188c017ce386af6203f97d7e8f3'));
    assert.deepEqual(Buffer.from(masterSecret13('sha256', handshake)), hex('2d502249810bda194bed187930b7ea10ff18ffa0fe06e149000f619793554381'));
  });

  test('exports keying material in two steps, the second over the empty context', () => {
    const emptyHash = createHash('sha256').digest();
    const block = expandLabel('sha256', counting(0, 32), 'exporter', emptyHash, 60);
    assert.deepEqual(
      Buffer.from(block),
      hex('b41c6600dd9b67bcc60c89ed2b9bc8136eb3ebad889f1948c46f2cf92415d40f1a7d157f789e3af33f5e155b0abfd2a142966db493e6f17ae6d1c40f'),
    );
    const secret = deriveSecret('sha256', counting(0, 32), 'EXTRACTOR-dtls_srtp', emptyHash);
    assert.deepEqual(
      exportKeyingMaterial13('sha256', counting(0, 32), 'EXTRACTOR-dtls_srtp', 60),
      expandLabel('sha256', secret, 'exporter', emptyHash, 60),
    );
  });

  test('hashes messages with the header of TLS, and a ClientHello in front of a retry as its hash', () => {
    const transcript = new Transcript();
    transcript.append({ type: 1, sequence: 7, body: Uint8Array.of(1, 2, 3) });
    const first = createHash('sha256').update(hex('01 000003 010203')).digest();
    assert.deepEqual(transcript.hash13('sha256'), first);
    transcript.foldClientHello('sha256');
    transcript.append({ type: 2, sequence: 0, body: new Uint8Array(0) });
    const folded = createHash('sha256').update(hex('fe 000020')).update(first).update(hex('02 000000')).digest();
    assert.deepEqual(transcript.hash13('sha256'), folded);
  });
});

describe('record protection', () => {
  test('masks sequence numbers with AES and with ChaCha20 as the published vectors say', () => {
    const rows = [
      { suite: aes128, key: '9f50449e04a0e810283a1e9933adedd2', sample: 'd1b1c98dd7689fb8ec11d242b123dc9b', mask: 0x437b },
      { suite: chacha20, key: '25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4', sample: '5e5cd55c41f69080575d7999c25a5bfb', mask: 0xaefe },
    ];
    for (const { suite, key, sample, mask } of rows) {
      const protection = new RecordProtection13(suite, { key: new Uint8Array(suite.keyLength), iv: new Uint8Array(12), sequenceKey: hex(key) });
      const record = Buffer.concat([hex('2e 0000 0020'), hex(sample), new Uint8Array(16)]);
      assert.equal(protection.sequenceBits(parseRecord(record, 0) as UnifiedHeader, record), mask);
    }
  });

  for (const suite of cipherSuites13) {
    test(`of ${suite.name} opens what it sealed, whatever number and length, and nothing that was changed`, () => {
      const protection = new RecordProtection13(suite, trafficKeys(suite, counting(9, suite.hash === 'sha256' ? 32 : 48)));
      const sequences = fc.oneof(fc.nat(70_000), fc.integer({ min: 0, max: 2 ** 48 - 1 }));
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 60 }), sequences, fc.integer({ min: 2, max: 9 }), fc.nat(), (fragment, sequence, epoch, change) => {
          const out = new Uint8Array(3 + fragment.length + protection.overhead);
          assert.equal(protection.seal(22, epoch, sequence, fragment, out, 3), out.length);
          const header = parseRecord(out, 3) as UnifiedHeader;
          assert.deepEqual([header.epochBits, header.end], [epoch % 4, out.length]);
          assert.equal(protection.sequenceBits(header, out), sequence % 65_536);
          const opened = protection.open(header, sequence, out)!;
          assert.deepEqual({ ...opened, fragment: new Uint8Array(opened.fragment) }, { type: 22, fragment });
          assert.equal(protection.open(header, sequence + 1, out), null);
          // The number itself is given to `open`: what is in its place does not count.
          const at = change % (out.length - 5) + (change % (out.length - 5) === 0 ? 3 : 5);
          assert.equal(protection.open(header, sequence, out.with(at, out[at] ^ 1)), null);
        }),
        { numRuns: 200 },
      );
    });
  }

  test('reads headers of every form, and padding', () => {
    const protection = new RecordProtection13(aes128, trafficKeys(aes128, counting(9, 32)));
    const out = new Uint8Array(8 + protection.overhead);
    // Content, its type, and zeros that an inner plaintext may end in.
    protection.seal(0, 3, 5, Uint8Array.of(1, 2, 23, 0, 0, 0, 0, 0), out, 0);
    const opened = protection.open(parseRecord(out, 0) as UnifiedHeader, 5, out)!;
    assert.deepEqual({ type: opened.type, fragment: [...opened.fragment] }, { type: 23, fragment: [1, 2] });
    const form = (flags: number): unknown => {
      const header = parseRecord(Uint8Array.of(flags, 9, 9, 0, 1, 7, 7), 0) as UnifiedHeader | null;
      return header && [header.sequenceLength, header.start, header.end];
    };
    assert.deepEqual([form(0b0010_0000), form(0b0010_1000), form(0b0010_1100)], [[1, 2, 7], [2, 3, 7], [2, 5, 6]]);
    assert.deepEqual([form(0b0010_0100), form(0b0011_0000), form(0b0100_0000)], [null, null, null]);
  });
});
