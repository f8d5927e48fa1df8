/** Reading what a client of the Realtime protocol sends: JSON, then the type, then the fields of that type. */
import { z } from 'zod';
import type { AgentEvent } from '../agents/agent.ts';
import type { ClientEnvelope, ClientMessage, Command, Fault, FaultCode } from './dialect.ts';
import { itemSchema } from './item-schema.ts';
import { responseConfigSchema, sessionConfigSchema } from './session-schema.ts';

/** Checks one client event. Never throws: what is wrong with the text comes back as a fault that names the field. */
export function readClientEvent(text: string): ClientMessage | Fault {
  const envelope = readClientEnvelope(text);
  if (envelope.type === 'fault') return envelope;
  const { event, eventId } = envelope;
  const known = Object.hasOwn(CLIENT_EVENTS, event.type) ? CLIENT_EVENTS[event.type as keyof typeof CLIENT_EVENTS] : undefined;
  if (known === undefined) {
    return fault('unknown_event', `There is no client event "${event.type.slice(0, 100)}".`, 'type', eventId);
  }
  try {
    return { type: 'message', command: known.read(event), event, eventId };
  } catch (error) {
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
  const { event_id: id } = (event ?? {}) as { event_id?: unknown };
  const eventId = param !== 'event_id' && typeof id === 'string' ? id.slice(0, MAX_EVENT_ID) : null;
  return fault('invalid_event', `Not an event: ${param === null ? '' : `${param}: `}${issue.message}`, param, eventId);
}

const MAX_DEPTH = 64;
const MAX_EVENT_ID = 512;

const envelopeSchema = z.looseObject({ type: z.string(), event_id: z.string().max(MAX_EVENT_ID).exactOptional() });

/** One event: its fields, and the command that it gives. */
function reader<T extends z.ZodType>(schema: T, command: (event: z.output<T>) => Command): { schema: T; read(event: AgentEvent): Command } {
  return { schema, read: (event) => command(schema.parse(event)) };
}

const itemIdSchema = z.looseObject({ item_id: z.string() });
const NO_FIELDS = z.looseObject({});

/** Every event that a client may send. */
export const CLIENT_EVENTS = {
  'session.update': reader(z.looseObject({ session: sessionConfigSchema }), ({ session: patch }) => ({ type: 'update_session', patch })),
  'input_audio_buffer.append': reader(z.looseObject({ audio: z.base64() }), ({ audio }) => {
    const bytes = Buffer.from(audio, 'base64');
    // A copy: an Int16Array needs an even offset, and small buffers lie anywhere in a pool.
    return { type: 'append_input', samples: new Int16Array(Uint8Array.from(bytes).buffer, 0, bytes.length >> 1) };
  }),
  'input_audio_buffer.commit': reader(NO_FIELDS, () => ({ type: 'commit_input' })),
  'input_audio_buffer.clear': reader(NO_FIELDS, () => ({ type: 'clear_input' })),
  'output_audio_buffer.clear': reader(NO_FIELDS, () => ({ type: 'clear_output' })),
  'response.create': reader(z.looseObject({ response: responseConfigSchema.exactOptional() }), ({ response = {} }) => {
    const { metadata = null, conversation: _, input: _none, ...session } = response;
    return { type: 'create_response', overrides: { session: { type: 'realtime', ...session }, metadata } };
  }),
  'response.cancel': reader(z.looseObject({ response_id: z.string().exactOptional() }), ({ response_id: id }) => ({
    type: 'cancel_response',
    responseId: id ?? null,
  })),
  'conversation.item.create': reader(
    z.looseObject({ item: itemSchema, previous_item_id: z.string().nullable().exactOptional() }),
    ({ item, previous_item_id: previous }) => ({ type: 'create_item', item, after: previous === 'root' ? null : (previous ?? undefined) }),
  ),
  'conversation.item.retrieve': reader(itemIdSchema, ({ item_id: itemId }) => ({ type: 'retrieve_item', itemId })),
  'conversation.item.truncate': reader(
    z.looseObject({ item_id: z.string(), content_index: z.number().refine((index) => index === 0, 'a message has one part, 0'), audio_end_ms: z.number().int().min(0) }),
    ({ item_id: itemId, audio_end_ms: audioEndMs }) => ({ type: 'truncate_item', itemId, audioEndMs }),
  ),
  'conversation.item.delete': reader(itemIdSchema, ({ item_id: itemId }) => ({ type: 'delete_item', itemId })),
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
