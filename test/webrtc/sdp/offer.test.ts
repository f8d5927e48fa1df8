import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnswer } from '../../../src/webrtc/sdp/answer.ts';
import { parseAnswer } from '../../../src/webrtc/sdp/client.ts';
import { parseOffer } from '../../../src/webrtc/sdp/offer.ts';
import { LOCAL, OFFERS, offer } from './fixtures.ts';

/** [mids in the bundle, audio: payload type, extension ids, feedback, form of the data section and its limit] */
const EXPECTED: Readonly<Record<string, readonly [string, string | null, string | null]>> = {
  'chromium-audio': ['0', '111 mid=4 level=1 cc=3 transport-cc sendrecv', null],
  'chromium-audio-data': ['0 1', '111 mid=4 level=1 cc=3 transport-cc sendrecv', 'modern 5000 262144'],
  'chromium-audio-video-data': ['0 2', '111 mid=4 level=1 cc=3 transport-cc sendrecv', 'modern 5000 262144'],
  'chromium-video-audio-data': ['1 2', '111 mid=9 level=14 cc=4 transport-cc sendrecv', 'modern 5000 262144'],
  'chromium-recvonly-audio-data': ['0 1', '111 mid=4 level=1 cc=3 transport-cc sendonly', 'modern 5000 262144'],
  'chromium-two-audio': ['0 2', '111 mid=4 level=1 cc=3 transport-cc sendrecv', 'modern 5000 262144'],
  'chromium-data': ['0', null, 'modern 5000 262144'],
  'chromium-data-gathered': ['0', null, 'modern 5000 262144'],
  'firefox-audio-data': ['0 1', '109 mid=3 level=1 cc=7 transport-cc sendrecv', 'modern 5000 1073741823'],
  'firefox-audio-video-bundle-only': ['0 2', '109 mid=3 level=null cc=null sendrecv', 'modern 5000 1073741823'],
  'safari-audio-data': ['0 1', '111 mid=4 level=1 cc=3 transport-cc sendrecv', 'modern 5000 65536'],
  'pion-audio-data': ['0 1', '111 mid=null level=null cc=1 transport-cc sendrecv', 'modern 5000 1073741823'],
  'aiortc-audio-data': ['0 1', '96 mid=1 level=2 cc=null sendrecv', 'legacy 5000 65536'],
  'gstreamer-audio-data': ['audio0 application1', '97 mid=null level=null cc=1 nack transport-cc sendrecv', 'modern 5000 65536'],
  'libdatachannel-audio-data': ['audio 0', '111 mid=null level=null cc=null sendrecv', 'modern 5000 262144'],
  'libdatachannel-audio-video-data': ['audio 0', '111 mid=null level=null cc=null sendrecv', 'modern 5000 262144'],
  'libdatachannel-data': ['0', null, 'modern 5000 262144'],
};

test('every client: what is negotiated', () => {
  assert.deepEqual([...OFFERS.keys()].sort(), Object.keys(EXPECTED).sort());
  for (const [name, text] of OFFERS) {
    const { audio, data, ...common } = parseOffer(text).negotiated;
    const audioText = audio && [
      audio.payloadType,
      `mid=${audio.extensions.mid}`,
      `level=${audio.extensions.audioLevel}`,
      `cc=${audio.extensions.transportCc}`,
      ...(audio.feedback.nack ? ['nack'] : []),
      ...(audio.feedback.transportCc ? ['transport-cc'] : []),
      audio.direction,
    ].join(' ');
    const dataText = data && `${data.form} ${data.sctpPort} ${data.maxMessageSize}`;
    assert.deepEqual([common.bundleMids.join(' '), audioText, dataText], EXPECTED[name], name);
    assert.equal(common.remoteSetup, 'actpass', name);
    assert.equal(common.localSetup, 'passive', name);
    assert.equal(audio?.channels ?? 2, 2, name);
  }
});

test('every client: an answer has the sections of the offer in order, with one transport', () => {
  for (const [name, text] of OFFERS) {
    const parsed = parseOffer(text);
    const answer = createAnswer(parsed, LOCAL);
    assert.ok(answer.endsWith('\r\n') && !/[^\r]\n/.test(answer), name);
    const offered = text.match(/^m=\w+/gm)!;
    const answered = answer.match(/^m=\w+ \d+/gm)!;
    assert.deepEqual(answered.map((line) => line.split(' ')[0]), offered, name);
    const ports = answered.map((line) => Number(line.split(' ')[1]));
    assert.deepEqual(ports, parsed.sections.map(({ use }) => (use === 'rejected' ? 0 : 3478)), name);
    assert.deepEqual(answer.match(/^a=mid:.*$/gm), text.match(/^a=mid:.*(?=\r)/gm), name);
    assert.equal(answer.match(/^a=candidate:/gm)?.length, 1, name);
    assert.equal(answer.match(/^a=end-of-candidates/gm)?.length, 1, name);
    assert.equal(answer.match(/^a=ice-lite/gm)?.length, 1, name);

    const read = parseAnswer(answer);
    assert.ok(read.iceLite);
    assert.deepEqual(read.candidates.map(({ address }) => address), LOCAL.candidates.map(({ address }) => address), name);
    assert.deepEqual(read.negotiated.bundleMids, parsed.negotiated.bundleMids, name);
    assert.deepEqual(read.negotiated.fingerprints, [LOCAL.fingerprint], name);
    assert.equal(read.negotiated.audio?.payloadType, parsed.negotiated.audio?.payloadType, name);
    assert.equal(read.negotiated.data?.form, parsed.negotiated.data?.form, name);
  }
});

