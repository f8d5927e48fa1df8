import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { formatAddress, parseAddress } from '../../../src/wire/address.ts';
import { BINDING, StunAttribute, type StunClass } from '../../../src/webrtc/stun/attributes.ts';
import { crc32 } from '../../../src/webrtc/stun/checksums.ts';
import { MAX_ATTRIBUTES, StunMessage } from '../../../src/webrtc/stun/message.ts';
import { MAX_MESSAGE_LENGTH, StunWriter } from '../../../src/webrtc/stun/writer.ts';
import { PASSWORD, SAMPLE_IPV4_RESPONSE, SAMPLE_IPV6_RESPONSE, SAMPLE_REQUEST, TRANSACTION_ID } from './vectors.ts';

const writer = new StunWriter();

function read(bytes: Uint8Array): StunMessage {
  const message = new StunMessage();
  assert.ok(message.read(bytes));
  return message;
}

test('reads the request of RFC 5769 and verifies it', () => {
  const message = read(SAMPLE_REQUEST);
  assert.equal(message.class, 'request');
  assert.equal(message.method, BINDING);
  assert.deepEqual(message.transactionId, TRANSACTION_ID);
  assert.equal(message.text(StunAttribute.username), 'evtj:h6vY');
  assert.equal(message.text(StunAttribute.software), 'STUN test client');
  assert.equal(message.uint32(StunAttribute.priority), 0x6e0001ff);
  assert.equal(Buffer.from(message.attribute(StunAttribute.iceControlled)!).toString('hex'), '932ff9b151263b36');
  assert.deepEqual(message.unknownRequired, []);
  assert.equal(message.verifyFingerprint(), 'valid');
  assert.ok(message.verifyIntegrity(PASSWORD));
  assert.ok(!message.verifyIntegrity(`${PASSWORD}x`));
});

test('reads the responses of RFC 5769 for IPv4 and IPv6 and verifies them', () => {
  const expected = [
    [SAMPLE_IPV4_RESPONSE, '192.0.2.1:32853'],
    [SAMPLE_IPV6_RESPONSE, '[2001:db8:1234:5678:11:2233:4455:6677]:32853'],
  ] as const;
  for (const [bytes, address] of expected) {
    const message = read(bytes);
    assert.equal(message.class, 'success');
    assert.equal(formatAddress(message.xorMappedAddress!), address);
    assert.equal(message.verifyFingerprint(), 'valid');
    assert.ok(message.verifyIntegrity(PASSWORD));
  }
});

test('writes the mapped address as RFC 5769 has it', () => {
  for (const [vector, address, length] of [
    [SAMPLE_IPV4_RESPONSE, '192.0.2.1:32853', 12],
    [SAMPLE_IPV6_RESPONSE, '[2001:db8:1234:5678:11:2233:4455:6677]:32853', 24],
  ] as const) {
    writer.begin('success', BINDING, TRANSACTION_ID);
    writer.xorMappedAddress(parseAddress(address));
    const written = writer.finish(PASSWORD);
    assert.deepEqual(written.subarray(20, 20 + length), vector.subarray(36, 36 + length));
  }
});

test('CRC-32 gives the check value of the catalogue', () => {
  assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926);
});

test('whatever is written is read back and verifies', () => {
  const classes: StunClass[] = ['request', 'indication', 'success', 'error'];
  const attributes = fc.array(
    fc.tuple(fc.integer({ min: 0xc000, max: 0xffff }), fc.uint8Array({ maxLength: 60 })),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...classes),
      fc.integer({ min: 0, max: 0xfff }),
      fc.uint8Array({ minLength: 12, maxLength: 12 }),
      attributes,
      fc.string({ minLength: 1 }),
      (messageClass, method, id, list, password) => {
        writer.begin(messageClass, method, id);
        for (const [type, value] of list) writer.attribute(type, value);
        const message = read(writer.finish(password));
        assert.equal(message.class, messageClass);
        assert.equal(message.method, method);
        assert.deepEqual(message.transactionId, id);
        assert.equal(message.verifyFingerprint(), 'valid');
        assert.ok(message.verifyIntegrity(password));
        for (const [type] of list) {
          const first = list.find((entry) => entry[0] === type)!;
          assert.deepEqual(message.attribute(type), first[1]);
        }
      },
    ),
    { seed: 1, numRuns: 500 },
  );
});

test('a flipped bit anywhere fails integrity, fingerprint or the format', () => {
  const message = new StunMessage();
  for (let bit = 0; bit < SAMPLE_REQUEST.length * 8; bit++) {
    const bytes = SAMPLE_REQUEST.slice();
    bytes[bit >> 3] ^= 0x80 >> (bit & 7);
    const genuine = message.read(bytes) && message.verifyFingerprint() === 'valid' && message.verifyIntegrity(PASSWORD);
    assert.ok(!genuine, `bit ${bit}`);
  }
});

