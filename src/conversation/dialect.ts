/**
 * What a conversation and its client have to say to each other, apart from the words: a {@link Dialect} puts it into
 * a protocol's events. The Realtime dialect is one; others can follow without touching the conversation.
 */
import type { AgentEvent } from '../agents/agent.ts';
import type { Session, SessionConfig } from './session-config.ts';

export interface Dialect {
  /** Reads one message of the client. A message that cannot be acted on gives the fault to tell it. */
  read(text: string): ClientMessage | Fault;
  /** Writes one notice as zero or more messages, in order. */
  write(notice: Notice): string[];
}

/** A checked message: what to do, and the event itself for the agent. */
export interface ClientMessage {
  readonly type: 'message';
  readonly command: Command;
  readonly event: AgentEvent;
  /** The client's id of the event, to be named in errors. */
  readonly eventId: string | null;
}

export type Command =
  | { readonly type: 'update_session'; readonly patch: SessionConfig }
  | { readonly type: 'commit_input' }
  | { readonly type: 'clear_input' }
  | { readonly type: 'clear_output' }
  | { readonly type: 'create_response' }
  /** `responseId` null: whichever is going on. */
  | { readonly type: 'cancel_response'; readonly responseId: string | null }
  /** `after` null: at the beginning; undefined: at the end. */
  | { readonly type: 'create_item'; readonly item: ItemDraft; readonly after: string | null | undefined }
  | { readonly type: 'retrieve_item'; readonly itemId: string }
  | { readonly type: 'delete_item'; readonly itemId: string };

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
  | 'unsupported_event'
  | 'invalid_value'
  | 'session_too_large'
  | 'input_audio_buffer_commit_empty'
  | 'conversation_already_has_active_response'
  | 'response_cancel_not_active'
  | 'response_not_supported'
  | 'item_not_found'
  | 'item_already_exists'
  | 'agent_error';

/** An entry of the conversation: a message, a function call or its output. */
export interface Item extends ItemDraft {
  readonly id: string;
  readonly object: 'realtime.item';
}

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
}

export type Notice =
  | { readonly type: 'session_created' | 'session_updated'; readonly session: Session }
  | { readonly type: 'speech_started'; readonly itemId: string; readonly startMs: number }
  | { readonly type: 'speech_stopped'; readonly itemId: string; readonly endMs: number }
  | { readonly type: 'input_committed'; readonly itemId: string; readonly previousItemId: string | null }
  | { readonly type: 'input_cleared' }
  | { readonly type: 'item_added' | 'item_done'; readonly item: Item; readonly previousItemId: string | null }
  | { readonly type: 'item_retrieved'; readonly item: Item }
  | { readonly type: 'item_deleted'; readonly itemId: string }
  | { readonly type: 'item_truncated'; readonly itemId: string; readonly audioEndMs: number }
  | { readonly type: 'response_created' | 'response_done'; readonly response: ResponseView; readonly session: Session }
  | { readonly type: 'response_item_added' | 'response_item_done'; readonly responseId: string; readonly item: Item }
  | { readonly type: 'output_started' | 'output_stopped' | 'output_cleared'; readonly responseId: string }
  | { readonly type: 'agent_event'; readonly event: AgentEvent }
  | { readonly type: 'error'; readonly fault: Fault };
