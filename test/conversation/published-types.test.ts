/**
 * Holds our events and sessions against the published types of the protocol, at compile time: a field that is renamed
 * on either side is a type error here. At run time only the names of the events are compared.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  ConversationItem,
  RealtimeClientEvent,
  RealtimeErrorEvent,
  RealtimeFunctionTool,
  RealtimeResponse,
  RealtimeServerEvent,
  RealtimeSessionCreateRequest,
  RealtimeAudioConfigInput,
  RealtimeAudioConfigOutput,
  RealtimeAudioFormats,
  RealtimeAudioInputTurnDetection,
  RealtimeToolsConfigUnion,
  ResponseCreateEvent,
} from 'openai/resources/realtime/realtime';
import type { RealtimeSessionCreateResponse } from 'openai/resources/realtime/client-secrets';
import type { z } from 'zod';
import type { itemSchema } from '../../src/conversation/item-schema.ts';
import type { FunctionCallItem, Item, MessageItem } from '../../src/conversation/dialect.ts';
import { CLIENT_EVENTS } from '../../src/conversation/realtime-client-events.ts';
import type { ResponseObject, ServerEvent, ServerEventType } from '../../src/conversation/realtime-server-events.ts';
import type { SemanticVad, ServerVad, Session } from '../../src/conversation/session-config.ts';
import type { responseConfigSchema, SessionConfig } from '../../src/conversation/session-schema.ts';

/** A type error unless the first is assignable to the second. */
type Fits<Ours extends Published, Published> = Ours;
/** Without index signatures: what is named, and nothing else. */
type Named<T> = { [K in keyof T as string extends K ? never : K]: T[K] };
/** Arrays as the published types have them, and items and sessions, which are held on their own, left out (`never` fits everywhere). */
type Loose<T> = T extends Item | Session | ResponseObject ? never : T extends readonly (infer E)[] ? Loose<E>[] : T extends object ? { -readonly [K in keyof T]: Loose<T[K]> } : T;
type Published<T extends string> = Extract<RealtimeServerEvent, { type: T }>;

/** Every event that we send is published under its name, and has the fields that are published for it. */
type Misfits = { [T in ServerEventType]: Loose<ServerEvent<T>> extends Published<T> ? never : T }[ServerEventType];
type EventsFit = Fits<Misfits, never>;
/** … and no others, of which a client would know nothing, but the one that a call begun with a ticket is named by. */
type Own<T extends string> = T extends 'session.created' ? 'call_id' : never;
type UnknownFields = { [T in ServerEventType]: Exclude<keyof ServerEvent<T>, keyof Published<T> | Own<T>> }[ServerEventType];
type NothingUnknown = Fits<UnknownFields, never>;

type ErrorFits = Fits<ServerEvent<'error'>['error'], RealtimeErrorEvent['error']>;
type ResponseFits = Fits<Omit<Loose<ResponseObject>, 'output' | 'audio' | 'output_modalities' | 'usage' | 'status_details'>, RealtimeResponse>;
type ResponseFieldsKnown = Fits<keyof ResponseObject, keyof RealtimeResponse>;
type StatusDetailsKnown = Fits<keyof NonNullable<ResponseObject['status_details']>, keyof NonNullable<RealtimeResponse['status_details']>>;

/** The items that we make ourselves. The transcript of the caller's words is null until it is there, as it is told in practice. */
type ItemOf<T extends Item, R = unknown> = Plain<Omit<Named<T>, 'content' | 'role'> & R>;
type FunctionCallFits = Fits<ItemOf<FunctionCallItem>, ConversationItem>;
type MessageFits = Fits<ItemOf<MessageItem, { role: 'user'; content: [] }> | ItemOf<MessageItem, { role: 'assistant'; content: [] }>, ConversationItem>;
type MadeParts = MessageItem['content'][number];
type PartNamesKnown = Fits<MadeParts extends infer P ? (P extends object ? keyof P : never) : never, keyof PartOf<Message, 'user'>>;
type PartTypesKnown = Fits<MadeParts['type'], PartTypes<'user' | 'assistant'>>;
type SessionFits = Fits<keyof Named<Session>, keyof RealtimeSessionCreateResponse>;

/** The fields of a session that we act on are published, with these types. */
type PublishedVad<T extends string> = Extract<RealtimeAudioInputTurnDetection, { type: T }>;
type ServerVadFits = Fits<Named<ServerVad>, PublishedVad<'server_vad'>>;
type ServerVadWhole = Fits<keyof PublishedVad<'server_vad'>, keyof Named<ServerVad>>;
type SemanticVadFits = Fits<Named<SemanticVad>, PublishedVad<'semantic_vad'>>;
type SemanticVadWhole = Fits<keyof PublishedVad<'semantic_vad'>, keyof Named<SemanticVad>>;
type SessionFieldsKnown = Fits<keyof Named<SessionConfig>, keyof RealtimeSessionCreateRequest>;
type AudioFieldsKnown = Fits<keyof Named<NonNullable<SessionConfig['audio']>>, keyof NonNullable<RealtimeSessionCreateRequest['audio']>>;

