/** Reading what a client of the Realtime protocol sends: JSON, then the type, then the fields of that type. */
import { z } from 'zod';
import type { AgentEvent } from '../agents/agent.ts';
import type { ClientEnvelope, ClientMessage, Command, Fault, FaultCode } from './dialect.ts';
import { parseSessionConfig, responseConfigSchema, SessionConfigError } from './session-config.ts';

/** Checks one client event. Never throws: what is wrong with the text comes back as a fault that names the field. */
export function readClientEvent(text: string): ClientMessage | Fault {
  const envelope = readClientEnvelope(text);
  if (envelope.type === 'fault') return envelope;
  const { event, eventId } = envelope;
  const reader = Object.hasOwn(READERS, event.type) ? READERS[event.type as ClientEventType] : undefined;
  if (reader === undefined) {
    return fault('unknown_event', `There is no client event "${event.type.slice(0, 100)}".`, 'type', eventId);
  }
  try {
    return { type: 'message', command: reader(event), event, eventId };
  } catch (error) {
    if (error instanceof SessionConfigError) {
      const param = error.param === 'session' ? 'session' : `session.${error.param}`;
      return fault('invalid_value', error.message, param, eventId);
    }
    if (!(error instanceof z.ZodError)) throw error;
    const issue = error.issues[0];
    const param = issue.path.join('.');
    return fault('invalid_value', `${param}: ${issue.message}`, param, eventId);
  }
}

/** Checks that a message is an event, whatever its type says about the rest. Never throws. */
export function readClientEnvelope(text: string): ClientEnvelope | Fault {
  if (deeperThan(text, MAX_DEPTH)) {
    return fault('invalid_json', `The message nests deeper than ${MAX_DEPTH} levels.`, null, null);
  }
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch {
    return fault('invalid_json', 'The message is not valid JSON.', null, null);
  }
  const envelope = envelopeSchema.safeParse(event);
  if (envelope.success) {
    return { type: 'message', event: event as AgentEvent, eventId: envelope.data.event_id ?? null };
  }
  const issue = envelope.error.issues[0];
  const param = issue.path.join('.') || null;
  return fault('invalid_event', `Not an event: ${param === null ? '' : `${param}: `}${issue.message}`, param, null);
}

/** Every event that a client may send. */
export function clientEventTypes(): string[] {
  return Object.keys(READERS);
}

const MAX_DEPTH = 64;

const envelopeSchema = z.looseObject({ type: z.string(), event_id: z.string().max(512).exactOptional() });

const cancelSchema = z.looseObject({ response_id: z.string().exactOptional() });
const createResponseSchema = z.looseObject({ response: responseConfigSchema.exactOptional() });
const appendSchema = z.looseObject({ audio: z.base64() });
const truncateSchema = z.looseObject({
  item_id: z.string(),
  content_index: z.literal(0),
  audio_end_ms: z.number().int().min(0),
});
const itemIdSchema = z.looseObject({ item_id: z.string() });
const itemId = z.string().min(1).max(64).exactOptional();
const CONTENT_TYPES = ['input_text', 'input_audio', 'input_image', 'output_text', 'output_audio'] as const;
const createItemSchema = z.looseObject({
  previous_item_id: z.string().nullable().exactOptional(),
  item: z.discriminatedUnion('type', [
    z.looseObject({
      type: z.literal('message'),
      id: itemId,
      role: z.enum(['user', 'assistant', 'system']),
      content: z.array(z.looseObject({ type: z.enum(CONTENT_TYPES), text: z.string().exactOptional() })),
    }),
    z.looseObject({ type: z.literal('function_call'), id: itemId, name: z.string(), arguments: z.string(), call_id: z.string().exactOptional() }),
    z.looseObject({ type: z.literal('function_call_output'), id: itemId, call_id: z.string(), output: z.string() }),
  ]),
});

type ClientEventType = keyof typeof READERS;

const READERS = {
  'session.update': (event: unknown): Command => ({
    type: 'update_session',
    patch: parseSessionConfig((event as { session?: unknown }).session),
  }),
  'input_audio_buffer.append': (event: unknown): Command => {
    const bytes = Buffer.from(appendSchema.parse(event).audio, 'base64');
    // A copy: an Int16Array needs an even offset, and small buffers lie anywhere in a pool.
    return { type: 'append_input', samples: new Int16Array(Uint8Array.from(bytes).buffer, 0, bytes.length >> 1) };
  },
  'input_audio_buffer.commit': (): Command => ({ type: 'commit_input' }),
  'input_audio_buffer.clear': (): Command => ({ type: 'clear_input' }),
  'output_audio_buffer.clear': (): Command => ({ type: 'clear_output' }),
  'response.create': (event: unknown): Command => {
    const { metadata = null, conversation: _, input: _none, ...session } = createResponseSchema.parse(event).response ?? {};
    return { type: 'create_response', overrides: { session: { type: 'realtime', ...session }, metadata } };
  },
  'response.cancel': (event: unknown): Command => ({
    type: 'cancel_response',
    responseId: cancelSchema.parse(event).response_id ?? null,
  }),
  'conversation.item.create': (event: unknown): Command => {
    const { item, previous_item_id: previous } = createItemSchema.parse(event);
    return { type: 'create_item', item, after: previous === 'root' ? null : (previous ?? undefined) };
  },
  'conversation.item.retrieve': (event: unknown): Command => ({
    type: 'retrieve_item',
    itemId: itemIdSchema.parse(event).item_id,
  }),
  'conversation.item.truncate': (event: unknown): Command => {
    const { item_id: id, audio_end_ms: audioEndMs } = truncateSchema.parse(event);
    return { type: 'truncate_item', itemId: id, audioEndMs };
  },
  'conversation.item.delete': (event: unknown): Command => ({
    type: 'delete_item',
    itemId: itemIdSchema.parse(event).item_id,
  }),
};

function fault(code: FaultCode, message: string, param: string | null, eventId: string | null): Fault {
  return { type: 'fault', kind: 'invalid_request_error', code, message, param, eventId };
}

/** Whether brackets outside of strings nest deeper than `limit`: parsing and writing recurse by depth. */
function deeperThan(text: string, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === BACKSLASH) i++;
      else if (code === QUOTE) inString = false;
    } else if (code === QUOTE) inString = true;
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++depth > limit) return true;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth--;
  }
  return false;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
