import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parrot } from '../../src/agents/parrot.ts';
import type { Dialect, Notice } from '../../src/conversation/dialect.ts';
import { encodeWav, padded, readWav } from '../media/wav.ts';
import { TestCall } from './harness.ts';

/** As little as a dialect can be: the names of notices out, one command in. */
class Terse implements Dialect {
  read(text: string): ReturnType<Dialect['read']> {
    const event = { type: text };
    if (text === 'stop') return { type: 'message', command: { type: 'cancel_response', responseId: null }, event, eventId: null };
    return { type: 'fault', kind: 'invalid_request_error', code: 'unknown_event', message: text, param: null, eventId: null };
  }

  readEnvelope(text: string): ReturnType<Dialect['readEnvelope']> {
    return { type: 'message', event: { type: text }, eventId: null };
  }

  write(notice: Notice): string[] {
    return [JSON.stringify({ type: notice.type })];
  }
}

test('a conversation speaks any dialect that it is given', async () => {
  const call = await new TestCall(parrot, {}, () => new Terse()).start();
  await call.say(encodeWav(padded(readWav('hello.wav'), 200, 900)));
  assert.deepEqual(call.types().slice(0, 5), ['session_created', 'speech_started', 'speech_stopped', 'input_committed', 'item_added']);
  assert.ok(call.types().includes('output_started'));
  call.conversation.handleEvent('stop', call.now);
  assert.ok(call.types().includes('output_cleared'));
  call.conversation.handleEvent('nonsense', call.now);
  assert.equal(call.types().at(-1), 'error');
});