/** What clients may send according to the published types, we take. Three events have parts, which are held one by one. */
type Sent<T extends RealtimeClientEvent['type']> = Plain<Extract<RealtimeClientEvent, { type: T }>>;
type Read<T extends keyof typeof CLIENT_EVENTS> = z.input<(typeof CLIENT_EVENTS)[T]['schema']>;
type EventsOfParts = 'session.update' | 'response.create' | 'conversation.item.create';
type EventsUntaken = { [T in Exclude<keyof typeof CLIENT_EVENTS, EventsOfParts>]: Sent<T> extends Read<T> ? never : T };
type EventsTaken = Fits<EventsUntaken[keyof EventsUntaken], never>;
/** Interfaces as what they hold: only that fits types which allow for more fields. */
type Plain<T> = T extends string ? T : T extends readonly (infer E)[] ? Plain<E>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
/** The published types leave open what a tool, a format or a part of a message is; they are useless so, and refused. */
type Typed<T> = T extends { type?: infer K extends string } ? Omit<T, 'type'> & { type: K } : never;

/** `session.update`: all but sessions for transcription. */
type PublishedSession = RealtimeSessionCreateRequest;
type SessionParts = 'tools' | 'audio';
type SessionTaken = Fits<Plain<Omit<PublishedSession, SessionParts>>, SessionConfig>;
type InputTaken = Fits<Plain<Omit<RealtimeAudioConfigInput, 'format'>>, NonNullable<NonNullable<SessionConfig['audio']>['input']>>;
type OutputTaken = Fits<Plain<Omit<RealtimeAudioConfigOutput, 'format'>>, NonNullable<NonNullable<SessionConfig['audio']>['output']>>;
type AudioWhole = Fits<keyof NonNullable<PublishedSession['audio']>, 'input' | 'output'>;
type FormatTaken = Fits<Plain<Typed<RealtimeAudioFormats>>, NonNullable<NonNullable<NonNullable<SessionConfig['audio']>['input']>['format']>>;
type ToolsTaken = Fits<
  Plain<Typed<RealtimeToolsConfigUnion.Mcp> | (Typed<Omit<RealtimeFunctionTool, 'name' | 'parameters'>> & { name: string; parameters?: Record<string, unknown> })>,
  NonNullable<SessionConfig['tools']>[number]
>;

/** `response.create`: all but responses outside of the conversation. */
type PublishedOverrides = NonNullable<ResponseCreateEvent['response']>;
type Overrides = z.input<typeof responseConfigSchema>;
type OverridesKnown = Fits<keyof Named<Overrides>, keyof PublishedOverrides>;
type OverridesTaken = Fits<Plain<Omit<PublishedOverrides, 'conversation' | 'input' | 'tools' | 'audio'>>, Overrides>;

/** `conversation.item.create`: all but the items of MCP servers, which agents call themselves. */
type ItemIn = z.input<typeof itemSchema>;
type Message = Extract<ConversationItem, { type: 'message' }>;
type ItemsTaken = Fits<Plain<Exclude<ConversationItem, Message | { type: `mcp_${string}` }>>, ItemIn>;
type MessagesTaken = Fits<Plain<Message extends infer M ? (M extends Message ? Omit<M, 'content'> & { content: [] } : never) : never>, ItemIn>;
type PartOf<M, R> = M extends { role: R; content: (infer P)[] } ? P : never;
type PartTypes<R extends Message['role']> = NonNullable<PartOf<Message, R>['type']>;
type PartsUntaken = { [R in Message['role']]: Exclude<PartTypes<R>, PartOf<ItemIn, R>['type']> };
type PartsTaken = Fits<PartsUntaken[Message['role']], never>;

/** Keeps the checks above from counting as unused. */
export type Checked = [
  EventsFit, NothingUnknown, ErrorFits, ResponseFits, ResponseFieldsKnown, StatusDetailsKnown,
  FunctionCallFits, MessageFits, PartNamesKnown, PartTypesKnown, SessionFits,
  ServerVadFits, ServerVadWhole, SemanticVadFits, SemanticVadWhole, SessionFieldsKnown, AudioFieldsKnown,
  EventsTaken, SessionTaken, InputTaken, OutputTaken, AudioWhole, FormatTaken, ToolsTaken,
  OverridesKnown, OverridesTaken, ItemsTaken, MessagesTaken, PartsTaken,
];

/** All that a client may send; the compiler asks for each name. */
const PUBLISHED_CLIENT_EVENTS: Record<RealtimeClientEvent['type'], true> = {
  'session.update': true,
  'input_audio_buffer.append': true,
  'input_audio_buffer.commit': true,
  'input_audio_buffer.clear': true,
  'output_audio_buffer.clear': true,
  'conversation.item.create': true,
  'conversation.item.retrieve': true,
  'conversation.item.truncate': true,
  'conversation.item.delete': true,
  'response.create': true,
  'response.cancel': true,
};

test('every published client event is understood, and no other', () => {
  assert.deepEqual(Object.keys(CLIENT_EVENTS).sort(), Object.keys(PUBLISHED_CLIENT_EVENTS).sort());
});