test('the answer to Chromium, word for word', () => {
  const answer = createAnswer(parseOffer(offer('chromium-video-audio-data')), LOCAL);
  const fingerprint = Array.from({ length: 32 }, (_, i) => (i * 8).toString(16).padStart(2, '0').toUpperCase()).join(':');
  const transport = `a=ice-ufrag:EoQ2yX0aB1cD3eF5gH7iJ9k
a=ice-pwd:serverPassword+serverPas
a=fingerprint:sha-256 ${fingerprint}
a=setup:passive`;
  assert.equal(
    answer.replaceAll('\r\n', '\n'),
    `v=0
o=- 4611686018427387904 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 1 2
a=ice-lite
a=ice-options:ice2
m=video 0 UDP/TLS/RTP/SAVPF 96 97 102 103 104 107 108 109 114 115 116 117 39 40 45 46 98 99 100 101 118 119 120
c=IN IP4 0.0.0.0
a=mid:0
a=inactive
m=audio 3478 UDP/TLS/RTP/SAVPF 111
c=IN IP4 127.0.0.1
a=candidate:1 1 udp 2130706431 127.0.0.1 3478 typ host
a=end-of-candidates
${transport}
a=mid:1
a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap-allow-mixed
a=sendrecv
a=msid:agent voice
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=ssrc:305419896 cname:earshot
a=ssrc:305419896 msid:agent voice
m=application 3478 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 127.0.0.1
${transport}
a=mid:2
a=sctp-port:5000
a=max-message-size:262144
`,
  );
});

test('aiortc: the first section of the bundle gives the ICE credentials, and the old data form is answered in kind', () => {
  const parsed = parseOffer(offer('aiortc-audio-data'));
  assert.equal(parsed.negotiated.ice.ufrag, 'Qz4k');
  assert.deepEqual(parsed.negotiated.fingerprints.map(({ algorithm, value }) => `${algorithm} ${value.length}`), [
    'sha-256 32',
    'sha-384 48',
    'sha-512 64',
  ]);
  const answer = createAnswer(parsed, LOCAL);
  assert.match(answer, /^m=application 3478 DTLS\/SCTP 5000\r$/m);
  assert.match(answer, /^a=sctpmap:5000 webrtc-datachannel 65535\r$/m);
  assert.doesNotMatch(answer, /sctp-port/);
});

test('a bundle whose first section is not ours takes its transport from the first that is', () => {
  const text = offer('chromium-video-audio-data').replace(/ice-ufrag:\S+/, 'ice-ufrag:VIDEO');
  assert.notEqual(parseOffer(text).negotiated.ice.ufrag, 'VIDEO');
});

test('a bundle-only section without a transport of its own uses that of the section it is bundled with', () => {
  const text = offer('firefox-audio-video-bundle-only').replace('109 101', '0 101').replaceAll(':109 ', ':0 ');
  const withoutOpus = text.replace('opus/48000', 'PCMU/8000');
  const { negotiated } = parseOffer(withoutOpus);
  assert.equal(negotiated.audio, null);
  assert.equal(negotiated.data?.mid, '2');
  assert.equal(negotiated.ice.ufrag, '3f0c7f8b');
});

test('directions are mirrored, and what we do not send has no stream', () => {
  for (const [offered, ours] of [
    ['sendrecv', 'sendrecv'],
    ['sendonly', 'recvonly'],
    ['recvonly', 'sendonly'],
    ['inactive', 'inactive'],
  ] as const) {
    const parsed = parseOffer(offer('chromium-audio').replace('a=sendrecv', `a=${offered}`));
    assert.equal(parsed.negotiated.audio?.direction, ours);
    const answer = createAnswer(parsed, LOCAL);
    assert.match(answer, new RegExp(`^a=${ours}\r$`, 'm'));
    assert.equal(/a=ssrc|a=msid/.test(answer), ours.startsWith('send'), offered);
  }
});

test('setup, fingerprint, ICE and direction may stand at session level', () => {
  let text = offer('chromium-audio');
  const moved = ['setup', 'fingerprint', 'ice-ufrag', 'ice-pwd'].map((name) => {
    const line = new RegExp(`^a=${name}:.*\r\n`, 'm').exec(text)![0];
    text = text.replace(line, '');
    return line;
  });
  text = text.replace('a=sendrecv\r\n', '').replace('m=audio', `${moved.join('')}a=recvonly\r\nm=audio`);
  const { negotiated } = parseOffer(text);
  assert.deepEqual({ ...negotiated, audio: null }, { ...parseOffer(offer('chromium-audio')).negotiated, audio: null });
  assert.equal(negotiated.audio?.direction, 'sendonly');
});

