import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Agent, AgentCall, AgentResponse } from '../../src/agents/agent.ts';
import { parrot } from '../../src/agents/parrot.ts';
import { encodeWav, padded, readWav } from '../media/wav.ts';
import { seededRandom } from '../support/random.ts';
import { type SentEvent, TestCall } from './harness.ts';

const speech = encodeWav(padded(readWav('interrupt.wav'), 200, 900));

/** Says one second when asked, and hands out what it was given. */
function speaker(ms = 1000): Omit<Agent, 'format'> & { format: Agent['format']; call: AgentCall; responses: AgentResponse[] } {
  const agent = {
    name: 'speaker',
    format: { codec: 'pcm16', rate: 8000 } as Agent['format'],
    call: undefined as unknown as AgentCall,
    responses: [] as AgentResponse[],
    open(call: AgentCall) {
      agent.call = call;
      return {
        answer(response: AgentResponse) {
          agent.responses.push(response);
          response.play(new Int16Array(8 * ms).fill(1000));
        },
      };
    },
  };
  return agent;
}

test('the session is created with defaults, under the agent as model', async () => {
  const call = await new TestCall(parrot, { instructions: 'Be a bird.', audio: { output: { voice: 'polly' } } }).start();
  const { session } = call.find('session.created') as unknown as { session: Record<string, unknown> };
  assert.deepEqual(session, {
    type: 'realtime',
    object: 'realtime.session',
    id: session['id'],
    model: 'parrot',
    output_modalities: ['audio'],
    instructions: 'Be a bird.',
    tools: [],
    tool_choice: 'auto',
    max_output_tokens: 'inf',
    tracing: null,
    truncation: 'auto',
    prompt: null,
    include: null,
    audio: {
      input: {
        format: { type: 'audio/pcm', rate: 24_000 },
        transcription: null,
        noise_reduction: null,
        turn_detection: {
          type: 'server_vad',
          threshold: 0.5,
          prefix_padding_ms: 300,
          silence_duration_ms: 500,
          idle_timeout_ms: null,
          create_response: true,
          interrupt_response: true,
        },
      },
      output: { format: { type: 'audio/pcm', rate: 24_000 }, voice: 'polly', speed: 1 },
    },
  });
  assert.match(String(session['id']), /^sess_/);
});

test('session.created is the first event although others came before the channel was open', async () => {
  const agent = speaker();
  const call = new TestCall(agent);
  call.conversation.open(call.now);
  agent.call.send({ type: 'speaker.ready' });
  assert.deepEqual(call.events, []);
  call.conversation.eventsOpen(call.now);
  call.conversation.eventsOpen(call.now);
  assert.deepEqual(call.types(), ['session.created', 'speaker.ready']);
});

test('an update merges audio settings, keeps fields it does not know and is told whole', async () => {
  const call = await new TestCall(parrot).start();
  call.send({
    type: 'session.update',
    session: { type: 'realtime', id: 'sess_mine', colour: 'green', audio: { input: { turn_detection: { type: 'server_vad', silence_duration_ms: 200 } } } },
  });
  const updated = call.find('session.updated')['session'];
  assert.equal(updated.colour, 'green');
  assert.notEqual(updated.id, 'sess_mine');
  assert.equal(updated.audio.input.turn_detection.silence_duration_ms, 200);
  assert.equal(updated.audio.input.turn_detection.prefix_padding_ms, 300);
  assert.equal(updated.audio.output.voice, 'alloy');
});

test('a voice that has been heard stays', async () => {
  const agent = speaker();
  const call = await new TestCall(agent, { audio: { output: { voice: 'polly' } } }).start();
  const update = (session: object): SentEvent => {
    call.send({ type: 'session.update', session: { type: 'realtime', ...session } });
    return call.events.at(-1)!;
  };
  assert.equal(update({ audio: { output: { voice: 'jack' } } }).type, 'session.updated');
  call.send({ type: 'response.create' });
  await call.wait(100);
  const { error } = update({ instructions: 'Not taken.', audio: { output: { voice: 'polly' } } });
  assert.deepEqual([error.code, error.param], ['cannot_update_voice', 'session.audio.output.voice']);
  assert.equal(update({ audio: { output: { voice: 'jack', speed: 1.2 } } }).type, 'session.updated');
  assert.equal(agent.call.session.instructions, '');
});

