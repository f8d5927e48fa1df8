/** Every field of every client event, made wrong: an error that names field and event, and nothing else happens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parrot } from '../../src/agents/parrot.ts';
import { CLIENT_EVENTS } from '../../src/conversation/realtime-client-events.ts';
import { TestCall } from './harness.ts';

type Json = null | boolean | number | string | Json[] | { [field: string]: Json };

/** Each event with all of the fields that are looked at; what one of them could also be is in {@link ALLOWED}. */
const WHOLE: readonly { readonly type: string; readonly [field: string]: Json }[] = [
  {
    type: 'session.update',
    session: {
      type: 'realtime',
      model: 'parrot',
      instructions: 'Be brief.',
      output_modalities: ['audio'],
      tools: [{ type: 'function', name: 'weather', parameters: { type: 'object' } }],
      tool_choice: 'auto',
      max_output_tokens: 'inf',
      parallel_tool_calls: true,
      prompt: { id: 'pmpt_1' },
      reasoning: { effort: 'low' },
      include: ['item.input_audio_transcription.logprobs'],
      tracing: 'auto',
      truncation: { type: 'retention_ratio', retention_ratio: 0.5 },
      audio: {
        input: {
          format: { type: 'audio/pcm', rate: 24_000 },
          transcription: { model: 'whisper-1', language: 'de', prompt: 'Names.' },
          noise_reduction: { type: 'near_field' },
          turn_detection: {
            type: 'server_vad',
            threshold: 0.4,
            prefix_padding_ms: 200,
            silence_duration_ms: 400,
            idle_timeout_ms: 6000,
            create_response: true,
            interrupt_response: false,
          },
        },
        output: { format: { type: 'audio/pcm', rate: 24_000 }, voice: 'alloy', speed: 1 },
      },
    },
  },
  { type: 'session.update', session: { type: 'realtime', audio: { input: { turn_detection: { type: 'semantic_vad', eagerness: 'low', create_response: true, interrupt_response: true } } } } },
  { type: 'input_audio_buffer.append', audio: 'AAAA' },
  { type: 'input_audio_buffer.commit' },
  { type: 'input_audio_buffer.clear' },
  { type: 'output_audio_buffer.clear' },
  {
    type: 'response.create',
    response: {
      instructions: 'Sing.',
      output_modalities: ['text'],
      tools: [],
      tool_choice: 'none',
      max_output_tokens: 9,
      metadata: { topic: 'birds' },
      conversation: 'auto',
      audio: { output: { voice: 'alloy', speed: 1 } },
    },
  },
  { type: 'response.cancel', response_id: 'resp_1' },
  {
    type: 'conversation.item.create',
    previous_item_id: 'root',
    item: { type: 'message', id: 'a', object: 'realtime.item', status: 'completed', role: 'user', content: [{ type: 'input_text', text: 'Hello' }] },
  },
  { type: 'conversation.item.create', item: { type: 'function_call', id: 'b', call_id: 'call_1', name: 'weather', arguments: '{}' } },
  { type: 'conversation.item.create', item: { type: 'function_call_output', id: 'c', call_id: 'call_1', output: 'rain' } },
  { type: 'conversation.item.retrieve', item_id: 'known' },
  { type: 'conversation.item.truncate', item_id: 'known', content_index: 0, audio_end_ms: 0 },
  { type: 'conversation.item.delete', item_id: 'known' },
];

/** Fields that take values of other kinds as well. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  'session.tool_choice': [],
  'session.prompt': ['null'],
  'session.reasoning': ['null'],
  'session.reasoning.effort': ['null'],
  'session.include': ['null'],
  'session.tracing': ['null', 'object'],
  'session.tools.0.parameters.type': ['null', 'boolean', 'number', 'array', 'object'],
  'session.audio.input.transcription': ['null'],
  'session.audio.input.noise_reduction': ['null'],
  'session.audio.input.turn_detection': ['null'],
  'session.audio.input.turn_detection.idle_timeout_ms': ['null'],
  'response.metadata': ['null'],
  previous_item_id: ['null'],
};

function kindOf(value: Json): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** The paths of all fields and entries, dotted. */
function pathsOf(value: Json, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inside = Object.entries(value).flatMap(([name, field]) => pathsOf(field, path === '' ? name : `${path}.${name}`));
  return path === '' ? inside : [path, ...inside];
}

function at(value: Json, path: string): Json {
  return path.split('.').reduce<Json>((inner, name) => (inner as Record<string, Json>)[name], value);
}

