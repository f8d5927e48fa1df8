/**
 * What a conversation and its client have to say to each other, apart from the words: a {@link Dialect} puts it into
 * a protocol's events. The Realtime dialect is one; others can follow without touching the conversation, which is given
 * its dialect and knows none by name (the linter sees to that).
 */
import type { AgentEvent } from '../agents/agent.ts';
import type { Session } from './session-config.ts';
import type { SessionConfig } from './session-schema.ts';

/** Makes the dialect of one conversation. @param nextId gives ids that are unique within the call */
export type NewDialect = (callId: string, nextId: (prefix: string) => string) => Dialect;

export interface Dialect {
  /** Reads one message of the client. A message that cannot be acted on gives the fault to tell it. */
  read(text: string): ClientMessage | Fault;
  /** Reads a message that somebody else will act on: only its form is checked. */
  readEnvelope(text: string): ClientEnvelope | Fault;
  /** Writes one notice as zero or more messages, in order. */
  write(notice: Notice): string[];
}

export interface ClientEnvelope {
  readonly type: 'message';
  readonly event: AgentEvent;
  /** The client's id of the event, to be named in errors. */
  readonly eventId: string | null;
}

/** A checked message: what to do, and the event itself for the agent. */
export interface ClientMessage extends ClientEnvelope {
  readonly command: Command;
}

export type Command =
  | { readonly type: 'update_session'; readonly patch: SessionConfig }
  /** Mono 16-bit samples at 24 kHz. */
  | { readonly type: 'append_input'; readonly samples: Int16Array }
  | { readonly type: 'commit_input' }
  | { readonly type: 'clear_input' }
  | { readonly type: 'clear_output' }
  | { readonly type: 'create_response'; readonly overrides: ResponseOverrides }
  /** `responseId` null: whichever is going on. */
  | { readonly type: 'cancel_response'; readonly responseId: string | null }
  /** `after` null: at the beginning; undefined: at the end. */
  | { readonly type: 'create_item'; readonly item: ItemDraft; readonly after: string | null | undefined }
  | { readonly type: 'retrieve_item'; readonly itemId: string }
  | { readonly type: 'truncate_item'; readonly itemId: string; readonly audioEndMs: number }
  | { readonly type: 'delete_item'; readonly itemId: string };

/** What one response does otherwise than the session says. */
export interface ResponseOverrides {
  readonly session: SessionConfig;
  readonly metadata: Readonly<Record<string, string>> | null;
}

export interface Fault {
  readonly type: 'fault';
  /** Whose fault it is: the client's or ours. */
  readonly kind: 'invalid_request_error' | 'server_error';
  readonly code: FaultCode;
  readonly message: string;
  /** Dotted path of the wrong field. */
  readonly param: string | null;
  readonly eventId: string | null;
}

export type FaultCode =
  | 'invalid_json'
  | 'invalid_event'
  | 'unknown_event'
  | 'invalid_value'
  | 'session_too_large'
  | 'item_too_large'
  | 'event_too_large'
  | 'cannot_update_voice'
  | 'input_audio_not_supported'
  | 'input_audio_buffer_commit_empty'
  | 'conversation_already_has_active_response'
  | 'response_cancel_not_active'
  | 'response_not_supported'
  | 'item_not_found'
  | 'item_already_exists'
  | 'session_expired'
  | 'agent_error';

/** An entry of the conversation: a message, a function call or its output. */
export interface Item extends ItemDraft {
  readonly id: string;
  readonly object: 'realtime.item';
}

/** What was said: by the caller, or by the agent. */
export interface MessageItem extends Item {
  readonly type: 'message';
  readonly status: ItemStatus;
  readonly role: 'user' | 'assistant';
  readonly content: readonly MessagePart[];
}

export type MessagePart =
  | { readonly type: 'input_audio' | 'output_audio'; readonly transcript?: string | null }
  | { readonly type: 'output_text'; readonly text: string };

export interface FunctionCallItem extends Item {
  readonly type: 'function_call';
  readonly status: ItemStatus;
  readonly call_id: string;
  readonly name: string;
  readonly arguments: string;
}

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export interface ItemDraft {
  readonly type: string;
  readonly [field: string]: unknown;
}

export type ResponseStatus =
  | { readonly status: 'in_progress' | 'completed' }
  | { readonly status: 'cancelled'; readonly reason: 'turn_detected' | 'client_cancelled' }
  | { readonly status: 'failed'; readonly message: string };

export interface ResponseView {
  readonly id: string;
  readonly outcome: ResponseStatus;
  readonly output: readonly Item[];
  readonly session: Session;
  readonly metadata: Readonly<Record<string, string>> | null;
}

/** Where in a response something happens. */
export interface OutputPlace {
  readonly responseId: string;
  readonly itemId: string;
  readonly outputIndex: number;
}

export type Modality = 'audio' | 'text';

export type Notice =
  | { readonly type: 'session_created' | 'session_updated'; readonly session: Session }
  | { readonly type: 'speech_started'; readonly itemId: string; readonly startMs: number }
  | { readonly type: 'speech_stopped'; readonly itemId: string; readonly endMs: number }
  | { readonly type: 'input_committed'; readonly itemId: string; readonly previousItemId: string | null }
  | { readonly type: 'input_cleared' }
  | { readonly type: 'input_timeout'; readonly itemId: string; readonly startMs: number; readonly endMs: number }
  | { readonly type: 'input_transcribed'; readonly itemId: string; readonly transcript: string; readonly seconds: number }
  | { readonly type: 'input_not_transcribed'; readonly itemId: string; readonly message: string }
  | { readonly type: 'item_added' | 'item_done'; readonly item: Item; readonly previousItemId: string | null }
  | { readonly type: 'item_retrieved'; readonly item: Item }
  | { readonly type: 'item_deleted'; readonly itemId: string }
  | { readonly type: 'item_truncated'; readonly itemId: string; readonly audioEndMs: number }
  | { readonly type: 'response_created' | 'response_done'; readonly response: ResponseView }
  | { readonly type: 'response_item_added' | 'response_item_done'; readonly place: OutputPlace; readonly item: Item }
  | { readonly type: 'content_added'; readonly place: OutputPlace; readonly modality: Modality }
  | { readonly type: 'content_words'; readonly place: OutputPlace; readonly modality: Modality; readonly words: string }
  | { readonly type: 'content_done'; readonly place: OutputPlace; readonly modality: Modality; readonly text: string | null }
  | { readonly type: 'function_called'; readonly place: OutputPlace; readonly call: FunctionCall }
  | { readonly type: 'output_started' | 'output_stopped' | 'output_cleared'; readonly responseId: string }
  | { readonly type: 'agent_event'; readonly event: AgentEvent }
  | { readonly type: 'error'; readonly fault: Fault };

export interface FunctionCall {
  readonly name: string;
  /** JSON. */
  readonly arguments: string;
  readonly callId: string;
}