test('what is said to a caller who loses packets carries forward error correction, until the losses end', async () => {
  const agent = speaker(60);
  agent.format = { codec: 'pcm16', rate: 24_000 };
  const call = await new TestCall(agent).start();
  const isSilk = async (loss: number): Promise<boolean> => {
    call.unmendedLoss = loss;
    agent.call.respond((response) => response.play(Int16Array.from({ length: 24_000 }, (_, i) => 8000 * Math.sin(i / 20) * Math.sin(i / 900))));
    await call.wait(900);
    return call.frames.at(-1)!.opus[0] >> 3 < 16;
  };
  assert.deepEqual([await isSilk(0), await isSilk(0.01), await isSilk(0.05), await isSilk(0.01), await isSilk(0)], [false, false, true, true, false]);
});

test('what an agent writes to the log reaches the operator', async () => {
  const agent = speaker();
  const call = await new TestCall(agent).start();
  agent.call.log('a model was chosen', { model: 'small' });
  assert.deepEqual(call.said, [{ message: 'a model was chosen', model: 'small' }]);
});

test('a bad event gets an error that names field and event, and changes nothing', async () => {
  const call = await new TestCall(parrot).start();
  const table: [unknown, string, string | null][] = [
    ['{', 'invalid_json', null],
    ['[]', 'invalid_event', null],
    ['{}', 'invalid_event', 'type'],
    [{ type: 5 }, 'invalid_event', 'type'],
    [{ type: 'session.update', session: { audio: { input: { format: { type: 'audio/pcm', rate: 16_000 } } } } }, 'invalid_value', 'session.audio.input.format.rate'],
    [{ type: 'conversation.item.create', item: { type: 'message', role: 'assistant', content: [{ type: 'input_text', text: 'x' }] } }, 'invalid_value', 'item.content.0.type'],
    [{ type: 'conversation.item.create', item: { type: 'function_call_output', call_id: 'a', output: 'é'.repeat(120_000) } }, 'item_too_large', 'item'],
    [{ type: 'session.update', session: { note: 'é'.repeat(120_000) } }, 'session_too_large', 'session'],
    [{ type: 'response.create', response: { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, ''])) } }, 'invalid_value', 'response.metadata'],
    [`{"type":"session.update","session":{"x":${'['.repeat(50_000)}${']'.repeat(50_000)}}}`, 'invalid_json', null],
    [{ type: 'no.such' }, 'unknown_event', 'type'],
    [{ type: 'constructor' }, 'unknown_event', 'type'],
    [{ type: 'input_audio_buffer.append', audio: 'not base64' }, 'invalid_value', 'audio'],
    [{ type: 'response.create', response: { conversation: 'none' } }, 'invalid_value', 'response.conversation'],
    [{ type: 'response.create', response: { input: [] } }, 'invalid_value', 'response.input'],
    [{ type: 'response.create', response: { metadata: { a: 1 } } }, 'invalid_value', 'response.metadata.a'],
    [{ type: 'session.update', session: { tools: [{ type: 'function' }] } }, 'invalid_value', 'session.tools.0.name'],
    [
      { type: 'session.update', session: { audio: { input: { turn_detection: { type: 'server_vad', idle_timeout_ms: 10 } } } } },
      'invalid_value',
      'session.audio.input.turn_detection.idle_timeout_ms',
    ],
    [{ type: 'session.update', session: { audio: { output: { speed: 9 } } } }, 'invalid_value', 'session.audio.output.speed'],
    [{ type: 'conversation.item.create', item: { type: 'message', role: 'user' } }, 'invalid_value', 'item.content'],
    [{ type: 'conversation.item.create', item: { type: 'function_call_output', output: '1' } }, 'invalid_value', 'item.call_id'],
    [{ type: 'conversation.item.truncate', item_id: 'x', content_index: 0, audio_end_ms: 0 }, 'item_not_found', 'item_id'],
    [{ type: 'conversation.item.truncate', item_id: 'x', content_index: 1, audio_end_ms: 0 }, 'invalid_value', 'content_index'],
    [{ type: 'session.update' }, 'invalid_value', 'session'],
    [{ type: 'session.update', session: { type: 'transcription' } }, 'invalid_value', 'session.type'],
    [{ type: 'session.update', session: { instructions: 5 } }, 'invalid_value', 'session.instructions'],
    [
      { type: 'session.update', session: { instructions: 'x', audio: { input: { turn_detection: { type: 'server_vad', threshold: 2 } } } } },
      'invalid_value',
      'session.audio.input.turn_detection.threshold',
    ],
    [{ type: 'session.update', session: { note: 'x'.repeat(210_000) } }, 'session_too_large', 'session'],
    [{ type: 'conversation.item.create', item: { type: 'poem' } }, 'invalid_value', 'item.type'],
    [{ type: 'conversation.item.create', previous_item_id: 'x', item: { type: 'message', role: 'user', content: [] } }, 'item_not_found', 'previous_item_id'],
    [{ type: 'conversation.item.retrieve' }, 'invalid_value', 'item_id'],
    [{ type: 'conversation.item.retrieve', item_id: 'x' }, 'item_not_found', 'item_id'],
    [{ type: 'conversation.item.delete', item_id: 'x' }, 'item_not_found', 'item_id'],
    [{ type: 'response.cancel' }, 'response_cancel_not_active', null],
    [{ type: 'input_audio_buffer.commit' }, 'input_audio_buffer_commit_empty', null],
  ];
  for (const [event, code, param] of table) {
    const text = typeof event === 'string' ? event : JSON.stringify({ event_id: 'mine', ...(event as object) });
    call.conversation.handleEvent(text, call.now);
    const { type, error, event_id: id } = call.events.at(-1)!;
    assert.equal(type, 'error');
    assert.equal(typeof id, 'string');
    assert.equal(error.type, 'invalid_request_error');
    assert.deepEqual([error.code, error.param], [code, param], text.slice(0, 100));
    assert.equal(error.event_id, typeof event === 'string' ? null : 'mine');
    assert.ok(error.message.length > 10);
  }
  call.send({ type: 'session.update', session: {} });
  const created = call.find('session.created')['session'];
  assert.deepEqual(call.find('session.updated')['session'], created);
});

