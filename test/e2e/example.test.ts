import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { startDev } from '../support/earshot-process.ts';
import { LibdatachannelCaller } from '../support/libdatachannel-caller.ts';
import { PROJECT } from '../support/paths.ts';
import { utterance } from './voices.ts';

test('the example agent greets a caller, counts what was said, and hears of an interruption', { timeout: 60_000 }, async () => {
  const hello = await utterance('hello');
  await using dev = await startDev(['--agent', path.join(PROJECT, 'examples/tone-agent.js')]);
  await using caller = await LibdatachannelCaller.call({ endpoint: dev.endpoint });
  await caller.events.next('output_audio_buffer.started');
  await caller.events.next('output_audio_buffer.stopped');
  await caller.speak(hello);
  const { event } = await caller.events.next('tone.counted');
  assert.equal(typeof event['seconds'], 'number');
  caller.sendEvent({ type: 'response.cancel' });
  const { event: interrupted } = await caller.events.next('tone.interrupted');
  assert.equal(typeof interrupted['heard_ms'], 'number');
});
