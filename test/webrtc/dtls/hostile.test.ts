import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import { encodeHandshakeFragment } from '../../../src/webrtc/dtls/handshake-fragment.ts';
import { encodeClientHello } from '../../../src/webrtc/dtls/hello-messages.ts';
import type { RecordHeader } from '../../../src/webrtc/dtls/record.ts';
import { GcmRecordProtection } from '../../../src/webrtc/dtls/record-protection.ts';
import type { WriteProtection } from '../../../src/webrtc/dtls/record-protection.ts';
import { RecordProtection13 } from '../../../src/webrtc/dtls/record-protection-13.ts';
import { contentType } from '../../../src/webrtc/dtls/registry.ts';
import { clearMessage, clearRecord, dissect, sampleClientHello } from './datagrams.ts';
import { pairsOf, versions } from './pair.ts';
import type { Pair, Side } from './pair.ts';
import { seededRandom } from '../../support/random.ts';

const other = (side: Side): Side => (side === 'client' ? 'server' : 'client');

for (const version of versions) {
  describe(`DTLS ${version}`, () => {
    const newPair = pairsOf(version);

    describe('replay', () => {
      test('of every datagram of a call changes nothing and gives false', () => {
        const pair = newPair().run();
        for (let i = 0; i < 20; i++) pair.client.send(Buffer.from(`message ${i}`), pair.now);
        pair.settle();
        assert.equal(pair.received('server').length, 20);
        const sent = [...pair.sent];
        for (const { from, data } of sent) assert.equal(pair.deliver(other(from), data), false);
        pair.settle();
        assert.equal(pair.received('server').length, 20);
        assert.equal(pair.sent.length, sent.length);
        // Records: the hello, the flight with the Finished, and the data.
        assert.equal(pair.server.counters.dropped.replayed, 1 + (version === '1.2' ? 5 : 3) + 20);
      });

      test('of a datagram that the window has left behind is dropped as too old', () => {
        const pair = newPair().run();
        pair.client.send(Buffer.from('old'), pair.now);
        pair.settle();
        const old = pair.sent.at(-1)!.data;
        for (let i = 0; i < 300; i++) pair.client.send(Buffer.from('newer'), pair.now);
        pair.settle();
        assert.equal(pair.deliver('server', old), false);
        assert.equal(pair.server.counters.dropped['too-old'], 1);
        assert.equal(pair.received('server').filter((text) => text === 'old').length, 1);
      });

      test('protection is not moved by a forged record with a high sequence number', () => {
        const pair = newPair().run();
        pair.client.send(Buffer.from('genuine'), pair.now);
        pair.tap = (data) => {
          const forged = data.slice();
          if (version === '1.2') forged.fill(0xff, 5, 11);
          else forged[1] ^= 0x40;
          return [forged, data];
        };
        pair.settle();
        assert.equal(pair.server.counters.dropped.unauthentic, 1);
        assert.deepEqual(pair.received('server'), ['genuine']);
      });
    });

    describe('injection', () => {
      test('of malformed datagrams at every step neither ends nor hinders the handshake', () => {
        for (let seed = 1; seed <= 40; seed++) {
          const random = seededRandom(seed);
          const pair = newPair(seed, {}, { mtu: 256 }, { mtu: 256 });
          pair.tap = (data) => [...mutations(data, random), data];
          pair.run();
          assert.ok(pair.connected, `seed ${seed}: ${JSON.stringify([pair.client.dump(), pair.server.dump()])}`);
        }
      });

      /** Forgeries that are recognisable as such: cut short, of another epoch, with broken lengths, or noise. */
      function mutations(data: Uint8Array, random: () => number): Uint8Array[] {
        const cut = data.slice(0, Math.floor(random() * data.length));
        const noise = data.slice(0, 13 + Math.floor(random() * 40));
        for (let i = 13; i < noise.length; i++) noise[i] = random() * 256;
        const sequenced = (record: Uint8Array): Uint8Array => {
          if (record.length > 10) record.set([0xf0, random() * 256, random() * 256], 8);
          return record;
        };
        const epoch = data.slice();
        epoch[4] = 7;
        const fragment = data.slice();
        fragment[22] = 0xff;
        const version = data.slice();
        version[1] = 3;
        return [cut, noise, epoch, fragment, version].map(sequenced);
      }

      test('of a Finished in clear text is dropped', () => {
        const pair = newPair();
        pair.tap = (data, from) => [clearMessage({ type: 20, sequence: from === 'client' ? 4 : 5, body: new Uint8Array(12) }, 900 + pair.sent.length), data];
        pair.run();
        assert.ok(pair.connected);
        assert.ok(pair.client.counters.dropped['wrong-epoch'] > 0);
        assert.ok(pair.server.counters.dropped['wrong-epoch'] > 0);
      });

      test('of records of the coming epoch is bounded and does not keep the genuine ones out for good', () => {
        const pair = newPair();
        for (let sequence = 0; sequence < 100; sequence++) {
          pair.deliver('server', clearRecord(contentType.handshake, new Uint8Array(100), sequence, 1));
        }
        assert.equal(pair.server.counters.dropped['early-buffer-full'], 100 - 32);
        pair.run();
        assert.ok(pair.connected);
      });

      test('of clear text after the handshake is dropped, a fresh ClientHello counted apart', () => {
        const pair = newPair().run().settle();
        const hello = newPair(77).settle().sent[0].data;
        hello[10] = 200;
        const before = pair.sent.length;
        assert.equal(pair.deliver('server', hello), false);
        assert.equal(pair.server.counters.dropped['client-hello-after-handshake'], 1);
        const forgeries = [
          clearRecord(contentType.alert, Uint8Array.of(2, 40), 201),
          clearRecord(contentType.alert, Uint8Array.of(1, 0), 202),
          clearRecord(contentType.applicationData, Buffer.from('injected'), 203),
          clearRecord(contentType.changeCipherSpec, Uint8Array.of(1), 204),
          clearMessage({ type: 11, sequence: 1, body: new Uint8Array(3) }, 205),
        ];
        for (const forgery of forgeries) assert.equal(pair.deliver('server', forgery), false);
        pair.settle();
        assert.equal(pair.server.counters.dropped['plaintext-after-handshake'], forgeries.length);
        assert.ok(pair.connected);
        assert.deepEqual(pair.received('server'), []);
        assert.equal(pair.sent.length, before);
      });

      test('of application data in clear text during the handshake is dropped', () => {
        const pair = newPair();
        pair.tap = (data) => [clearRecord(contentType.applicationData, Buffer.from('injected'), 500 + pair.sent.length), data];
        pair.run();
        assert.ok(pair.connected);
        assert.ok(pair.server.counters.dropped['unprotected-application-data'] > 0);
        assert.deepEqual(pair.received('server'), []);
      });

      test('of a changed ciphertext is dropped wherever the change is', () => {
        const pair = newPair().run();
        pair.client.send(Buffer.from('payload'), pair.now);
        pair.tap = (data) => {
          const forged = Array.from(data, (_, i) => {
            const copy = data.slice();
            copy[i] ^= 1;
            return copy;
          });
          return [...forged, data];
        };
        pair.settle();
        assert.deepEqual(pair.received('server'), ['payload']);
        assert.equal(pair.accepted.server.filter(Boolean).length, 2 + 1);
      });
    });

    describe('alerts', () => {
      test('that are truncated, too long or of no level are dropped', () => {
        for (const body of [[], [2], [2, 40, 0], [0, 0], [3, 40]]) {
          const pair = newPair();
          pair.tap = (data, from) => (from === 'client' ? [data] : [clearRecord(contentType.alert, Uint8Array.from(body), 600), data]);
          pair.run();
          assert.ok(pair.connected);
          assert.equal(pair.client.counters.dropped['malformed-alert'], 1);
        }
      });

      test('in clear text are believed while the peer may have no keys: the call fails at once, not after 30 s', () => {
        const pair = newPair();
        pair.tap = (data, from) => (from === 'server' ? [clearRecord(contentType.alert, Uint8Array.of(2, 71), 0)] : [data]);
        pair.run(() => pair.client.state === 'closed');
        assert.deepEqual(pair.outputs.client, [{ type: 'closed', reason: 'peer-alert', alert: 'insufficient_security' }]);
        assert.equal(pair.now, 20);
      });

      test('in clear text are not believed before anything was sent', () => {
        const pair = newPair();
        pair.deliver('server', clearRecord(contentType.alert, Uint8Array.of(2, 40), 90));
        assert.equal(pair.server.counters.dropped['unauthenticated-alert'], 1);
        assert.ok(pair.run().connected);
      });

      test('that only warn do not end anything', () => {
        const pair = newPair();
        pair.tap = (data, from) => (from === 'server' ? [clearRecord(contentType.alert, Uint8Array.of(1, 112), 700), data] : [data]);
        assert.ok(pair.run().connected);
      });

      test('with a number that nobody knows are shown as unknown', () => {
        const pair = newPair();
        pair.tap = (data, from) => (from === 'server' ? [clearRecord(contentType.alert, Uint8Array.of(2, 255), 0)] : [data]);
        pair.run(() => pair.client.state === 'closed');
        assert.equal(pair.find('client', 'closed')!.alert, 'unknown');
      });
    });

    describe('a peer that holds the keys', () => {
      /** Writes records with the keys of the client, as only a client can that misbehaves. */
      function misbehavingClient(pair: Pair): (type: number, fragment: Uint8Array) => boolean {
        const [{ prototype }, epoch] = version === '1.2' ? [GcmRecordProtection, 1] : [RecordProtection13, 3];
        const spy = mock.method(prototype as WriteProtection, 'seal');
        pair.client.send(new Uint8Array(0), pair.now);
        const protection = spy.mock.calls[0].this as WriteProtection;
        spy.mock.restore();
        pair.settle();
        let sequence = 1_000;
        return (type, fragment) => {
          const record = new Uint8Array(fragment.length + protection.overhead);
          protection.seal(type, epoch, sequence++, fragment, record, 0);
          const accepted = pair.deliver('server', record);
          pair.settle();
          return accepted;
        };
      }

      test('and sends a fatal alert ends the call with its words', () => {
        const pair = newPair().run();
        misbehavingClient(pair)(contentType.alert, Uint8Array.of(2, 80));
        assert.deepEqual(pair.find('server', 'closed'), { type: 'closed', reason: 'peer-alert', alert: 'internal_error' });
        assert.equal(pair.client.state, 'connected');
      });

      test('and asks for a renegotiation is told so, each time, and stays connected', () => {
        const pair = newPair().run().settle();
        const send = misbehavingClient(pair);
        const before = pair.sent.length;
        const hello = { type: 1, sequence: 0, body: encodeClientHello(sampleClientHello()) };
        for (let i = 0; i < 3; i++) {
          assert.equal(send(contentType.handshake, encodeHandshakeFragment(hello, 0, hello.body.length)), true);
        }
        const { dropped } = pair.server.counters;
        // DTLS 1.3 has no renegotiation, and nothing to say to it.
        assert.deepEqual([dropped.renegotiation, dropped['unexpected-message']], version === '1.2' ? [3, 0] : [0, 3]);
        assert.equal(pair.sent.length, before + (version === '1.2' ? 3 : 0));
        assert.ok(pair.connected);
      });

      test('and sends nonsense is counted, and its records prove that it is there', () => {
        const pair = newPair().run().settle();
        const send = misbehavingClient(pair);
        const before = pair.sent.length;
        assert.equal(send(contentType.alert, Uint8Array.of(2)), true);
        assert.equal(send(99, Uint8Array.of(1)), true);
        assert.equal(send(contentType.handshake, Uint8Array.of(1, 2, 3)), true);
        assert.equal(send(contentType.handshake, encodeHandshakeFragment({ type: 11, sequence: 9, body: new Uint8Array(3) }, 0, 3)), true);
        const { dropped } = pair.server.counters;
        const counts = [dropped['malformed-alert'], dropped['unknown-content-type'], dropped['malformed-handshake'], dropped['unexpected-message']];
        assert.deepEqual(counts, [1, 1, 1, 1]);
        assert.ok(pair.connected);
        assert.equal(pair.sent.length, before);
      });
    });
  });
}