test('setup decides who is the DTLS server', () => {
  for (const [line, remote, local] of [
    ['a=setup:active\r\n', 'active', 'passive'],
    ['a=setup:passive\r\n', 'passive', 'active'],
    ['', 'active', 'passive'],
  ] as const) {
    const parsed = parseOffer(offer('chromium-audio').replace('a=setup:actpass\r\n', line));
    assert.equal(parsed.negotiated.remoteSetup, remote);
    assert.equal(parsed.negotiated.localSetup, local);
    assert.match(createAnswer(parsed, LOCAL), new RegExp(`^a=setup:${local}\r$`, 'm'));
  }
});

test('ICE options are read whole, parted by spaces or commas: one of them switches the handshake in STUN on', () => {
  const text = offer('chromium-audio').replace('a=ice-options:trickle', 'a=ice-options:trickle sped googspedv1');
  assert.deepEqual(parseOffer(text).negotiated.ice.options, ['trickle', 'sped', 'googspedv1']);
  assert.deepEqual(parseOffer(offer('libdatachannel-data')).negotiated.ice.options, ['ice2', 'trickle']);
});

test('values that look like numbers stay text', () => {
  const text = offer('chromium-audio')
    .replace(/ice-ufrag:\S+/, 'ice-ufrag:0001')
    .replace(/ice-pwd:\S+/, 'ice-pwd:1234567890123456789012');
  const { ice, bundleMids } = parseOffer(text).negotiated;
  assert.equal(ice.ufrag, '0001');
  assert.equal(ice.password, '1234567890123456789012');
  assert.deepEqual(bundleMids, ['0']);
});

test('data channel limits: 0 is no limit, nothing said is 64 KiB', () => {
  const text = offer('chromium-data');
  const limit = (line: string) => parseOffer(text.replace('a=max-message-size:262144\r\n', line)).negotiated.data?.maxMessageSize;
  assert.equal(limit('a=max-message-size:0\r\n'), Infinity);
  assert.equal(limit('a=max-message-size:1000\r\n'), 1000);
  assert.equal(limit(''), 65_536);
});

test('RED is taken only when it is asked for, and is then our first choice', () => {
  const text = offer('chromium-audio');
  assert.equal(parseOffer(text).negotiated.audio?.redPayloadType, null);
  const parsed = parseOffer(text, { red: true });
  assert.equal(parsed.negotiated.audio?.redPayloadType, 63);
  const answer = createAnswer(parsed, LOCAL);
  assert.match(answer, /^m=audio 3478 UDP\/TLS\/RTP\/SAVPF 63 111\r$/m);
  assert.match(answer, /^a=fmtp:63 111\/111\r$/m);
  assert.equal(parseOffer(text.replace('111/111', '9/9'), { red: true }).negotiated.audio?.redPayloadType, null);
});

test('Opus parameters of the offer are read with or without spaces', () => {
  const { opus } = parseOffer(
    offer('chromium-audio').replace('minptime=10;useinbandfec=1', 'minptime=20; useinbandfec=0; stereo=1;maxaveragebitrate=32000'),
  ).negotiated.audio!;
  assert.deepEqual(opus, {
    useInbandFec: false,
    useDtx: false,
    stereo: true,
    cbr: false,
    minPtime: 20,
    maxAverageBitrate: 32_000,
    maxPlaybackRate: null,
  });
});

test('header extensions that are one-way, encrypted or beyond the one-byte form are left alone', () => {
  const change = (replacement: string) =>
    parseOffer(offer('chromium-audio').replace('a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid', replacement)).negotiated.audio?.extensions.mid;
  assert.equal(change('a=extmap:14 urn:ietf:params:rtp-hdrext:sdes:mid'), 14);
  assert.equal(change('a=extmap:15 urn:ietf:params:rtp-hdrext:sdes:mid'), null);
  assert.equal(change('a=extmap:4/recvonly urn:ietf:params:rtp-hdrext:sdes:mid'), null);
  assert.equal(change('a=extmap:4 urn:ietf:params:rtp-hdrext:encrypt urn:ietf:params:rtp-hdrext:sdes:mid'), null);
});

test('IPv6 alone and both families: the default address is one of the candidates', () => {
  const v6 = { address: { family: 6, ip: new Uint8Array(16).fill(1), port: 5 } } as const;
  const parsed = parseOffer(offer('chromium-audio'));
  assert.match(createAnswer(parsed, { ...LOCAL, candidates: [v6] }), /^c=IN IP6 101:101:101:101:101:101:101:101\r$/m);
  const both = createAnswer(parsed, { ...LOCAL, candidates: [v6, ...LOCAL.candidates] });
  assert.match(both, /^c=IN IP4 127.0.0.1\r$/m);
  const priorities = [...both.matchAll(/^a=candidate:\d 1 udp (\d+)/gm)].map((match) => Number(match[1]));
  assert.ok(priorities[0] > priorities[1]);
});
