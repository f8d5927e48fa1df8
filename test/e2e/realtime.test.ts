import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { startDev } from '../support/earshot-process.ts';
import { LibdatachannelCaller } from '../support/libdatachannel-caller.ts';
import { RealtimeServer } from '../support/realtime-server.ts';
import { follow } from './sideband.ts';
import { utterance } from './voices.ts';

const KEY = 'sk-upstream';

test('a call is bridged to a Realtime server, and observers steer it until it ends', { timeout: 60_000 }, async () => {
  await using server = await RealtimeServer.start(KEY);
  const connected = server.connected();
  await using dev = await startDev(['--agent', 'realtime', '--upstream', server.url], { EARSHOT_UPSTREAM_KEY: KEY });
  await using caller = await LibdatachannelCaller.call({ endpoint: dev.endpoint });
  const upstream = await connected;
  await caller.events.next('session.created');
  const observers = [follow(dev.url, caller.location), follow(dev.url, caller.location)];
  for (const { events } of observers) {
    const { event } = await events.next('session.created');
    assert.equal((event['session'] as { id: string }).id, 'sess_upstream');
  }

  observers[0].socket.send('{"type":"session.update","session":{"type":"realtime","instructions":"Be brief."}}');
  for (const { events } of [...observers, caller]) {
    const { event } = await events.next('session.updated');
    assert.equal((event['session'] as { instructions: string }).instructions, 'Be brief.');
  }

  await caller.speak(await utterance('hello'));
  assert.ok(upstream.audio > 12_000, `${upstream.audio} samples reached the server`);
  upstream.say('1', 500);
  await caller.events.next('output_audio_buffer.started');
  await caller.events.next('output_audio_buffer.stopped');
  await observers[1].events.seen('output_audio_buffer.stopped');

  const closed = observers.map(({ socket }) => once(socket, 'close'));
  const hangup = await fetch(`${dev.endpoint}/${caller.location.split('/').at(-1)}/hangup`, { method: 'POST' });
  assert.equal(hangup.status, 200);
  for (const [code] of (await Promise.all(closed)) as [number][]) assert.equal(code, 1000);
});

test('a call that lasts too long is told so and ends', { timeout: 60_000 }, async () => {
  await using dev = await startDev(['--agent', 'parrot', '--max-duration', '1s']);
  await using caller = await LibdatachannelCaller.call({ endpoint: dev.endpoint });
  const { event } = await caller.events.next('error');
  assert.equal((event['error'] as { code: string }).code, 'session_expired');
  await caller.ended();
});
