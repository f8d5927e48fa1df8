import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { SrtpCiphers } from '../../../src/webrtc/srtp/ciphers.ts';
import { loadSrtpCiphers, selfTest } from '../../../src/webrtc/srtp/load-ciphers.ts';
import { nodeCryptoCiphers } from '../../../src/webrtc/srtp/node-crypto.ts';
import { CIPHERS, evpMissing, fromHex, hex } from './support.ts';

fc.configureGlobal({ seed: 3711 });

for (const ciphers of CIPHERS) {
  describe(`SRTP ciphers: ${ciphers.name}`, () => {
    it('passes the vectors of RFC 3711, RFC 7714 and RFC 2202', () => selfTest(ciphers));

    it('computes HMAC-SHA1 over more than one block', () => {
      const key = ciphers.counterMode(new Uint8Array(16), new Uint8Array(20).fill(0x0b));
      const text = new TextEncoder().encode('a'.repeat(200));
      const expected = createHmac('sha1', new Uint8Array(20).fill(0x0b)).update(text).digest();
      assert.equal(hex(key.mac(text, text.length)), hex(expected));
      key.close();
    });

    it('treats a view in the middle of larger memory as its own packet only', () => {
      const memory = new Uint8Array(4096).fill(0xee);
      const packet = memory.subarray(1001, 1101);
      const gcm = ciphers.gcm(fromHex('000102030405060708090a0b0c0d0e0f'));
      gcm.iv.fill(1);
      gcm.seal(packet, 12, 60, 0);
      const counterMode = ciphers.counterMode(new Uint8Array(16), new Uint8Array(20));
      counterMode.iv.fill(1);
      counterMode.crypt(packet, 12, 60);
      assert.ok(memory.subarray(0, 1013).every((byte) => byte === 0xee));
      assert.ok(memory.subarray(1001 + 76).every((byte) => byte === 0xee));
      assert.ok(memory.subarray(1013, 1077).some((byte) => byte !== 0xee));
      gcm.close();
      counterMode.close();
    });

    it('keeps working when packets alternate between many buffers, large, small and shared', () => {
      const key = ciphers.counterMode(new Uint8Array(16), new Uint8Array(20));
      const buffers: Uint8Array[] = [16, 40, 64, 65, 8192].map((length) => new Uint8Array(length));
      buffers.push(new Uint8Array(new SharedArrayBuffer(64)), Buffer.from('0123456789abcdef'));
      const expected = hex(crypted(key, new Uint8Array(16)));
      for (let round = 0; round < 50; round++) {
        for (const buffer of buffers) {
          buffer.fill(0);
          assert.equal(hex(crypted(key, buffer).subarray(0, 16)), expected);
        }
      }
      key.close();
    });

    it('keeps keys apart that are used in turn, also after a packet that was refused', () => {
      const keys = [1, 2, 3].map((n) => ciphers.gcm(new Uint8Array(16).fill(n)));
      const packets = keys.map((key) => {
        const packet = new Uint8Array(100).fill(7);
        key.iv.fill(5);
        key.seal(packet, 12, 84, 0);
        return packet;
      });
      assert.equal(new Set(packets.map(hex)).size, keys.length);
      for (const [i, key] of keys.entries()) {
        const another = packets[(i + 1) % keys.length].slice();
        key.iv.fill(5);
        assert.ok(!key.open(another, 12, 84, 0));
        key.iv.fill(5);
        assert.ok(key.open(packets[i], 12, 84, 0));
        assert.equal(hex(packets[i].subarray(0, 84)), '07'.repeat(84));
        key.close();
      }
    });

    it('refuses a key that has been closed, twice', () => {
      const gcm = ciphers.gcm(new Uint8Array(16));
      const counterMode = ciphers.counterMode(new Uint8Array(16), new Uint8Array(20));
      for (const key of [gcm, counterMode]) {
        key.close();
        key.close();
      }
      assert.throws(() => gcm.seal(new Uint8Array(64), 12, 20, 0), /closed/);
      assert.throws(() => gcm.open(new Uint8Array(64), 12, 20, 0), /closed/);
      assert.throws(() => counterMode.crypt(new Uint8Array(64), 12, 20), /closed/);
      assert.throws(() => counterMode.mac(new Uint8Array(64), 20), /closed/);
    });
  });
}

describe('SRTP ciphers', () => {
  it('compute the same, whichever implementation', { skip: evpMissing }, () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.uint8Array({ minLength: 20, maxLength: 20 }),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.uint8Array({ minLength: 0, maxLength: 1500 }),
        fc.nat(1500),
        fc.boolean(),
        (key, authenticationKey, iv, text, split, suffix) => {
          const results = CIPHERS.map((ciphers) => {
            const from = Math.min(split, text.length);
            const packet = new Uint8Array(text.length + 20).fill(9);
            packet.set(text);
            const gcm = ciphers.gcm(key);
            gcm.iv.set(iv.subarray(0, 12));
            gcm.seal(packet, from, text.length, suffix ? text.length + 16 : 0);
            gcm.close();
            const sealed = hex(packet);
            const open = ciphers.gcm(key);
            open.iv.set(iv.subarray(0, 12));
            assert.ok(open.open(packet, from, text.length, suffix ? text.length + 16 : 0));
            assert.equal(hex(packet.subarray(0, text.length)), hex(text));
            open.close();
            const counterMode = ciphers.counterMode(key, authenticationKey);
            counterMode.iv.set(iv);
            counterMode.crypt(packet, from, text.length);
            const mac = hex(counterMode.mac(packet, text.length));
            counterMode.close();
            return [sealed, hex(packet), mac];
          });
          assert.deepEqual(results[0], results[1]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('come from OpenSSL where it can be called, with no reason to fall back', { skip: evpMissing }, () => {
    const { ciphers, fallbackReason } = loadSrtpCiphers();
    assert.equal(ciphers.name, 'evp');
    assert.equal(fallbackReason, null);
  });

  it('fall back visibly when OpenSSL cannot be called', () => {
    const loaded = loadSrtpCiphers(() => {
      throw new Error('no such symbol');
    });
    assert.equal(loaded.ciphers, nodeCryptoCiphers);
    assert.match(loaded.fallbackReason ?? '', /no such symbol/);
  });

  it('fall back visibly when the fast implementation computes wrongly', () => {
    const wrong: SrtpCiphers = {
      ...nodeCryptoCiphers,
      name: 'evp',
      counterMode: (key, authenticationKey) => nodeCryptoCiphers.counterMode(key, authenticationKey.fill(1)),
    };
    const loaded = loadSrtpCiphers(() => wrong);
    assert.equal(loaded.ciphers, nodeCryptoCiphers);
    assert.match(loaded.fallbackReason ?? '', /HMAC-SHA1/);
  });
});

function crypted(key: ReturnType<SrtpCiphers['counterMode']>, packet: Uint8Array): Uint8Array {
  key.iv.fill(3);
  key.crypt(packet, 0, 16);
  return packet;
}
