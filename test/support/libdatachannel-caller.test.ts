import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activeSpans, babble, similarity, slice } from './audio.ts';
import { CallRefused, decodeHeard, LibdatachannelCaller } from './libdatachannel-caller.ts';
import { ReferenceServer } from './reference-server.ts';
import { buildRtp, readRtp } from './rtp.ts';

test('RTP survives the way out and in; RTCP and truncated packets are not taken for it', () => {
  const packet = { payloadType: 111, marker: true, sequenceNumber: 65535, timestamp: 0xffff_fff0, ssrc: 0xdeadbeef };
  const bytes = buildRtp({ ...packet, payload: Buffer.from('opus') });
  assert.deepEqual(readRtp(bytes), { ...packet, payload: Buffer.from('opus') });
  assert.equal(readRtp(bytes.subarray(0, 11)), null);
  assert.equal(readRtp(Buffer.from([0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0])), null);
  const extended = Buffer.concat([bytes.subarray(0, 12), Buffer.from('bede000110aa0000', 'hex'), Buffer.from('opus')]);
  extended[0] |= 0x10;
  assert.equal(readRtp(extended)?.payload.toString(), 'opus');
});

test('a call through libdatachannel exchanges events, hears its own words back and hangs up', { timeout: 20_000 }, async () => {
  const words = babble(1.5, 21);
  await using server = await ReferenceServer.start();
  await using caller = await LibdatachannelCaller.call({ endpoint: `${server.url}/v1/realtime/calls` });
  await caller.events.next('session.created');
  caller.sendEvent({ type: 'session.update', session: { instructions: 'say it back' } });
  const { event } = await caller.events.next('session.updated');
  assert.deepEqual(event['session'], { instructions: 'say it back' });

  const spoken = await caller.speak(words);
  assert.ok(spoken.to - spoken.from > 1000, 'spoken faster than anybody can');
  await caller.hears((heard) => (heard.at(-1)?.at ?? 0) > spoken.to + 200);
  const heard = decodeHeard(caller.heard);
  const match = similarity(words, heard);
  assert.ok(match.found > 0.8, `found ${match.found}`);

  const [first] = activeSpans(heard);
  const arrival = heard.arrivals[Math.floor(first.start / 0.02)];
  assert.ok(arrival >= spoken.from, 'heard before it was said');
  assert.ok(similarity(slice(words, 0, 0.5), slice(heard, first.start + 0.8)).found < 0.25, 'any sound would have done');

  assert.equal(await caller.hangUp(), 200);
  await caller.ended();
  await assert.rejects(caller.events.next('session.updated'), /closed before session.updated came; there were: no events/);
});

test('a refused offer is told with status and body, and leaves nothing open', async () => {
  const body = { error: { type: 'server_error', code: 'server_full', message: 'no room', param: null } };
  await using server = await ReferenceServer.start({ refuse: () => ({ status: 503, body }) });
  await assert.rejects(
    LibdatachannelCaller.call({ endpoint: `${server.url}/v1/realtime/calls` }),
    (error) => error instanceof CallRefused && error.status === 503 && error.body.includes('server_full'),
  );
});
