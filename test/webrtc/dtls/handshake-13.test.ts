import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import { DtlsCertificate, DtlsEndpoint } from '../../../src/webrtc/dtls/index.ts';
import { generateKeyShare } from '../../../src/webrtc/dtls/key-share.ts';
import type { DtlsEndpointOptions, NamedGroup } from '../../../src/webrtc/dtls/index.ts';
import { encodeCertificate13 } from '../../../src/webrtc/dtls/certificate-messages-13.ts';
import {
  decodeKeyShare,
  encodeKeyShares,
  encodeSupportedVersions,
  encodeUint16List,
} from '../../../src/webrtc/dtls/extensions.ts';
import { encodeHandshakeFragment } from '../../../src/webrtc/dtls/handshake-fragment.ts';
import type { HandshakeMessage } from '../../../src/webrtc/dtls/handshake-fragment.ts';
import { decodeServerHello, encodeClientHello } from '../../../src/webrtc/dtls/hello-messages.ts';
import type { ClientHello, ServerHello } from '../../../src/webrtc/dtls/hello-messages.ts';
import { generateAnyKeyShare } from '../../../src/webrtc/dtls/key-share-hybrid.ts';
import { cipherSuites13 } from '../../../src/webrtc/dtls/registry.ts';
import type { CipherSuite13 } from '../../../src/webrtc/dtls/registry.ts';
import { Transcript } from '../../../src/webrtc/dtls/transcript.ts';
import { clearMessage, clearRecord, dissect, sampleClientHello } from './datagrams.ts';
import { clientCertificate, Pair, pairsOf, serverCertificate } from './pair.ts';
import { seededBytes } from '../../support/random.ts';

const newPair = pairsOf('1.3');
const stranger = await DtlsCertificate.generate();

describe('the choice of a version', () => {
  test('falls on 1.3 when both sides speak it, and on what is common otherwise', () => {
    const agreed = (client: DtlsEndpointOptions['versions'], server: DtlsEndpointOptions['versions']): string | undefined =>
      new Pair(1, {}, client ? { versions: client } : {}, server ? { versions: server } : {}).run(() => false, 1_000).find('server', 'connected')?.version;
    assert.equal(agreed(undefined, undefined), '1.3');
    assert.equal(agreed(['1.2'], undefined), '1.2');
    assert.equal(agreed(undefined, ['1.2']), '1.2');
    assert.equal(agreed(['1.2', '1.3'], ['1.3']), '1.3');
    assert.equal(agreed(['1.3'], ['1.2']), undefined);
  });

  test('that somebody in the middle turns from 1.3 to 1.2 is found by the downgrade sentinel', () => {
    const pair = new Pair();
    pair.tap = (data, from) => (from === 'client' && pair.sent.length === 1 ? [withoutSupportedVersions(data)] : [data]);
    pair.run(() => false, 1_000);
    assert.equal(pair.find('client', 'closed')!.reason, 'illegal-parameter');
    assert.equal(pair.find('server', 'connected'), undefined);
  });

  test('of a server that is held to 1.2 shows no sentinel, which a client of 1.3 would take for an attack', () => {
    const pair = new Pair(1, {}, {}, { versions: ['1.2'] }).run();
    assert.ok(!Buffer.from(dissect(pair.sent[1].data)[0].fragments[0].part).includes('DOWNGRD'));
    const dual = new Pair(1, {}, { versions: ['1.2'] }).run();
    assert.ok(Buffer.from(dissect(dual.sent[1].data)[0].fragments[0].part).includes('DOWNGRD\x01'));
  });

  /** supported_versions becomes an extension that nobody knows. */
  function withoutSupportedVersions(data: Uint8Array): Uint8Array {
    const at = Buffer.from(data).indexOf(Buffer.from([0, 43, 0, 5, 4, 0xfe, 0xfc]));
    assert.ok(at > 0);
    return data.with(at, 0x4a);
  }
});