test('an attribute behind MESSAGE-INTEGRITY cannot be smuggled in', () => {
  // USE-CANDIDATE between MESSAGE-INTEGRITY and FINGERPRINT: an on-path attacker can add it and repair the CRC.
  const body = SAMPLE_REQUEST.subarray(0, SAMPLE_REQUEST.length - 8);
  const bytes = new Uint8Array(body.length + 4);
  bytes.set(body);
  bytes.set([0x00, 0x25, 0x00, 0x00], body.length);
  bytes[3] = bytes.length - 20;
  const message = read(bytes);
  assert.ok(message.verifyIntegrity(PASSWORD));
  assert.ok(!message.has(StunAttribute.useCandidate));
  assert.deepEqual(message.unknownRequired, []);
});

test('attributes behind FINGERPRINT and lengths that lie are refused', () => {
  const message = new StunMessage();
  const behind = new Uint8Array([...SAMPLE_REQUEST, 0x80, 0x22, 0, 0]);
  behind[3] += 4;
  assert.ok(!message.read(behind));
  const liar = SAMPLE_REQUEST.slice();
  liar[23] = 0xff;
  assert.ok(!message.read(liar));
  assert.ok(!message.read(new Uint8Array([...SAMPLE_REQUEST, 0, 0, 0, 0])));
  assert.equal(message.attribute(StunAttribute.username), null);
});

test('unknown attributes that must be understood are listed, others not', () => {
  writer.begin('request', BINDING, TRANSACTION_ID);
  writer.attribute(0x7abc, new Uint8Array(3));
  writer.attribute(0xc070, new Uint8Array(5));
  writer.flag(0x0026);
  assert.deepEqual(read(writer.finish(PASSWORD)).unknownRequired, [0x7abc, 0x0026]);
});

test('error answers carry code, phrase and the unknown attributes', () => {
  writer.begin('error', BINDING, TRANSACTION_ID);
  writer.errorCode(420);
  writer.unknownAttributes([0x7abc, 0x0026, 0x0027]);
  const message = read(writer.finish(PASSWORD));
  assert.equal(message.errorCode, 420);
  assert.equal(Buffer.from(message.attribute(StunAttribute.errorCode)!).toString('latin1', 4), 'Unknown Attribute');
  assert.equal(Buffer.from(message.attribute(StunAttribute.unknownAttributes)!).toString('hex'), '7abc00260027');
});

test('a message that grows too long or has too many attributes is refused, on either side', () => {
  writer.begin('request', BINDING, TRANSACTION_ID);
  writer.attribute(0xc070, new Uint8Array(writer.room));
  assert.throws(() => writer.flag(0xc071), RangeError);
  assert.equal(writer.finish(PASSWORD).length, MAX_MESSAGE_LENGTH);

  for (const [count, ok] of [[MAX_ATTRIBUTES, true], [MAX_ATTRIBUTES + 1, false]] as const) {
    writer.begin('request', BINDING, TRANSACTION_ID);
    for (let i = 0; i < count; i++) writer.flag(0xc000 + i);
    assert.equal(new StunMessage().read(writer.finish(PASSWORD)), ok);
  }
});

test('padding of the message before does not leak into the next', () => {
  writer.begin('request', BINDING, TRANSACTION_ID);
  writer.attribute(0xc070, new Uint8Array(40).fill(0xff));
  writer.finish(PASSWORD);
  writer.begin('request', BINDING, TRANSACTION_ID);
  writer.text(StunAttribute.username, 'evtjh');
  assert.deepEqual([...writer.finish(PASSWORD).subarray(29, 32)], [0, 0, 0]);
});

test('100,000 arbitrary and mutated datagrams: no throw, no view beyond the datagram', () => {
  const message = new StunMessage();
  const vectors = [SAMPLE_REQUEST, SAMPLE_IPV4_RESPONSE, SAMPLE_IPV6_RESPONSE];
  let accepted = 0;
  const probe = (bytes: Uint8Array): void => {
    if (message.read(bytes)) accepted++;
    for (const type of [StunAttribute.username, StunAttribute.xorMappedAddress, StunAttribute.errorCode]) {
      const value = message.attribute(type);
      assert.ok(!value || (value.buffer === bytes.buffer && value.length <= bytes.length));
    }
    void [message.xorMappedAddress, message.errorCode, message.unknownRequired, message.transactionId];
    message.verifyFingerprint();
  };
  let seed = 0x5eed;
  const next = (below: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let i = 0; i < 50_000; i++) {
    const bytes = new Uint8Array(next(200)).map(() => next(256));
    if (bytes.length >= 20 && i % 2 === 0) bytes.set([0, 1, 0, bytes.length - 20, 0x21, 0x12, 0xa4, 0x42]);
    probe(bytes);
  }
  for (let i = 0; i < 50_000; i++) {
    const bytes = vectors[i % 3].slice(0, i % 5 === 0 ? next(110) : undefined);
    for (let n = next(4); n > 0 && bytes.length > 0; n--) bytes[next(bytes.length)] = next(256);
    probe(bytes);
  }
  assert.ok(accepted > 10_000, `only ${accepted} were read at all`);
});