test('items are added where the client says, retrieved and deleted', async () => {
  const call = await new TestCall(parrot).start();
  const item = (id: string): object => ({ id, type: 'message', role: 'user', content: [{ type: 'input_text', text: id }] });
  call.send({ type: 'conversation.item.create', item: item('b') });
  call.send({ type: 'conversation.item.create', item: item('d') });
  call.send({ type: 'conversation.item.create', previous_item_id: 'b', item: item('c') });
  call.send({ type: 'conversation.item.create', previous_item_id: 'root', item: item('a') });
  const added = call.events.filter(({ type }) => type === 'conversation.item.added');
  assert.deepEqual(added.map((event) => [event['item'].id, event['previous_item_id']]), [['b', null], ['d', 'b'], ['c', 'b'], ['a', null]]);
  call.send({ type: 'conversation.item.create', item: item('a') });
  assert.equal(call.last('error')['error'].code, 'item_already_exists');
  call.send({ type: 'conversation.item.retrieve', item_id: 'c' });
  assert.equal(call.last('conversation.item.retrieved')['item'].content[0].text, 'c');
  call.send({ type: 'conversation.item.delete', item_id: 'c' });
  assert.equal(call.last('conversation.item.deleted')['item_id'], 'c');
  call.send({ type: 'conversation.item.retrieve', item_id: 'c' });
  assert.equal(call.last('error')['error'].code, 'item_not_found');
});

test('an event that is larger than the client takes is told as that, observers have it whole, and nobody fails', async () => {
  const call = await new TestCall(parrot).start();
  call.maxEvent = 65_536;
  const seen: { type: string }[] = [];
  call.conversation.observe((json) => seen.push(JSON.parse(json) as { type: string }));
  call.send({ type: 'conversation.item.create', item: { id: 'a', type: 'function_call_output', call_id: 'x', output: 'y'.repeat(100_000) } });
  assert.deepEqual(call.types(), ['session.created', 'error', 'error']);
  const { type, code, message } = call.last('error')['error'];
  assert.deepEqual([type, code], ['server_error', 'event_too_large']);
  assert.match(message, /100\d{3} bytes .*conversation\.item\.done/);
  assert.deepEqual(seen.map((event) => event.type), ['session.created', 'conversation.item.added', 'conversation.item.done']);
  assert.equal(call.conversation.counters.eventsDropped, 2);
});