describe('a handshake of DTLS 1.3', () => {
  test('takes one round trip for the client and half of one more for the server, and is acknowledged', () => {
    const pair = newPair(1, { delay: 50 });
    pair.run(() => pair.client.state === 'connected');
    assert.equal(pair.now, 100);
    pair.run();
    assert.equal(pair.now, 150);
    pair.run(() => pair.quiet);
    assert.equal(pair.now, 200);
    assert.deepEqual(pair.sent.map((datagram) => datagram.from), ['client', 'server', 'client', 'server']);
  });

  test('sends nothing but the hellos in clear text', () => {
    const pair = newPair().run().settle();
    const clear = pair.sent.flatMap(({ data }) => dissect(data)).filter(({ header }) => header.form === 'classic');
    assert.deepEqual(clear.map(({ fragments }) => fragments[0].type), [1, 2]);
  });

  for (const suite of cipherSuites13.slice()) {
    test(`works with ${suite.name}`, () => {
      const suites = cipherSuites13 as CipherSuite13[];
      const all = suites.splice(0, suites.length, suite);
      try {
        const pair = newPair().run().settle();
        assert.equal(pair.outcome('server').cipherSuite, suite.name);
        pair.client.send(Buffer.from('to server'), pair.now);
        pair.server.send(Buffer.from('to client'), pair.now);
        pair.settle();
        assert.deepEqual([...pair.received('server'), ...pair.received('client')], ['to server', 'to client']);
      } finally {
        suites.splice(0, suites.length, ...all);
      }
    });
  }

  test('takes ChaCha20 only from those who offer nothing else', () => {
    const chosen = (cipherSuites: number[]): number => serverHello(answer(hello({ cipherSuites }))).cipherSuite;
    assert.equal(chosen([0x1303, 0x1302, 0x1301]), 0x1301);
    assert.equal(chosen([0x1303, 0x1302]), 0x1302);
    assert.equal(chosen([0x1303, 0xc02b]), 0x1303);
  });

  const groups: readonly NamedGroup[] = ['x25519', 'secp256r1', 'x25519mlkem768'];
  for (const group of groups) {
    test(`agrees on keys over ${group}`, () => {
      const pair = newPair(1, {}, { groups: [group] }).run();
      assert.deepEqual([pair.outcome('client').group, pair.outcome('server').group], [group, group]);
      assert.equal(pair.sent.filter((datagram) => datagram.from === 'server').some(({ data }) => isRetry(data)), false);
      assert.deepEqual(pair.outcome('client').srtp!.localKey, pair.outcome('server').srtp!.remoteKey);
    });
  }

  test('asks again for a key share of a group that it knows, and takes one round trip more', () => {
    for (const [first, only] of [['x25519', 'secp256r1'], ['secp256r1', 'x25519'], ['x25519', 'x25519mlkem768']] as const) {
      const pair = newPair(1, { delay: 50 }, { groups: [first, only] }, { groups: [only] });
      pair.run(() => pair.client.state === 'connected');
      assert.equal(pair.now, 200, `${first} to ${only}`);
      assert.ok(isRetry(pair.sent[1].data));
      pair.run();
      assert.equal(pair.outcome('server').group, only);
      assert.deepEqual(pair.outcome('client').srtp!.localKey, pair.outcome('server').srtp!.remoteKey);
    }
  });

  test('that begins with a retry survives a loss of 20% and reordering', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const path = { loss: 0.2, duplication: 0.1, delay: 20, jitter: 120 };
      const pair = newPair(seed, path, { mtu: 300 }, { mtu: 300, groups: ['secp256r1'] });
      pair.run(() => pair.quiet, 30_000);
      assert.ok(pair.quiet, `seed ${seed}: ${JSON.stringify([pair.client.dump(), pair.server.dump()])}`);
    }
  });

  test('with no common group ends in handshake_failure', () => {
    const pair = newPair(1, {}, { groups: ['x25519'] }, { groups: ['secp256r1'] }).run(() => false, 1_000);
    assert.deepEqual(pair.outputs.server, [{ type: 'closed', reason: 'no-common-group', alert: 'handshake_failure' }]);
    assert.equal(pair.find('client', 'closed')!.alert, 'handshake_failure');
  });

  test('is not completed by a peer that has no certificate', () => {
    const { append: original } = Transcript.prototype as { append: (this: Transcript, message: HandshakeMessage) => void };
    const append = mock.method(Transcript.prototype, 'append', function (this: Transcript, message: HandshakeMessage) {
      const isClients = message.type === 11 && message.sequence === 1;
      if (isClients) Object.assign(message, { body: encodeCertificate13({ context: new Uint8Array(0), chain: [] }) });
      original.call(this, message);
    });
    try {
      const pair = newPair().run(() => false, 1_000);
      assert.deepEqual(pair.outputs.server, [{ type: 'closed', reason: 'peer-certificate-missing', alert: 'handshake_failure' }]);
    } finally {
      append.mock.restore();
    }
  });

  test('forgets what came in clear text ahead of the keys', () => {
    const pair = newPair();
    // EncryptedExtensions without any, as anybody can write them.
    const forged = clearMessage({ type: 8, sequence: 1, body: Uint8Array.of(0, 0) }, 900);
    pair.tap = (data, from) => (from === 'server' && pair.sent.length === 2 ? [forged, data] : [data]);
    pair.run(() => pair.quiet, 1_000);
    assert.ok(pair.quiet);
    assert.ok(pair.outcome('client').srtp);
  });

  test('fails for somebody in the middle who changes a hello', () => {
    for (const from of ['client', 'server'] as const) {
      const pair = newPair();
      // A byte of the random: everything still decodes, but both sides derive other keys.
      pair.tap = (data, sender) => [sender === from && pair.sent.length <= 2 ? data.with(13 + 12 + 2, data[13 + 12 + 2] ^ 1) : data];
      pair.run(() => false, 35_000);
      assert.equal(pair.find('server', 'connected'), undefined);
      assert.equal(pair.find('client', 'connected'), undefined);
    }
  });
});

