/** Reading what a client of the Realtime protocol sends: JSON, then the type, then the fields of that type. */
import { z } from 'zod';
import type { AgentEvent } from '../agents/agent.ts';
import type { ClientMessage, Command, Fault, FaultCode } from './dialect.ts';
import { parseSessionConfig, SessionConfigError } from './session-config.ts';

/** Checks one client event. Never throws: what is wrong with the text comes back as a fault that names the field. */
export function readClientEvent(text: string): ClientMessage | Fault {
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
  if (!envelope.success) {
    const issue = envelope.error.issues[0];
    const param = issue.path.join('.') || null;
    return fault('invalid_event', `Not an event: ${param === null ? '' : `${param}: `}${issue.message}`, param, null);
  }
  const { type } = envelope.data;
  const eventId = envelope.data.event_id ?? null;
  const reader = Object.hasOwn(READERS, type) ? READERS[type as ClientEventType] : undefined;
  if (reader === undefined) {
    return UNSUPPORTED.has(type)
      ? fault('unsupported_event', `"${type}" is not supported on a call: audio goes over RTP.`, 'type', eventId)
      : fault('unknown_event', `There is no client event "${type.slice(0, 100)}".`, 'type', eventId);
  }
  try {
    const command = reader(event);
    return { type: 'message', command, event: event as AgentEvent, eventId };
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

const MAX_DEPTH = 64;

/** Event types of the protocol that make no sense here, or not yet. */
const UNSUPPORTED: ReadonlySet<string> = new Set(['input_audio_buffer.append', 'conversation.item.truncate']);

const envelopeSchema = z.looseObject({ type: z.string(), event_id: z.string().max(512).exactOptional() });

const cancelSchema = z.looseObject({ response_id: z.string().exactOptional() });
const createResponseSchema = z.looseObject({ response: z.looseObject({}).exactOptional() });
const itemIdSchema = z.looseObject({ item_id: z.string() });
const createItemSchema = z.looseObject({
  previous_item_id: z.string().nullable().exactOptional(),
  item: z.looseObject({
    type: z.enum(['message', 'function_call', 'function_call_output']),
    id: z.string().min(1).max(64).exactOptional(),
    role: z.enum(['user', 'assistant', 'system']).exactOptional(),
    content: z.array(z.looseObject({ type: z.string() })).exactOptional(),
  }),
});

type ClientEventType = keyof typeof READERS;

const READERS = {
  'session.update': (event: unknown): Command => ({
    type: 'update_session',
    patch: parseSessionConfig((event as { session?: unknown }).session),
  }),
  'input_audio_buffer.commit': (): Command => ({ type: 'commit_input' }),
  'input_audio_buffer.clear': (): Command => ({ type: 'clear_input' }),
  'output_audio_buffer.clear': (): Command => ({ type: 'clear_output' }),
  'response.create': (event: unknown): Command => {
    createResponseSchema.parse(event);
    return { type: 'create_response' };
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