test('audio in events is refused while the session says that it is G.711', async () => {
  const call = await new TestCall(parrot, { audio: { input: { format: { type: 'audio/pcmu' } } } }).start();
  call.send({ type: 'input_audio_buffer.append', audio: 'AAAA' });
  assert.deepEqual([call.last('error')['error'].code, call.last('error')['error'].param], ['input_audio_not_supported', 'audio']);
});

test('two hundred large items do not pile up', async () => {
  const call = await new TestCall(parrot).start();
  for (let i = 0; i < 200; i++) {
    call.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'x'.repeat(50_000) }] } });
  }
  assert.ok(call.conversation.dump().items < 100);
});

test('response.create asks the agent; a second one waits until the first has been heard, and a third is refused', async () => {
  const call = await new TestCall(speaker(1010)).start();
  call.send({ type: 'response.create' });
  await call.wait(200);
  call.send({ type: 'response.create', event_id: 'second' });
  call.send({ type: 'response.create', event_id: 'third' });
  assert.equal(call.last('error')['error'].code, 'conversation_already_has_active_response');
  assert.equal(call.last('error')['error'].event_id, 'third');
  assert.equal(call.events.filter(({ type }) => type === 'response.created').length, 1);
  await call.wait(3000);
  assert.deepEqual(call.events.filter(({ type }) => type === 'response.done').map((event) => event['response'].status), ['completed', 'completed']);
  assert.equal(call.frames.length, 51 + 1 + 51 + 3, 'the last half frames too, and silence after each');
});

test('an agent without answers refuses response.create', async () => {
  const call = await new TestCall({ name: 'mute', format: { codec: 'opus' }, open: () => ({}) }).start();
  call.send({ type: 'response.create' });
  assert.equal(call.last('error')['error'].code, 'response_not_supported');
});

test('response.cancel stops the sound, and the agent hears of it', async () => {
  const agent = speaker();
  const call = await new TestCall(agent).start();
  call.send({ type: 'response.create' });
  await call.wait(200);
  call.send({ type: 'response.cancel', response_id: 'resp_other' });
  assert.equal(call.last('error')['error'].code, 'response_cancel_not_active');
  call.send({ type: 'response.cancel', response_id: agent.responses[0].id });
  const frames = call.frames.length;
  assert.equal(agent.responses[0].signal.aborted, true);
  agent.responses[0].play(new Int16Array(8000));
  await call.wait(400);
  assert.equal(call.frames.length, frames + 3, 'only the silence at the end follows');
  const done = call.find('response.done')['response'];
  assert.deepEqual(done.status_details, { type: 'cancelled', reason: 'client_cancelled' });
  assert.ok(call.types().includes('output_audio_buffer.cleared'));
});

test('output_audio_buffer.clear without an answer going on is no error', async () => {
  const call = await new TestCall(parrot).start();
  call.send({ type: 'output_audio_buffer.clear' });
  assert.deepEqual(call.types(), ['session.created']);
});

test('with interrupt_response off the answer goes on while the caller speaks', async () => {
  const session = { audio: { input: { turn_detection: { type: 'server_vad', interrupt_response: false } } } };
  const call = await new TestCall(speaker(6000), session).start();
  call.send({ type: 'response.create' });
  await call.say(speech);
  assert.ok(call.types().includes('input_audio_buffer.speech_stopped'));
  assert.equal(call.types().includes('response.done'), false);
  assert.equal(call.events.filter(({ type }) => type === 'response.created').length, 1);
});

test('with create_response off the turn waits for response.create', async () => {
  const session = { audio: { input: { turn_detection: { type: 'server_vad', create_response: false } } } };
  const call = await new TestCall(parrot, session).start();
  await call.say(speech);
  assert.ok(call.types().includes('input_audio_buffer.committed'));
  assert.equal(call.types().includes('response.created'), false);
  call.send({ type: 'response.create' });
  await call.wait(3000);
  assert.equal(call.find('response.done')['response'].status, 'completed');
  assert.ok(call.frames.length > 60);
});