describe('before the client has shown who it is', () => {
  test('what it sends is kept, and delivered behind connected', () => {
    const pair = newPair();
    const held: Uint8Array[] = [];
    pair.tap = (data, from) => {
      if (from === 'server' || pair.client.state !== 'connected') return [data];
      held.push(data);
      return [];
    };
    pair.run(() => pair.client.state === 'connected');
    pair.client.send(Buffer.from('first words'), pair.now);
    pair.settle();
    assert.equal(held.length, 2);
    assert.equal(pair.deliver('server', held[1]), false);
    pair.settle();
    assert.equal(pair.outputs.server.length, 0);
    assert.equal(pair.deliver('server', held[0]), true);
    pair.settle();
    assert.deepEqual(pair.outputs.server.map((output) => output.type), ['connected', 'data']);
    assert.deepEqual(pair.received('server'), ['first words']);
  });

  test('what it sends in bulk is kept within bounds', () => {
    const pair = newPair();
    pair.tap = (data, from) => (from === 'client' && pair.client.state === 'connected' && pair.sent.length === 3 ? [] : [data]);
    pair.run(() => pair.client.state === 'connected');
    for (let i = 0; i < 100; i++) pair.client.send(Buffer.from(`message ${i}`), pair.now);
    pair.settle();
    assert.equal(pair.server.counters.dropped['early-buffer-full'], 100 - 32);
    pair.run();
    assert.equal(pair.received('server').length, 32);
  });

  test('its data never arrives when its certificate is another', () => {
    const pair = newPair(1, {}, { certificate: stranger });
    pair.run(() => pair.client.state === 'connected');
    pair.client.send(Buffer.from('let me in'), pair.now);
    pair.run(() => false, 1_000);
    assert.deepEqual(pair.outputs.server, [{ type: 'closed', reason: 'fingerprint-mismatch', alert: 'bad_certificate' }]);
  });

  test('the server sends nothing, unless its policy lets it', () => {
    const pair = newPair();
    pair.tap = (data, from) => (from === 'client' && pair.sent.length > 2 ? [] : [data]);
    pair.settle();
    assert.equal(pair.find('server', 'send-keys'), undefined);
    pair.server.send(Buffer.from('too early'), pair.now);
    assert.equal(pair.server.counters.sendsRefused, 1);
  });

  test('a server whose policy lets it sends data and has keys for its own media alone', () => {
    const pair = newPair(1, { delay: 50 }, {}, { earlySending: true });
    pair.run(() => pair.outputs.server.length > 0);
    assert.equal(pair.now, 50);
    pair.server.send(Buffer.from('welcome'), pair.now);
    pair.run(() => pair.outputs.client.length > 1);
    assert.equal(pair.now, 100);
    assert.deepEqual(pair.outputs.client.map((output) => output.type), ['connected', 'data']);
    const { profile, remoteKey, remoteSalt } = pair.outcome('client').srtp!;
    const sendKeys = { type: 'send-keys', srtp: { profile, localKey: remoteKey, localSalt: remoteSalt } };
    assert.deepEqual(pair.outputs.server, [sendKeys]);
    pair.run();
    assert.deepEqual(pair.outputs.server.map((output) => output.type), ['send-keys', 'connected']);
  });

  test('the server answers with the key pair that was made ahead for it', () => {
    for (const groups of [['x25519'], ['x25519mlkem768']] as const) {
      const keyShare = generateKeyShare('x25519');
      const pair = newPair(1, {}, { groups }, { keyShare });
      pair.settle();
      assert.equal(pair.outcome('server').group, groups[0]);
      assert.ok(pair.sent.some(({ from, data }) => from === 'server' && Buffer.from(data).includes(Buffer.from(keyShare.publicKey))));
    }
  });

  test('early data that overtakes the flight of the server is kept and delivered behind connected', () => {
    const pair = newPair(1, {}, {}, { earlySending: true });
    const held: Uint8Array[] = [];
    pair.tap = (data, from) => {
      if (from === 'server') held.push(data);
      return from === 'server' ? [] : [data];
    };
    pair.settle();
    pair.server.send(Buffer.from('welcome'), pair.now);
    pair.settle();
    for (const datagram of held.toReversed()) pair.deliver('client', datagram);
    pair.settle();
    assert.deepEqual(pair.outputs.client.map((output) => output.type), ['connected', 'data']);
  });
});

