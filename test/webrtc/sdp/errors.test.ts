import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SdpError, type SdpErrorCode } from '../../../src/webrtc/sdp/error.ts';
import { MAX_MEDIA_SECTIONS, MAX_SDP_LENGTH, MAX_SDP_LINE_LENGTH, MAX_SDP_LINES } from '../../../src/webrtc/sdp/lines.ts';
import { parseOffer } from '../../../src/webrtc/sdp/offer.ts';
import { offer } from './fixtures.ts';

function failure(text: string): SdpError {
  try {
    parseOffer(text);
  } catch (error) {
    assert.ok(error instanceof SdpError, String(error));
    return error;
  }
  return assert.fail('the offer was taken');
}

const AUDIO = offer('chromium-audio');
const BOTH = offer('chromium-audio-data');
const DATA = offer('chromium-data');

/** Name, offer, code, beginning of the line that is named, what the message has to say. */
const CASES: readonly (readonly [string, string, SdpErrorCode, string | null, RegExp])[] = [
  ['empty body', '', 'not-sdp', null, /empty; expected an SDP offer/],
  ['JSON', '{"sdp":"v=0"}', 'malformed-line', '{"sdp', /^line 1: not a line of SDP/],
  ['no v=', AUDIO.replace('v=0\r\n', ''), 'not-sdp', 'o=-', /begins with v=0/],
  ['binary', 'v=0\r\na=x:\u0001\r\n', 'malformed-line', 'a=x', /^line 2: /],
  ['no m= line', BOTH.slice(0, BOTH.indexOf('m=')), 'no-usable-media', null, /has no m= line/],
  ['video only', AUDIO.replace('m=audio', 'm=video'), 'no-usable-media', 'm=video', /^line \d+: m=video: only audio with Opus/],
  ['no Opus', AUDIO.replace('opus/48000/2', 'iLBC/8000'), 'no-usable-media', 'm=audio', /no Opus.*opus\/48000\/2/],
  ['Opus not listed in m=', AUDIO.replace('SAVPF 111 ', 'SAVPF '), 'no-usable-media', 'm=audio', /no Opus/],
  ['plain RTP', AUDIO.replace('UDP/TLS/RTP/SAVPF', 'RTP/AVP'), 'no-usable-media', 'm=audio', /RTP\/AVP is not supported; use UDP\/TLS\/RTP\/SAVPF/],
  ['turned off', AUDIO.replace('m=audio 9', 'm=audio 0'), 'no-usable-media', 'm=audio', /port 0/],
  ['fax', DATA.replace('UDP/DTLS/SCTP webrtc-datachannel', 'udptl t38'), 'no-usable-media', 'm=application', /not a data channel/],
  ['m= without formats', AUDIO.replace(/m=audio.*\r/, 'm=audio 9\r'), 'malformed-line', 'm=audio 9', /expected m=<media>/],
  ['no rtcp-mux', AUDIO.replace('a=rtcp-mux\r\n', ''), 'rtcp-mux-required', 'm=audio', /a=rtcp-mux is missing/],
  ['no bundle', BOTH.replace(/a=group.*\r\n/, ''), 'bundle-required', 'm=application', /a=group:BUNDLE/],
  ['half a bundle', BOTH.replace('BUNDLE 0 1', 'BUNDLE 0'), 'bundle-required', 'm=application', /share one transport/],
  ['another kind of group', BOTH.replace('group:BUNDLE', 'group:LS'), 'bundle-required', 'm=application', /a=group:BUNDLE/],
  ['mid twice', BOTH.replace('a=mid:1', 'a=mid:0'), 'malformed-line', 'm=application', /another section has mid 0/],
  ['mid with a space', AUDIO.replace('a=mid:0', 'a=mid:0 0'), 'malformed-line', 'a=mid', /one token/],
  ['no ufrag', AUDIO.replace(/a=ice-ufrag.*\r\n/, ''), 'missing-ice', 'm=audio', /a=ice-ufrag is missing/],
  ['no password', AUDIO.replace(/a=ice-pwd.*\r\n/, ''), 'missing-ice', 'm=audio', /a=ice-pwd is missing/],
  ['short ufrag', AUDIO.replace(/a=ice-ufrag.*\r/, 'a=ice-ufrag:abc\r'), 'invalid-ice', 'a=ice-ufrag', /4 to 256/],
  ['short password', AUDIO.replace(/a=ice-pwd.*\r/, 'a=ice-pwd:abc\r'), 'invalid-ice', 'a=ice-pwd', /22 to 256/],
  ['lite client', AUDIO.replace('t=0 0', 't=0 0\r\na=ice-lite'), 'ice-lite-peer', 'a=ice-lite', /two lite agents/],
  ['no fingerprint', AUDIO.replace(/a=fingerprint.*\r\n/, ''), 'missing-fingerprint', 'm=audio', /a=fingerprint is missing/],
  [
    'md5',
    AUDIO.replace(/a=fingerprint.*\r/, 'a=fingerprint:MD5 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r'),
    'unsupported-fingerprint',
    'a=fingerprint',
    /^line \d+: a=fingerprint: hash algorithm md5 is not supported; use sha-256$/,
  ],
  ['prototype name', AUDIO.replace('sha-256 ', 'constructor '), 'unsupported-fingerprint', 'a=fingerprint', /constructor/],
  ['cut fingerprint', AUDIO.replace(/(a=fingerprint:sha-256 ..:..).*\r/, '$1\r'), 'invalid-fingerprint', 'a=fingerprint', /has 32 bytes, this value has 2/],
  ['no hex', AUDIO.replace(/a=fingerprint:sha-256 ../, 'a=fingerprint:sha-256 XX'), 'invalid-fingerprint', 'a=fingerprint', /hex pairs/],
  ['holdconn', AUDIO.replace('setup:actpass', 'setup:holdconn'), 'invalid-setup', 'a=setup', /expected actpass, active or passive/],
  ['too long', AUDIO + 'a=x:y\r\n'.repeat(MAX_SDP_LENGTH / 7), 'too-large', null, /characters/],
  ['too many lines', `v=0\n${'a=x\n'.repeat(MAX_SDP_LINES)}`, 'too-large', null, /more than 2000 lines/],
  ['a line too long', `v=0\na=${'x'.repeat(MAX_SDP_LINE_LENGTH)}`, 'too-large', 'a=x', /^line 2: /],
  ['too many sections', `v=0\n${'m=video 9 X 1\n'.repeat(MAX_MEDIA_SECTIONS + 1)}`, 'too-large', 'm=video', /^line 34: m=video: more than 32/],
];

for (const [name, text, code, line, message] of CASES) {
  test(`an offer with this fault is refused in words that help: ${name}`, () => {
    const error = failure(text);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    if (line === null) {
      assert.equal(error.line, null);
      return;
    }
    const lines = text.split(/\r?\n/);
    assert.ok(lines[error.line! - 1].startsWith(line), `line ${error.line} is ${lines[error.line! - 1]}`);
    assert.equal(error.text, lines[error.line! - 1].slice(0, 200));
    assert.ok(error.message.startsWith(`line ${error.line}: `));
    assert.ok(error.message.length < 500);
  });
}

test('an unknown algorithm beside a known one is no fault', () => {
  const text = AUDIO.replace('a=fingerprint', 'a=fingerprint:md5 00:11\r\na=fingerprint');
  assert.equal(parseOffer(text).negotiated.fingerprints.length, 1);
});