test('push to talk: nothing happens until the client commits', async () => {
  const call = await new TestCall(parrot, { audio: { input: { turn_detection: null } } }).start();
  await call.say(speech);
  assert.deepEqual(call.types(), ['session.created']);
  call.send({ type: 'input_audio_buffer.commit' });
  call.send({ type: 'response.create' });
  await call.wait(4000);
  assert.deepEqual(call.types().slice(1, 5), ['input_audio_buffer.committed', 'conversation.item.added', 'conversation.item.done', 'response.created']);
  assert.equal(call.conversation.dump().sentMs, speech.length * 20, 'all that was said comes back');
  call.send({ type: 'input_audio_buffer.clear' });
  call.send({ type: 'input_audio_buffer.commit' });
  assert.equal(call.last('error')['error'].code, 'input_audio_buffer_commit_empty');
});

test('threshold, prefix padding and silence duration of server_vad do what they say', async () => {
  const hello = padded(readWav('hello.wav'), 1000, 2000);
  const random = seededRandom(5);
  const faint = { ...hello, samples: hello.samples.map((sample) => 0.2 * sample + 800 * (random() - 0.5)) };
  const turnOf = async (detection: object, sound = hello): Promise<{ start: number; stoppedAt: number } | null> => {
    const call = await new TestCall(parrot, { audio: { input: { turn_detection: { type: 'server_vad', ...detection } } } }).start();
    await call.say(encodeWav(sound));
    const started = call.events.find(({ type }) => type === 'input_audio_buffer.speech_started');
    return started === undefined ? null : { start: started['audio_start_ms'] as number, stoppedAt: call.find('input_audio_buffer.speech_stopped').at };
  };
  const usual = (await turnOf({ prefix_padding_ms: 100 }))!;
  const earlier = (await turnOf({ prefix_padding_ms: 400 }))!;
  assert.equal(usual.start - earlier.start, 300);
  const patient = (await turnOf({ silence_duration_ms: 1200 }))!;
  assert.equal(patient.stoppedAt - usual.stoppedAt, 700);
  assert.ok((await turnOf({ threshold: 0.5 }, faint))!.start > 300, 'faint words in noise are heard');
  assert.equal(await turnOf({ threshold: 0.9 }, faint), null, 'they are not certain enough');
  assert.ok((await turnOf({ threshold: 0.1 }, faint))!.start < 300, 'even the noise is');
});

test('turn detection can be switched off and on during the call', async () => {
  const call = await new TestCall(parrot).start();
  call.send({ type: 'session.update', session: { audio: { input: { turn_detection: null } } } });
  await call.say(speech);
  assert.equal(call.types().includes('input_audio_buffer.speech_started'), false);
  call.send({ type: 'session.update', session: { audio: { input: { turn_detection: { type: 'semantic_vad', eagerness: 'high' } } } } });
  await call.say(speech);
  const { item_id: item } = call.find('input_audio_buffer.speech_started');
  assert.equal(call.find('input_audio_buffer.speech_stopped')['item_id'], item);
  assert.equal(call.find('input_audio_buffer.committed')['item_id'], item);
});

test('a caller whose packets stop in the middle of a word still ends the turn', async () => {
  const call = await new TestCall(parrot).start();
  await call.say(speech.slice(0, 30));
  assert.ok(call.types().includes('input_audio_buffer.speech_started'));
  await call.wait(1500);
  assert.ok(call.types().includes('input_audio_buffer.speech_stopped'));
  await call.wait(3000);
  assert.equal(call.conversation.wantsTick, false);
});

test('10% of packets lost do not break a turn apart', async () => {
  const call = await new TestCall(parrot).start();
  const packets = encodeWav(padded(readWav('hello.wav'), 200, 900));
  await call.say(packets.map((packet, i) => (i % 10 === 3 ? null : packet)));
  assert.equal(call.events.filter(({ type }) => type === 'input_audio_buffer.speech_started').length, 1);
  assert.ok(call.find('input_audio_buffer.speech_stopped'));
});

test('event ids are unique', async () => {
  const call = await new TestCall(parrot).start();
  await call.say(speech);
  const ids = call.events.map((event) => event['event_id']);
  assert.equal(new Set(ids).size, ids.length);
});

/** An agent that does in one answer what it is told to. */
function scripted(answer: (response: AgentResponse, call: AgentCall) => void | Promise<void>): Agent {
  return {
    name: 'scripted',
    format: { codec: 'pcm16', rate: 24_000 },
    open: (call) => ({ answer: (response) => answer(response, call) }),
  };
}