describe('a ClientHello of DTLS 1.3 that cannot be served', () => {
  const rows: { name: string; changes?: Partial<ClientHello>; extensions?: [number, Uint8Array | null][]; reason: string; alert: string }[] = [
    { name: 'no suite of ours', changes: { cipherSuites: [0x1304, 0xc02b] }, reason: 'no-common-cipher-suite', alert: 'handshake_failure' },
    { name: 'no group of ours', extensions: [[10, encodeUint16List([24])]], reason: 'no-common-group', alert: 'handshake_failure' },
    { name: 'no groups at all', extensions: [[10, null]], reason: 'missing-extension', alert: 'missing_extension' },
    { name: 'no key shares at all', extensions: [[51, null]], reason: 'missing-extension', alert: 'missing_extension' },
    { name: 'no signature schemes at all', extensions: [[13, null]], reason: 'missing-extension', alert: 'missing_extension' },
    { name: 'no signature scheme of ours', extensions: [[13, encodeUint16List([0x0804])]], reason: 'no-common-signature-scheme', alert: 'handshake_failure' },
    { name: 'a cookie of DTLS 1.2', changes: { cookie: Uint8Array.of(1) }, reason: 'illegal-parameter', alert: 'illegal_parameter' },
    { name: 'compression', changes: { compressionMethods: Uint8Array.of(1, 0) }, reason: 'illegal-parameter', alert: 'illegal_parameter' },
    { name: 'a key of low order', extensions: [[51, encodeKeyShares([{ groupId: 29, publicKey: new Uint8Array(32) }])]], reason: 'illegal-parameter', alert: 'illegal_parameter' },
    { name: 'a key that is too short', extensions: [[51, encodeKeyShares([{ groupId: 29, publicKey: new Uint8Array(31) }])]], reason: 'illegal-parameter', alert: 'illegal_parameter' },
    { name: 'a post-quantum key that is none', extensions: [[51, encodeKeyShares([{ groupId: 0x11ec, publicKey: new Uint8Array(1216).fill(0xff) }])]], reason: 'illegal-parameter', alert: 'illegal_parameter' },
    { name: '1.4 alone', extensions: [[43, encodeSupportedVersions([0xfefb])]], reason: 'no-common-version', alert: 'protocol_version' },
  ];
  for (const row of rows) {
    test(`is refused with an alert: ${row.name}`, () => {
      const server = freshServer();
      server.handleDatagram(hello(row.changes, row.extensions), 0);
      const output = server.poll();
      assert.equal(output.type === 'transmit' && output.data.length, 15);
      assert.deepEqual(server.poll(), { type: 'closed', reason: row.reason, alert: row.alert });
    });
  }

  test('because it is malformed is dropped, and the genuine one is still taken', () => {
    const server = freshServer();
    for (const type of [10, 13, 43, 51]) assert.equal(server.handleDatagram(hello({}, [[type, Uint8Array.of(9)]], type), 0), true);
    assert.equal(server.counters.dropped['malformed-message'], 4);
    assert.equal(server.handleDatagram(hello(), 0), true);
    assert.equal(server.poll().type, 'transmit');
  });

  test('that changes its mind after a retry is refused', () => {
    const server = freshServer();
    server.handleDatagram(hello({}, [[51, encodeKeyShares([])]]), 0);
    assert.ok(isRetry((server.poll() as { data: Uint8Array }).data));
    const second = { type: 1, sequence: 1, body: encodeClientHello(sample({}, [[51, encodeKeyShares([])]])) };
    server.handleDatagram(clearMessage(second, 1), 0);
    assert.equal(server.poll().type, 'transmit');
    assert.deepEqual(server.poll(), { type: 'closed', reason: 'illegal-parameter', alert: 'illegal_parameter' });
  });

  test('of the size and shape of Chromium 156 is served with the post-quantum group, though its second piece comes first', () => {
    const extensions: [number, Uint8Array][] = [
      [10, encodeUint16List([0x11ec, 29, 23, 24])],
      [13, encodeUint16List([0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201])],
      [14, Uint8Array.of(0, 6, 0, 1, 0, 8, 0, 7, 0)],
      [43, encodeSupportedVersions([0xfefc, 0xfefd])],
      [51, encodeKeyShares((['x25519mlkem768', 'x25519'] as const).map((group, i) => ({ groupId: [0x11ec, 29][i], publicKey: generateAnyKeyShare(group).publicKey })))],
    ];
    const cipherSuites = [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0x9c, 0x2f, 0x35];
    const message = { type: 1, sequence: 0, body: encodeClientHello(sampleClientHello({ cipherSuites }, extensions)) };
    const pieces = [encodeHandshakeFragment(message, 0, 875), encodeHandshakeFragment(message, 875, message.body.length - 875)];
    const server = freshServer();
    for (const [sequence, piece] of [...pieces.entries()].toReversed()) {
      assert.equal(server.handleDatagram(clearRecord(22, piece, sequence).with(1, 0xfe).with(2, 0xff), 0), true);
    }
    const answered = serverHello((server.poll() as { data: Uint8Array }).data);
    assert.deepEqual([...answered.extensions.keys()].toSorted((a, b) => a - b), [43, 51]);
    const share = decodeKeyShare(answered.extensions.get(51)!)!;
    assert.deepEqual([share.groupId, share.publicKey.length], [0x11ec, 1120]);
    // Neither the session ID nor a change_cipher_spec comes back.
    assert.equal(answered.sessionId.length, 0);
  });
});

