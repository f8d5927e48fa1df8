import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DtlsCertificate, DtlsEndpoint, formatFingerprint, parseFingerprint } from '../../../src/webrtc/dtls/index.ts';
import type { DtlsEndpointOptions } from '../../../src/webrtc/dtls/index.ts';
import { encodeCertificate } from '../../../src/webrtc/dtls/certificate-messages.ts';
import { encodeUint16List } from '../../../src/webrtc/dtls/extensions.ts';
import { encodeHandshakeFragment } from '../../../src/webrtc/dtls/handshake-fragment.ts';
import { encodeClientHello } from '../../../src/webrtc/dtls/hello-messages.ts';
import type { ClientHello } from '../../../src/webrtc/dtls/hello-messages.ts';
import { clearMessage, clearRecord, dissect, sampleClientHello } from './datagrams.ts';
import { clientCertificate, Pair, pairsOf, serverCertificate, versions } from './pair.ts';
import { seededBytes } from '../../support/random.ts';

const stranger = await DtlsCertificate.generate();

const suites = { '1.2': 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', '1.3': 'TLS_AES_128_GCM_SHA256' } as const;

for (const version of versions) {
  describe(`DTLS ${version}`, () => {
    const newPair = pairsOf(version);

    describe('a handshake without trouble', () => {
      test('gives both sides mirrored SRTP keys and the certificate of the other', () => {
        const pair = newPair().run();
        const client = pair.outcome('client');
        const server = pair.outcome('server');
        assert.equal(client.cipherSuite, suites[version]);
        assert.equal(client.version, version);
        assert.equal(server.version, version);
        assert.equal(server.cipherSuite, client.cipherSuite);
        assert.deepEqual(
          [client.srtp!.localKey, client.srtp!.localSalt, client.srtp!.remoteKey, client.srtp!.remoteSalt],
          [server.srtp!.remoteKey, server.srtp!.remoteSalt, server.srtp!.localKey, server.srtp!.localSalt],
        );
        assert.notDeepEqual(client.srtp!.localKey, client.srtp!.remoteKey);
        assert.deepEqual([client.srtp!.localKey.length, client.srtp!.localSalt.length], [16, 12]);
        assert.deepEqual(Buffer.from(client.peerCertificate), Buffer.from(serverCertificate.der));
        assert.deepEqual(Buffer.from(server.peerCertificate), Buffer.from(clientCertificate.der));
      });

      test('leaves nothing to time out once connected', () => {
        const pair = newPair().run().settle();
        for (const side of [pair.client, pair.server]) {
          const { type, at } = side.poll() as { type: string; at: number };
          assert.deepEqual({ type, at }, { type: 'timeout', at: Number.POSITIVE_INFINITY });
        }
      });

      test('chooses the SRTP profile by the preference of the server', () => {
        const pair = newPair(1, {}, {}, { srtpProfiles: ['AES128_CM_HMAC_SHA1_80', 'AEAD_AES_128_GCM'] }).run();
        assert.equal(pair.outcome('client').srtp!.profile, 'AES128_CM_HMAC_SHA1_80');
        assert.equal(pair.outcome('server').srtp!.localSalt.length, 14);
      });

      test('connects without SRTP when no profile is common, or none is wanted', () => {
        for (const profiles of [[], ['AES128_CM_HMAC_SHA1_80']] as const) {
          const pair = newPair(1, {}, { srtpProfiles: profiles }, { srtpProfiles: ['AEAD_AES_128_GCM'] }).run();
          assert.equal(pair.outcome('client').srtp, null);
          assert.equal(pair.outcome('server').srtp, null);
        }
      });
    });

    describe('application data', () => {
      test('passes both ways, one record in one datagram', () => {
        const pair = newPair().run().settle();
        const before = pair.sent.length;
        pair.client.send(Buffer.from('to server'), pair.now);
        pair.server.send(Buffer.from('to client'), pair.now);
        pair.settle();
        assert.deepEqual(pair.received('server'), ['to server']);
        assert.deepEqual(pair.received('client'), ['to client']);
        assert.equal(pair.sent.length, before + 2);
        assert.equal(dissect(pair.sent.at(-1)!.data).length, 1);
      });

      test('of every length from nothing to a full record arrives whole', () => {
        const pair = newPair().run();
        for (const length of [0, 1, 15, 16, 1200, 16_384]) {
          pair.client.send(new Uint8Array(length).fill(length), pair.now);
          pair.settle();
          assert.equal(pair.received('server').at(-1)!.length, length);
        }
        assert.throws(() => pair.client.send(new Uint8Array(16_385), pair.now), RangeError);
      });

      test('is refused and counted before the handshake is over and after the end', () => {
        const pair = newPair();
        pair.client.send(Buffer.from('too early'), 0);
        assert.equal(pair.client.counters.sendsRefused, 1);
        pair.run().client.close(pair.now);
        pair.client.send(Buffer.from('too late'), pair.now);
        assert.equal(pair.client.counters.sendsRefused, 2);
        pair.settle();
        assert.deepEqual(pair.received('server'), []);
      });
    });

    describe('certificates', () => {
      test('other than the announced one end the handshake of a server with bad_certificate', () => {
        const pair = newPair(1, {}, { certificate: stranger }).run(() => false, 1_000);
        assert.deepEqual(pair.outputs.server, [{ type: 'closed', reason: 'fingerprint-mismatch', alert: 'bad_certificate' }]);
        assert.deepEqual(pair.find('client', 'closed'), { type: 'closed', reason: 'peer-alert', alert: 'bad_certificate' });
      });

      test('other than the announced one end the handshake of a client with bad_certificate', () => {
        const pair = newPair(1, {}, {}, { certificate: stranger }).run(() => false, 1_000);
        assert.deepEqual(pair.outputs.client, [{ type: 'closed', reason: 'fingerprint-mismatch', alert: 'bad_certificate' }]);
        assert.deepEqual(pair.outputs.server, [{ type: 'closed', reason: 'peer-alert', alert: 'bad_certificate' }]);
      });

      test('whose private key somebody else holds end it with decrypt_error', () => {
        const thief = new DtlsCertificate(clientCertificate.der, stranger.privateKey);
        const asClient = newPair(1, {}, { certificate: thief }).run(() => false, 1_000);
        assert.deepEqual(asClient.outputs.server, [{ type: 'closed', reason: 'bad-signature', alert: 'decrypt_error' }]);
        const impostor = new DtlsCertificate(serverCertificate.der, stranger.privateKey);
        const asServer = newPair(1, {}, {}, { certificate: impostor }).run(() => false, 1_000);
        assert.deepEqual(asServer.outputs.client, [{ type: 'closed', reason: 'bad-signature', alert: 'decrypt_error' }]);
      });

      test('that are announced but cannot be read end it with unsupported_certificate', () => {
        const junk = new DtlsCertificate(Buffer.from('no certificate'), clientCertificate.privateKey);
        const pair = newPair(1, {}, { certificate: junk }, { remoteFingerprints: [junk.fingerprint('sha-256')] }).run(() => false, 1_000);
        assert.deepEqual(pair.outputs.server, [{ type: 'closed', reason: 'peer-certificate-unusable', alert: 'unsupported_certificate' }]);
      });

      test('match any fingerprint of the strongest announced algorithm and none of a weaker one', () => {
        const good = clientCertificate.fingerprint('sha-384');
        const wrong = stranger.fingerprint('sha-384');
        const connects = (remoteFingerprints: DtlsEndpointOptions['remoteFingerprints']): boolean =>
          newPair(1, {}, {}, { remoteFingerprints }).run(() => false, 1_000).connected;
        assert.ok(connects([wrong, good]));
        assert.ok(!connects([wrong, clientCertificate.fingerprint('sha-256')]));
        assert.ok(connects([clientCertificate.fingerprint('sha-512'), wrong]));
      });

      test('show the same fingerprint in SDP form', () => {
        const fingerprint = serverCertificate.fingerprint('sha-256');
        const text = formatFingerprint(fingerprint);
        assert.match(text, /^sha-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
        assert.deepEqual(parseFingerprint(text.toLowerCase())?.value, fingerprint.value);
        for (const bad of ['', 'sha-256', 'sha-256 AA:BB', text.replace('256', '1'), text.replace('256', '384'), `${text}:`, text.replace(':', '')]) {
          assert.equal(parseFingerprint(bad), null, bad);
        }
      });
    });

    describe('the end', () => {
      test('of one side reaches the other as peer-close, is answered and is idempotent', () => {
        const pair = newPair().run().settle();
        const before = pair.sent.length;
        pair.client.close(pair.now);
        pair.client.close(pair.now);
        pair.settle();
        pair.server.close(pair.now);
        pair.settle();
        assert.deepEqual(pair.find('client', 'closed'), { type: 'closed', reason: 'local-close' });
        assert.deepEqual(pair.find('server', 'closed'), { type: 'closed', reason: 'peer-close', alert: 'close_notify' });
        assert.deepEqual(pair.sent.slice(before).map((datagram) => datagram.from), ['client', 'server']);
        assert.equal(pair.client.counters.dropped['after-close'], 1);
        assert.deepEqual(pair.client.poll(), { type: 'timeout', at: Number.POSITIVE_INFINITY });
      });

      test('of a server that has heard nothing sends nothing', () => {
        const pair = newPair();
        pair.server.close(0);
        assert.deepEqual(pair.server.poll(), { type: 'closed', reason: 'local-close' });
        assert.equal(pair.server.counters.datagramsSent, 0);
      });

      test('is shown by dump without secrets', () => {
        const pair = newPair().run();
        const dump = pair.server.dump();
        assert.deepEqual(
          { ...dump, counters: dump.counters.flightsRetransmitted },
          {
            role: 'server',
            state: 'connected',
            version,
            cipherSuite: suites[version],
            group: 'x25519',
            srtpProfile: 'AEAD_AES_128_GCM',
            readEpoch: version === '1.2' ? 1 : 3,
            writeEpoch: version === '1.2' ? 1 : 3,
            closeReason: null,
            counters: 0,
          },
        );
      });
    });
  });
}

describe('DTLS 1.2 alone', () => {
  const newPair = pairsOf('1.2');

  test('takes two round trips and four datagrams, the server answering at once', () => {
    const pair = newPair(1, { delay: 50 }).run();
    assert.equal(pair.now, 200);
    assert.deepEqual(pair.sent.map((datagram) => datagram.from), ['client', 'server', 'client', 'server']);
    assert.ok(pair.sent.every((datagram) => datagram.data.length <= 1200));
  });

  test('never writes the downgrade sentinel and never resumes a session', () => {
    const pair = newPair().run();
    const hello = dissect(pair.sent[1].data)[0].fragments[0];
    assert.equal(hello.type, 2);
    assert.ok(!Buffer.from(hello.part).includes('DOWNGRD'));
    assert.equal(hello.part[34], 0);
  });

  test('that are missing end it with handshake_failure', () => {
    const pair = newPair();
    pair.tap = (data, from) => (from === 'client' && pair.sent.length > 2 ? [clearMessage({ type: 11, sequence: 1, body: encodeCertificate([]) }, 50)] : [data]);
    pair.run(() => false, 1_000);
    assert.deepEqual(pair.outputs.server, [{ type: 'closed', reason: 'peer-certificate-missing', alert: 'handshake_failure' }]);
  });
});

describe('a ClientHello of DTLS 1.2 that cannot be served', () => {
  const rows: { name: string; changes?: Partial<ClientHello>; extensions?: [number, Uint8Array | null][]; reason: string; alert: string }[] = [
    { name: 'no suite of ours', changes: { cipherSuites: [0x002f, 0xcca9] }, reason: 'no-common-cipher-suite', alert: 'handshake_failure' },
    { name: 'RSA suites alone', changes: { cipherSuites: [0xc02f] }, reason: 'no-common-cipher-suite', alert: 'handshake_failure' },
    { name: 'DTLS 1.0', changes: { version: 0xfeff }, reason: 'no-common-version', alert: 'protocol_version' },
    { name: 'DTLS 1.3 alone', extensions: [[43, Uint8Array.of(2, 0xfe, 0xfc)]], reason: 'no-common-version', alert: 'protocol_version' },
    { name: 'TLS instead of DTLS', changes: { version: 0x0303 }, reason: 'no-common-version', alert: 'protocol_version' },
    { name: 'no group of ours', extensions: [[10, encodeUint16List([24])]], reason: 'no-common-group', alert: 'handshake_failure' },
    { name: 'no signature scheme of ours', extensions: [[13, encodeUint16List([0x0401])]], reason: 'no-common-signature-scheme', alert: 'handshake_failure' },
    { name: 'no signature schemes at all', extensions: [[13, null]], reason: 'no-common-signature-scheme', alert: 'handshake_failure' },
    { name: 'compression only', changes: { compressionMethods: Uint8Array.of(1) }, reason: 'illegal-parameter', alert: 'illegal_parameter' },
    { name: 'renegotiation', extensions: [[0xff01, Uint8Array.of(1, 9)]], reason: 'insecure-renegotiation', alert: 'handshake_failure' },
  ];
  for (const row of rows) {
    test(`is refused with an alert: ${row.name}`, () => {
      const server = freshServer();
      server.handleDatagram(hello(row.changes, row.extensions), 0);
      const output = server.poll();
      assert.equal(output.type, 'transmit');
      assert.equal(output.type === 'transmit' && output.data.length, 15);
      assert.deepEqual(server.poll(), { type: 'closed', reason: row.reason, alert: row.alert });
    });
  }

  test('does not keep a hello from being served that merely looks unusual', () => {
    const unusual: [Partial<ClientHello>, [number, Uint8Array | null][]][] = [
      [{}, [[43, Uint8Array.of(4, 0xfe, 0xfc, 0xfe, 0xfd)]]],
      [{ version: 0xfefc }, []],
      [{ sessionId: new Uint8Array(32), cookie: new Uint8Array(255) }, []],
      [{ cipherSuites: [0x1301, 0xc02b, 0x00ff], compressionMethods: Uint8Array.of(1, 0) }, []],
      [{}, [[10, null]]],
      [{}, [[0x4a4a, new Uint8Array(9)]]],
    ];
    for (const [changes, extensions] of unusual) {
      const server = freshServer();
      assert.equal(server.handleDatagram(hello(changes, extensions), 0), true);
      assert.equal(server.state, 'handshaking');
      assert.equal(dissect((server.poll() as { data: Uint8Array }).data)[0].fragments[0].type, 2);
    }
  });

  test('of the size and shape of Chromium 156 is answered, though its second piece comes first', () => {
    const extensions: [number, Uint8Array][] = [
      [10, encodeUint16List([0x11ec, 29, 23, 24])],
      [13, encodeUint16List([0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201])],
      [14, Uint8Array.of(0, 6, 0, 1, 0, 8, 0, 7, 0)],
      [43, Uint8Array.of(4, 0xfe, 0xfc, 0xfe, 0xfd)],
      [51, new Uint8Array(2 + 4 + 1216 + 4 + 32)],
    ];
    const cipherSuites = [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0x9c, 0x2f, 0x35];
    const message = { type: 1, sequence: 0, body: encodeClientHello(sampleClientHello({ cipherSuites }, extensions)) };
    const pieces = [encodeHandshakeFragment(message, 0, 875), encodeHandshakeFragment(message, 875, message.body.length - 875)];
    const server = freshServer();
    for (const [sequence, piece] of [...pieces.entries()].toReversed()) {
      const record = clearRecord(22, piece, sequence);
      record.set([0xfe, 0xff], 1);
      assert.equal(server.handleDatagram(record, 0), true);
    }
    const answer = dissect((server.poll() as { data: Uint8Array }).data).map((record) => record.fragments[0]);
    assert.deepEqual(answer.map((fragment) => fragment.type), [2, 11, 12, 13, 14]);
    // X25519 and AEAD_AES_128_GCM, although others are offered in front of them.
    assert.deepEqual([...answer[2].part.subarray(0, 4)], [3, 0, 29, 32]);
    assert.ok(Buffer.from(answer[0].part).includes(Buffer.from([0, 14, 0, 5, 0, 2, 0, 7, 0])));
  });

  function freshServer(): DtlsEndpoint {
    return new DtlsEndpoint({
      role: 'server',
      certificate: serverCertificate,
      remoteFingerprints: [clientCertificate.fingerprint('sha-256')],
      srtpProfiles: ['AEAD_AES_128_GCM'],
      versions: ['1.2'],
      random: seededBytes(1),
      now: 0,
    });
  }

  function hello(changes: Partial<ClientHello> = {}, extensions: [number, Uint8Array | null][] = []): Uint8Array {
    return clearMessage({ type: 1, sequence: 0, body: encodeClientHello(sampleClientHello(changes, extensions)) }, 0);
  }
});

test('options that cannot work are refused when they are given', () => {
  assert.throws(() => new Pair(1, {}, { mtu: 95 }), RangeError);
  assert.throws(() => new Pair(1, {}, { remoteFingerprints: [] }), RangeError);
  assert.throws(() => new Pair(1, {}, { versions: [] }), RangeError);
  assert.throws(() => new Pair(1, {}, { groups: [] }), RangeError);
  assert.throws(() => (new Pair().client.mtu = 95), RangeError);
});