const pause = new Int16Array(24_000);

test('words are told as they come, and an interruption leaves those that were heard', async () => {
  const call = await new TestCall(scripted((response) => {
    response.text('One two three four. ');
    response.play(pause);
    response.text('Five six.');
    response.play(pause);
  })).start();
  call.send({ type: 'response.create' });
  assert.deepEqual(call.events.filter(({ type }) => type === 'response.output_audio_transcript.delta').map((event) => event['delta']), ['One two three four. ', 'Five six.']);
  await call.wait(500);
  call.send({ type: 'response.cancel' });
  const [item] = call.find('response.done')['response'].output;
  assert.deepEqual(item.content, [{ type: 'output_audio', transcript: 'One two' }]);
  assert.equal(call.find('response.output_audio_transcript.done')['transcript'], 'One two');
  assert.equal(call.find('conversation.item.truncated')['audio_end_ms'], 500);
  call.send({ type: 'conversation.item.retrieve', item_id: item.id });
  assert.equal(call.find('conversation.item.retrieved')['item'].content[0].transcript, 'One two');
});

test('the silence that fills up the last frame does not count as heard', async () => {
  const call = await new TestCall(scripted((response) => response.play(new Int16Array(24 * 50)))).start();
  call.send({ type: 'response.create' });
  while (call.frames.length < 3) await call.step();
  call.send({ type: 'response.cancel' });
  assert.equal(call.find('conversation.item.truncated')['audio_end_ms'], 50);
});

test('the client truncates what was said, but not beyond its end, nor what others said', async () => {
  const call = await new TestCall(scripted((response) => {
    response.text('One two three four.');
    response.play(pause);
  })).start();
  call.send({ type: 'response.create' });
  await call.wait(1200);
  const { id } = call.find('response.done')['response'].output[0];
  call.send({ type: 'conversation.item.truncate', item_id: id, content_index: 0, audio_end_ms: 1001 });
  assert.equal(call.last('error')['error'].param, 'audio_end_ms');
  call.send({ type: 'conversation.item.truncate', item_id: id, content_index: 0, audio_end_ms: 250 });
  assert.equal(call.find('conversation.item.truncated')['audio_end_ms'], 250);
  call.send({ type: 'conversation.item.retrieve', item_id: id });
  assert.equal(call.find('conversation.item.retrieved')['item'].content[0].transcript, 'One');
  call.send({ type: 'conversation.item.create', item: { id: 'mine', type: 'message', role: 'user', content: [] } });
  call.send({ type: 'conversation.item.truncate', item_id: 'mine', content_index: 0, audio_end_ms: 0 });
  assert.equal(call.last('error')['error'].param, 'item_id');
});

test('text alone makes no sound, and has the events of text', async () => {
  const call = await new TestCall(scripted((response) => {
    response.text('Just words.');
    response.play(pause);
  })).start();
  call.send({ type: 'response.create', response: { output_modalities: ['text'], metadata: { topic: 'x' } } });
  await call.wait(100);
  const { response } = call.find('response.done') as unknown as { response: Record<string, unknown> };
  assert.deepEqual((response['output'] as { content: unknown }[])[0].content, [{ type: 'output_text', text: 'Just words.' }]);
  assert.deepEqual([response['metadata'], response['output_modalities'], response['status']], [{ topic: 'x' }, ['text'], 'completed']);
  assert.equal(call.find('response.output_text.done')['text'], 'Just words.');
  assert.equal(call.find('response.content_part.added')['part'].type, 'text');
  assert.equal(call.frames.length, 0);
});

test('a response.create changes one response and leaves the session as it is', async () => {
  const seen: unknown[] = [];
  const call = await new TestCall(scripted((response, { session }) => void seen.push(response.session.instructions, session.instructions)), { instructions: 'A' }).start();
  call.send({ type: 'response.create', response: { instructions: 'B' } });
  await call.wait(40);
  call.send({ type: 'response.create' });
  assert.deepEqual(seen, ['B', 'A', 'A', 'A']);
});