describe('DTLS 1.2 alone', () => {
  const newPair = pairsOf('1.2');

  test('of a message whose body is junk is dropped, and the genuine one is still taken', () => {
    for (const type of [1, 2, 3, 11, 12, 13, 14, 15, 16]) {
      for (const victim of ['client', 'server'] as const) {
        const pair = newPair(type);
        let sequence = 0xff00;
        pair.tap = (data, from) => {
          if (from === victim) return [data];
          const next = dissect(data)[0].fragments[0]?.sequence ?? 0;
          return [clearMessage({ type, sequence: next, body: Uint8Array.of(1, 2, 3) }, sequence++), data];
        };
        pair.run();
        assert.ok(pair.connected, `type ${type} to the ${victim}`);
        const { dropped } = pair[victim].counters;
        assert.ok(dropped['malformed-message'] + dropped['unexpected-message'] > 0, `type ${type} to the ${victim}`);
      }
    }
  });

  test('in clear text are not believed once the peer has shown that it has keys', () => {
    const pair = newPair();
    let verify: Uint8Array | null = null;
    pair.tap = (data, from) => {
      const records = dissect(data).filter(({ bytes, fragments }) => {
        if (from === 'client' && fragments[0]?.type === 15) verify = bytes;
        return bytes !== verify;
      });
      return [Buffer.concat(records.map((record) => record.bytes))];
    };
    pair.settle();
    assert.equal(pair.server.state, 'handshaking');
    pair.deliver('server', clearRecord(contentType.alert, Uint8Array.of(2, 40), 90));
    assert.equal(pair.server.counters.dropped['unauthenticated-alert'], 1);
    pair.deliver('server', verify!);
    assert.ok(pair.settle().connected);
  });

  describe('a man in the middle', () => {
    test('who changes a message that nobody signs is found by the signature over the handshake', () => {
      const pair = newPair();
      pair.tap = (data, from) => {
        const changed = data.slice();
        const request = dissect(data).find((record) => record.fragments[0]?.type === 13);
        if (from === 'server' && request) changed[request.header.start + 12 + 1] ^= 1;
        return [changed];
      };
      pair.run(() => false, 1_000);
      assert.deepEqual(pair.outputs.server, [{ type: 'closed', reason: 'bad-signature', alert: 'decrypt_error' }]);
    });

    test('who turns the last signature into another valid one is found by Finished', () => {
      const pair = newPair();
      pair.tap = (data, from) => {
        if (from !== 'client') return [data];
        return dissect(data).map(({ bytes, fragments: [verify], header }) => {
          if (verify?.type !== 15) return bytes;
          const signature = withOtherS(verify.part.subarray(4));
          const body = Buffer.concat([verify.part.subarray(0, 2), Uint8Array.of(0, signature.length), signature]);
          return clearMessage({ type: 15, sequence: verify.sequence, body }, (header as RecordHeader).sequence);
        });
      };
      pair.run(() => false, 1_000);
      assert.deepEqual(pair.outputs.server, [{ type: 'closed', reason: 'bad-finished', alert: 'decrypt_error' }]);
      assert.deepEqual(pair.outputs.client, [{ type: 'closed', reason: 'peer-alert', alert: 'decrypt_error' }]);
    });

    /** With (r, s) also (r, n - s) is a signature: SEQUENCE { INTEGER r, INTEGER s }. */
    function withOtherS(signature: Uint8Array): Uint8Array {
      const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
      const sAt = 4 + signature[3];
      const s = BigInt(`0x${Buffer.from(signature.subarray(sAt + 2)).toString('hex')}`);
      const digits = (n - s).toString(16);
      const other = Buffer.from((digits.length % 2 ? '0' : '') + digits, 'hex');
      const integer = other[0] & 0x80 ? Buffer.concat([Uint8Array.of(0), other]) : other;
      const content = Buffer.concat([signature.subarray(2, sAt), Uint8Array.of(2, integer.length), integer]);
      return Buffer.concat([Uint8Array.of(0x30, content.length), content]);
    }
  });
});
