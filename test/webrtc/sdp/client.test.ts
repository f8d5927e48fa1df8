import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createAnswer } from '../../../src/webrtc/sdp/answer.ts';
import { createOffer, parseAnswer } from '../../../src/webrtc/sdp/client.ts';
import { SdpError } from '../../../src/webrtc/sdp/error.ts';
import { createFragment, parseFragment } from '../../../src/webrtc/sdp/fragment.ts';
import { parseOffer } from '../../../src/webrtc/sdp/offer.ts';
import { formatAddress, parseAddress } from '../../../src/wire/address.ts';
import { LOCAL, offer } from './fixtures.ts';

const CLIENT = { ...LOCAL, ufrag: 'client', password: 'clientPassword+clientPassword', ssrc: 77, candidates: [] };

const iceText = (minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...'abcXYZ0189+/'.split('')), minLength, maxLength });

test('our client and our server agree, whatever the credentials, directions and addresses', () => {
  const address = fc.record({
    ip: fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      // Not ::ffff:0:0/96, which is IPv4 in disguise.
      fc.uint8Array({ minLength: 16, maxLength: 16 }).map((ip) => ip.with(0, 0x20)),
    ),
    port: fc.integer({ min: 1, max: 65_535 }),
  });
  const directions = ['sendrecv', 'sendonly', 'recvonly', 'inactive'] as const;
  fc.assert(
    fc.property(
      iceText(4, 256),
      iceText(22, 256),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.constantFrom(...directions, null),
      fc.boolean(),
      fc.uniqueArray(address, { maxLength: 4, selector: ({ ip, port }) => `${ip.join()} ${port}` }),
      (ufrag, password, value, direction, data, addresses) => {
        fc.pre(direction !== null || data);
        const own = { ufrag, password, fingerprint: { algorithm: 'sha-256', value } } as const;
        const candidates = addresses.map(({ ip, port }) => ({ address: { family: ip.length === 4 ? 4 : 6, ip, port } as const }));
        const text = createOffer({ ...CLIENT, ...own, audio: direction && { ...CLIENT, direction }, data: data ? { init: null } : null });
        const parsed = parseOffer(text);
        assert.deepEqual(parsed.negotiated.ice, { ufrag, password, options: ['ice2'] });
        assert.deepEqual(parsed.negotiated.fingerprints, [own.fingerprint]);
        assert.equal(parsed.negotiated.audio?.remoteSsrc ?? null, direction?.startsWith('send') ? 77 : null);

        const answer = parseAnswer(createAnswer(parsed, { ...LOCAL, ...own, candidates }));
        assert.deepEqual(answer.candidates.map((candidate) => formatAddress(candidate.address)), candidates.map((c) => formatAddress(c.address)));
        assert.equal(answer.negotiated.remoteSetup, 'passive');
        assert.equal(answer.negotiated.localSetup, 'active');
        assert.equal(answer.negotiated.audio?.direction ?? null, direction);
        assert.equal(answer.negotiated.data !== null, data);
        assert.deepEqual(answer.negotiated.audio?.extensions, parsed.negotiated.audio?.extensions);
        assert.deepEqual(answer.negotiated.bundleMids, parsed.negotiated.bundleMids);
      },
    ),
    { seed: 5, numRuns: 300 },
  );
});

test('an answer that takes nothing, or does not choose its DTLS role, is refused', () => {
  const answer = createAnswer(parseOffer(offer('chromium-audio')), LOCAL);
  const code = (text: string): string => {
    try {
      parseAnswer(text);
    } catch (error) {
      assert.ok(error instanceof SdpError);
      return error.code;
    }
    return 'taken';
  };
  assert.equal(code(answer), 'taken');
  assert.equal(code(answer.replace('m=audio 3478', 'm=audio 0')), 'no-usable-media');
  assert.equal(code(answer.replace('setup:passive', 'setup:actpass')), 'invalid-setup');
});

test('candidates that cannot be used are passed over: TCP, RTCP, names, port 0', () => {
  const answer = createAnswer(parseOffer(offer('chromium-audio')), LOCAL).replace(
    /a=candidate.*\r\n/,
    [
      'a=candidate:1 1 tcp 100 192.0.2.1 9 typ host tcptype active',
      'a=candidate:2 2 udp 100 192.0.2.2 9 typ host',
      'a=candidate:3 1 udp 100 0b0d9a1e-6d4e-4a6b-8a2f-2f6f9f0c8c11.local 9 typ host',
      'a=candidate:4 1 udp 100 192.0.2.4 0 typ host',
      'a=candidate:5 1 UDP 100 192.0.2.5 9 typ srflx raddr 10.0.0.1 rport 9',
      'a=candidate:6 1 udp 200 2001:db8::6 9 typ host',
      '',
    ].join('\r\n'),
  );
  assert.deepEqual(parseAnswer(answer).candidates.map(({ address }) => formatAddress(address)), ['[2001:db8::6]:9', '192.0.2.5:9']);
});

test('a restart fragment comes through', () => {
  const text = createFragment({
    ufrag: 'abcd',
    password: 'p'.repeat(24),
    candidates: [{ address: parseAddress('192.0.2.1:3478') }],
    bundleMids: ['0', '1'],
    media: 'audio',
    mid: '0',
    iceLite: true,
  });
  assert.match(text, /^a=ice-lite\r\na=group:BUNDLE 0 1\r\nm=audio 9 /);
  const fragment = parseFragment(text);
  assert.deepEqual(fragment.ice, { ufrag: 'abcd', password: 'p'.repeat(24), options: [] });
  assert.equal(formatAddress(fragment.candidates[0].address), '192.0.2.1:3478');
  assert.deepEqual([fragment.endOfCandidates, fragment.mids], [true, ['0']]);
});

test('fragments of WHIP clients: credentials before or in the section, candidates alone, half a pair', () => {
  const candidate = 'a=candidate:1 1 udp 2130706431 192.0.2.9 4444 typ host\r\n';
  const session = parseFragment(`a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n${candidate}`);
  assert.equal(session.ice?.ufrag, 'EsAw');
  assert.equal(session.candidates.length, 1);
  assert.ok(!session.endOfCandidates);
  const bare = parseFragment(`m=audio 9 RTP/AVP 0\r\na=mid:0\r\n${candidate}a=end-of-candidates\r\n`);
  assert.equal(bare.ice, null);
  assert.ok(bare.endOfCandidates);
  assert.throws(() => parseFragment('a=ice-ufrag:EsAw\r\n'), { code: 'missing-ice' });
  assert.throws(() => parseFragment('m=audio 9 RTP/AVP 0\r\na=ice-ufrag:EsAw\r\n'), { code: 'missing-ice', line: 1 });
  assert.throws(() => parseFragment(''), { code: 'not-sdp' });
  assert.throws(() => parseFragment('hello'), { code: 'malformed-line', line: 1 });
});