test('a function call is told whole, and its output is there for the next answer', async () => {
  const histories: string[][] = [];
  const call = await new TestCall(scripted((response, { items }) => {
    histories.push(items.map((item) => item.type));
    if (histories.length === 1) response.callFunction({ name: 'weather', arguments: '{"city":"Ulm"}', callId: 'call_1' });
  })).start();
  call.send({ type: 'response.create' });
  const item = call.find('response.output_item.done')['item'];
  assert.deepEqual([item.type, item.name, item.call_id, item.arguments, item.status], ['function_call', 'weather', 'call_1', '{"city":"Ulm"}', 'completed']);
  assert.equal(call.find('response.function_call_arguments.done')['arguments'], '{"city":"Ulm"}');
  await call.wait(20);
  assert.equal(call.find('response.done')['response'].output.length, 1, 'no empty message besides');
  call.send({ type: 'conversation.item.create', item: { type: 'function_call_output', call_id: 'call_1', output: 'rain' } });
  call.send({ type: 'response.create' });
  assert.deepEqual(histories, [[], ['function_call', 'function_call_output']]);
});

test('a response that fails is told as failed, and the call goes on', async () => {
  const call = await new TestCall(scripted((response) => response.fail('no model today'))).start();
  call.send({ type: 'response.create' });
  await call.wait(40);
  assert.equal(call.find('response.done')['response'].status_details.error.message, 'no model today');
  assert.deepEqual(call.hangups, []);
  call.send({ type: 'response.create' });
  assert.equal(call.events.filter(({ type }) => type === 'response.done').length, 2);
});

test('audio in events is heard as the audio of the call is', async () => {
  const call = await new TestCall(parrot, { audio: { input: { turn_detection: null } } }).start();
  const wave = Int16Array.from({ length: 24_000 }, (_, i) => 8000 * Math.sin(i / 10));
  call.send({ type: 'input_audio_buffer.append', audio: Buffer.from(wave.buffer).toString('base64') });
  call.send({ type: 'input_audio_buffer.commit' });
  call.send({ type: 'response.create' });
  await call.wait(1500);
  assert.equal(call.frames.length, 50 + 3);
});

test('an agent that takes packets refuses audio in events', async () => {
  const call = await new TestCall({ name: 'opus', format: { codec: 'opus' }, open: () => ({}) }).start();
  call.send({ type: 'input_audio_buffer.append', audio: 'AAAA' });
  assert.equal(call.last('error')['error'].code, 'input_audio_not_supported');
});

test('nobody speaks after an answer: the agent is asked again, once for each answer', async () => {
  const session = { audio: { input: { turn_detection: { type: 'server_vad', idle_timeout_ms: 5000 } } } };
  const call = await new TestCall(speaker(), session).start();
  call.send({ type: 'response.create' });
  await call.wait(5900);
  assert.equal(call.types().includes('input_audio_buffer.timeout_triggered'), false);
  await call.wait(200);
  const { item_id: item } = call.find('input_audio_buffer.timeout_triggered');
  assert.equal(call.find('input_audio_buffer.committed')['item_id'], item);
  assert.equal(call.events.filter(({ type }) => type === 'response.created').length, 2);
});

test('the end of the longest call is announced', async () => {
  const call = await new TestCall(speaker()).start();
  call.conversation.expire(call.now);
  assert.equal(call.last('error')['error'].code, 'session_expired');
  assert.deepEqual(call.hangups, ['session_expired']);
});

test('observers see what the client sees, and act; what is wrong with their events they alone are told', async () => {
  const call = await new TestCall(speaker()).start();
  const seen: [SentEvent[], SentEvent[]] = [[], []];
  const observers = seen.map((list) => (json: string) => void list.push(JSON.parse(json) as SentEvent));
  const [end] = observers.map((observer) => call.conversation.observe(observer));
  call.conversation.handleEvent('{"type":"session.update","session":{"instructions":"New."}}', call.now, observers[0]);
  call.conversation.handleEvent('{"type":"no.such"}', call.now, observers[1]);
  assert.deepEqual(call.types(), ['session.created', 'session.updated']);
  assert.deepEqual(seen.map((list) => list.map(({ type }) => type)), [['session.created', 'session.updated'], ['session.created', 'session.updated', 'error']]);
  end();
  call.send({ type: 'input_audio_buffer.clear' });
  assert.deepEqual(seen.map((list) => list.length), [2, 4]);
});