function freshServer(): DtlsEndpoint {
  return new DtlsEndpoint({
    role: 'server',
    certificate: serverCertificate,
    remoteFingerprints: [clientCertificate.fingerprint('sha-256')],
    srtpProfiles: ['AEAD_AES_128_GCM'],
    random: seededBytes(1),
    now: 0,
  });
}

function sample(changes: Partial<ClientHello>, extensions: [number, Uint8Array | null][]): ClientHello {
  const share = { groupId: 29, publicKey: generateAnyKeyShare('x25519').publicKey };
  return sampleClientHello({ cipherSuites: [0x1301], ...changes }, [
    [10, encodeUint16List([0x11ec, 29, 23])],
    [43, encodeSupportedVersions([0xfefc])],
    [51, encodeKeyShares([share])],
    ...extensions,
  ]);
}

function hello(changes: Partial<ClientHello> = {}, extensions: [number, Uint8Array | null][] = [], sequence = 0): Uint8Array {
  return clearMessage({ type: 1, sequence: 0, body: encodeClientHello(sample(changes, extensions)) }, sequence);
}

/** The first datagram that a fresh server answers with. */
function answer(datagram: Uint8Array): Uint8Array {
  const server = freshServer();
  server.handleDatagram(datagram, 0);
  return (server.poll() as { data: Uint8Array }).data;
}

function serverHello(datagram: Uint8Array): ServerHello {
  const [fragment] = dissect(datagram)[0].fragments;
  assert.equal(fragment.type, 2);
  return decodeServerHello(new Uint8Array(fragment.part)) ?? assert.fail('the ServerHello is cut');
}

function isRetry(datagram: Uint8Array): boolean {
  const [fragment] = dissect(datagram)[0]?.fragments ?? [];
  return fragment?.type === 2 && Buffer.from(fragment.part).includes(Buffer.from('cf21ad74e59a6111', 'hex'));
}
