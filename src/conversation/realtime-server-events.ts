/** The events that a client is sent, field by field; a test holds them against the published types. */
import type { Item } from './dialect.ts';
import type { Session } from './session-config.ts';

interface Fields {
  /** `call_id` is ours: a call that began with a ticket has no `Location` to learn it from. */
  'session.created': { session: Session; call_id: string };
  'session.updated': { session: Session };
  'input_audio_buffer.speech_started': { audio_start_ms: number; item_id: string };
  'input_audio_buffer.speech_stopped': { audio_end_ms: number; item_id: string };
  'input_audio_buffer.committed': { previous_item_id: string | null; item_id: string };
  'input_audio_buffer.cleared': object;
  'input_audio_buffer.timeout_triggered': { audio_start_ms: number; audio_end_ms: number; item_id: string };
  'conversation.item.added': { previous_item_id: string | null; item: Item };
  'conversation.item.done': { previous_item_id: string | null; item: Item };
  'conversation.item.retrieved': { item: Item };
  'conversation.item.deleted': { item_id: string };
  'conversation.item.truncated': { item_id: string; content_index: number; audio_end_ms: number };
  'conversation.item.input_audio_transcription.completed': {
    item_id: string;
    content_index: number;
    transcript: string;
    usage: { type: 'duration'; seconds: number };
  };
  'conversation.item.input_audio_transcription.failed': {
    item_id: string;
    content_index: number;
    error: { type: string; code: string; message: string };
  };
  'response.created': { response: ResponseObject };
  'response.done': { response: ResponseObject };
  'response.output_item.added': ResponsePlace & { item: Item };
  'response.output_item.done': ResponsePlace & { item: Item };
  'response.content_part.added': ContentPlace & { part: ContentPart };
  'response.content_part.done': ContentPlace & { part: ContentPart };
  'response.output_text.delta': ContentPlace & { delta: string };
  'response.output_text.done': ContentPlace & { text: string };
  'response.output_audio.done': ContentPlace;
  'response.output_audio_transcript.delta': ContentPlace & { delta: string };
  'response.output_audio_transcript.done': ContentPlace & { transcript: string };
  'response.function_call_arguments.delta': ItemPlace & { call_id: string; delta: string };
  'response.function_call_arguments.done': ItemPlace & { call_id: string; name: string; arguments: string };
  'output_audio_buffer.started': { response_id: string };
  'output_audio_buffer.stopped': { response_id: string };
  'output_audio_buffer.cleared': { response_id: string };
  error: { error: { type: string; code: string; message: string; param: string | null; event_id: string | null } };
}

export type ServerEventType = keyof Fields;

/** What one type of event has besides `type` and `event_id`. */
export type ServerEventFields<T extends ServerEventType> = Fields[T];

export type ServerEvent<T extends ServerEventType = ServerEventType> = {
  [K in T]: { readonly type: K; readonly event_id: string } & Readonly<Fields[K]>;
}[T];

export interface ResponsePlace {
  readonly response_id: string;
  readonly output_index: number;
}

export interface ItemPlace extends ResponsePlace {
  readonly item_id: string;
}

export interface ContentPlace extends ItemPlace {
  readonly content_index: number;
}

export type ContentPart = { readonly type: 'text'; readonly text: string } | { readonly type: 'audio'; readonly transcript?: string };

export interface ResponseObject {
  readonly object: 'realtime.response';
  readonly id: string;
  readonly conversation_id: string;
  readonly status: 'in_progress' | 'completed' | 'cancelled' | 'failed';
  readonly status_details: ResponseStatusDetails | null;
  readonly output: readonly Item[];
  readonly output_modalities: readonly string[];
  readonly audio: object;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly usage: null;
}

export interface ResponseStatusDetails {
  readonly type: 'cancelled' | 'failed';
  readonly reason?: 'turn_detected' | 'client_cancelled';
  readonly error?: { readonly type: string; readonly code: string; readonly message: string };
}
