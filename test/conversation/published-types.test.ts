/**
 * Holds our events and sessions against the published types of the protocol, at compile time: a field that is renamed
 * on either side is a type error here. At run time only the names of the events are compared.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  RealtimeClientEvent,
  RealtimeErrorEvent,
  RealtimeResponse,
  RealtimeServerEvent,
  RealtimeSessionCreateRequest,
  RealtimeAudioInputTurnDetection,
  ResponseCreateEvent,
} from 'openai/resources/realtime/realtime';
import type { z } from 'zod';
import type { Item } from '../../src/conversation/dialect.ts';
import { clientEventTypes } from '../../src/conversation/realtime-client-events.ts';
import type { ResponseObject, ServerEvent, ServerEventType } from '../../src/conversation/realtime-server-events.ts';
import type { responseConfigSchema, SemanticVad, ServerVad, Session, SessionConfig } from '../../src/conversation/session-config.ts';

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
/** … and no others, of which a client would know nothing. */
type UnknownFields = { [T in ServerEventType]: Exclude<keyof ServerEvent<T>, keyof Published<T>> }[ServerEventType];
type NothingUnknown = Fits<UnknownFields, never>;

type ErrorFits = Fits<ServerEvent<'error'>['error'], RealtimeErrorEvent['error']>;
type ResponseFits = Fits<Omit<Loose<ResponseObject>, 'output' | 'audio' | 'output_modalities' | 'usage' | 'status_details'>, RealtimeResponse>;
type ResponseFieldsKnown = Fits<keyof ResponseObject, keyof RealtimeResponse>;
type StatusDetailsKnown = Fits<keyof NonNullable<ResponseObject['status_details']>, keyof NonNullable<RealtimeResponse['status_details']>>;

/** The fields of a session that we act on are published, with these types. */
type PublishedVad<T extends string> = Extract<RealtimeAudioInputTurnDetection, { type: T }>;
type ServerVadFits = Fits<Named<ServerVad>, PublishedVad<'server_vad'>>;
type ServerVadWhole = Fits<keyof PublishedVad<'server_vad'>, keyof Named<ServerVad>>;
type SemanticVadFits = Fits<Named<SemanticVad>, PublishedVad<'semantic_vad'>>;
type SemanticVadWhole = Fits<keyof PublishedVad<'semantic_vad'>, keyof Named<SemanticVad>>;
type SessionFieldsKnown = Fits<keyof Named<SessionConfig>, keyof RealtimeSessionCreateRequest>;
type AudioFieldsKnown = Fits<keyof Named<NonNullable<SessionConfig['audio']>>, keyof NonNullable<RealtimeSessionCreateRequest['audio']>>;

/** What clients may send according to the published types, we take. */
type PublishedOverrides = NonNullable<ResponseCreateEvent['response']>;
type OverridesKnown = Fits<keyof Named<z.input<typeof responseConfigSchema>>, keyof PublishedOverrides>;
type ModalitiesTaken = Fits<NonNullable<RealtimeSessionCreateRequest['output_modalities']>, NonNullable<SessionConfig['output_modalities']>>;
type MaxTokensTaken = Fits<NonNullable<RealtimeSessionCreateRequest['max_output_tokens']>, NonNullable<SessionConfig['max_output_tokens']>>;
type ToolChoiceTaken = Fits<Extract<RealtimeSessionCreateRequest['tool_choice'], string>, NonNullable<SessionConfig['tool_choice']>>;

/** Keeps the checks above from counting as unused. */
export type Checked = [
  EventsFit, NothingUnknown, ErrorFits, ResponseFits, ResponseFieldsKnown, StatusDetailsKnown,
  ServerVadFits, ServerVadWhole, SemanticVadFits, SemanticVadWhole, SessionFieldsKnown, AudioFieldsKnown,
  OverridesKnown, ModalitiesTaken, MaxTokensTaken, ToolChoiceTaken,
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
  assert.deepEqual(clientEventTypes().sort(), Object.keys(PUBLISHED_CLIENT_EVENTS).sort());
});