function replaced<T extends Json>(value: T, path: string, field: Json): T {
  const copy = structuredClone(value);
  const names = path.split('.');
  const last = names.pop()!;
  const parent = names.reduce<Json>((inner, name) => (inner as Record<string, Json>)[name], copy);
  (parent as Record<string, Json>)[last] = field;
  return copy;
}

const anyKind: fc.Arbitrary<Json> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string({ maxLength: 20 }),
  fc.constant<Json>([[]]),
  fc.constant<Json>({}),
);

/** An event with one field of the wrong kind, and which it is. */
const mutation = fc
  .constantFrom(...WHOLE)
  .chain((whole) => fc.tuple(fc.constant(whole), fc.constantFrom(...pathsOf(whole)), anyKind))
  .filter(([whole, path, field]) => kindOf(field) !== kindOf(at(whole, path)) && !ALLOWED[path]?.includes(kindOf(field)));

/** Whether an error at one path can be due to a field at the other: unions are named as a whole. */
function related(param: string, path: string): boolean {
  return param === path || path.startsWith(`${param}.`) || param.startsWith(`${path}.`);
}

async function startedCall(): Promise<TestCall> {
  const call = await new TestCall(parrot).start();
  call.send({ type: 'conversation.item.create', item: { type: 'message', id: 'known', role: 'user', content: [] } });
  return call;
}

/** What there is: the session and the conversation, as clients see them. */
function state(call: TestCall): unknown {
  call.events.length = 0;
  call.send({ type: 'session.update', session: {} });
  call.send({ type: 'conversation.item.retrieve', item_id: 'known' });
  const { items, responseId, positionMs } = call.conversation.dump();
  const told = call.events.map(({ at: _at, event_id: _id, ...event }) => event);
  call.events.length = 0;
  return { told, items, responseId, positionMs };
}

test('the table has every event, and each is taken as it stands there', async () => {
  assert.deepEqual([...new Set(WHOLE.map(({ type }) => type))].sort(), Object.keys(CLIENT_EVENTS).sort());
  for (const whole of WHOLE) {
    const call = await startedCall();
    call.send(whole);
    const faults = call.events.filter(({ type, error }) => type === 'error' && error.code === 'invalid_value' && error.param !== 'item_id');
    assert.deepEqual(faults, [], JSON.stringify(whole));
  }
});

test('a field of the wrong kind is named with its event, and nothing changes', async () => {
  const call = await startedCall();
  const before = state(call);
  fc.assert(
    fc.property(mutation, fc.string({ minLength: 1, maxLength: 40 }), ([whole, path, field], eventId) => {
      call.send({ ...replaced(whole, path, field), event_id: eventId });
      const [answer, ...more] = call.events.splice(0);
      const what = `${path} = ${JSON.stringify(field)} in ${whole.type}`;
      assert.equal(answer?.type, 'error', what);
      assert.deepEqual(more, [], what);
      assert.equal(answer['error'].type, 'invalid_request_error');
      assert.equal(answer['error'].event_id, eventId, what);
      assert.ok(typeof answer['error'].param === 'string' && related(answer['error'].param, path), `${answer['error'].param} for ${what}`);
      assert.deepEqual(state(call), before, what);
    }),
    { numRuns: 4000, seed: 4 },
  );
  assert.deepEqual([call.hangups, call.logged], [[], []]);
});

test('a field that must be there is named when it is not', async () => {
  const call = await startedCall();
  const before = state(call);
  const required: readonly [type: string, path: string][] = [
    ['session.update', 'session'],
    ['input_audio_buffer.append', 'audio'],
    ['conversation.item.create', 'item'],
    ['conversation.item.create', 'item.type'],
    ['conversation.item.create', 'item.role'],
    ['conversation.item.create', 'item.content'],
    ['conversation.item.create', 'item.content.0.type'],
    ['conversation.item.create', 'item.content.0.text'],
    ['conversation.item.retrieve', 'item_id'],
    ['conversation.item.truncate', 'item_id'],
    ['conversation.item.truncate', 'content_index'],
    ['conversation.item.truncate', 'audio_end_ms'],
    ['conversation.item.delete', 'item_id'],
    ['session.update', 'type'],
  ];
  for (const [type, path] of required) {
    const whole = structuredClone(WHOLE.find((event) => event.type === type)!) as Json;
    const parent = path.includes('.') ? at(whole, path.slice(0, path.lastIndexOf('.'))) : whole;
    delete (parent as Record<string, Json>)[path.slice(path.lastIndexOf('.') + 1)];
    call.send({ ...(whole as object), event_id: 'mine' });
    const [{ error }] = call.events.splice(0);
    assert.deepEqual([error.param, error.event_id], [path, 'mine']);
    assert.deepEqual(state(call), before);
  }
});
