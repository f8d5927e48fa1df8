/**
 * The events of the OpenAI Realtime protocol, as they go over the data channel `oai-events` of a WebRTC call.
 *
 *   client                                server
 *     │        (channel opens)              │
 *     │ ◄──────────────── session.created   │
 *     │ session.update ─────────────────►   │
 *     │ ◄──────────────── session.updated   │
 *     │        (caller speaks)              │
 *     │ ◄── input_audio_buffer.speech_started, .speech_stopped, .committed, conversation.item.added, .done
 *     │ ◄── response.created, response.output_item.added, conversation.item.added
 *     │ ◄── output_audio_buffer.started     │   (audio)
 *     │ ◄── response.output_audio.done, response.output_item.done, conversation.item.done, response.done
 *     │ ◄── output_audio_buffer.stopped     │
 *
 * Deviation: `response.done` comes when the answer has been played, not when it has been made, so that its status tells
 * what the caller heard.
 */
import type { AgentEvent } from '../agents/agent.ts';
import type { ClientMessage, Dialect, Fault, Notice, ResponseView } from './dialect.ts';
import { readClientEvent } from './realtime-client-events.ts';
import type { Session } from './session-config.ts';

export class RealtimeDialect implements Dialect {
  readonly #conversationId: string;
  readonly #nextId: (prefix: string) => string;

  /** @param nextId gives ids that are unique within the call. */
  constructor(nextId: (prefix: string) => string) {
    this.#nextId = nextId;
    this.#conversationId = nextId('conv');
  }

  read(text: string): ClientMessage | Fault {
    return readClientEvent(text);
  }

  write(notice: Notice): string[] {
    switch (notice.type) {
      case 'session_created':
        return [this.#event('session.created', { session: notice.session })];
      case 'session_updated':
        return [this.#event('session.updated', { session: notice.session })];
      case 'speech_started':
        return [
          this.#event('input_audio_buffer.speech_started', {
            audio_start_ms: Math.round(notice.startMs),
            item_id: notice.itemId,
          }),
        ];
      case 'speech_stopped':
        return [
          this.#event('input_audio_buffer.speech_stopped', {
            audio_end_ms: Math.round(notice.endMs),
            item_id: notice.itemId,
          }),
        ];
      case 'input_committed':
        return [
          this.#event('input_audio_buffer.committed', {
            previous_item_id: notice.previousItemId,
            item_id: notice.itemId,
          }),
        ];
      case 'input_cleared':
        return [this.#event('input_audio_buffer.cleared', {})];
      case 'item_added':
      case 'item_done':
        return [
          this.#event(notice.type === 'item_added' ? 'conversation.item.added' : 'conversation.item.done', {
            previous_item_id: notice.previousItemId,
            item: notice.item,
          }),
        ];
      case 'item_retrieved':
        return [this.#event('conversation.item.retrieved', { item: notice.item })];
      case 'item_deleted':
        return [this.#event('conversation.item.deleted', { item_id: notice.itemId })];
      case 'item_truncated':
        return [
          this.#event('conversation.item.truncated', {
            item_id: notice.itemId,
            content_index: 0,
            audio_end_ms: Math.round(notice.audioEndMs),
          }),
        ];
      case 'response_created':
        return [this.#event('response.created', { response: this.#response(notice.response, notice.session) })];
      case 'response_item_added':
        return [
          this.#event('response.output_item.added', {
            response_id: notice.responseId,
            output_index: 0,
            item: notice.item,
          }),
        ];
      case 'response_item_done':
        return [
          this.#event('response.output_audio.done', {
            response_id: notice.responseId,
            item_id: notice.item.id,
            output_index: 0,
            content_index: 0,
          }),
          this.#event('response.output_item.done', {
            response_id: notice.responseId,
            output_index: 0,
            item: notice.item,
          }),
        ];
      case 'response_done':
        return [this.#event('response.done', { response: this.#response(notice.response, notice.session) })];
      case 'output_started':
        return [this.#event('output_audio_buffer.started', { response_id: notice.responseId })];
      case 'output_stopped':
        return [this.#event('output_audio_buffer.stopped', { response_id: notice.responseId })];
      case 'output_cleared':
        return [this.#event('output_audio_buffer.cleared', { response_id: notice.responseId })];
      case 'agent_event':
        return [this.#agentEvent(notice.event)];
      case 'error':
        return [
          this.#event('error', {
            error: {
              type: notice.fault.kind,
              code: notice.fault.code,
              message: notice.fault.message,
              param: notice.fault.param,
              event_id: notice.fault.eventId,
            },
          }),
        ];
    }
  }

  #event(type: string, fields: object): string {
    return JSON.stringify({ type, event_id: this.#nextId('event'), ...fields });
  }

  #agentEvent(event: AgentEvent): string {
    return JSON.stringify({ event_id: this.#nextId('event'), ...event });
  }

  #response(response: ResponseView, session: Session): object {
    const { outcome } = response;
    return {
      object: 'realtime.response',
      id: response.id,
      conversation_id: this.#conversationId,
      status: outcome.status,
      status_details: statusDetails(outcome),
      output: response.output,
      output_modalities: session.output_modalities,
      audio: { output: { format: session.audio.output['format'], voice: session.audio.output.voice } },
      metadata: null,
      usage: null,
    };
  }
}

function statusDetails(outcome: ResponseView['outcome']): object | null {
  if (outcome.status === 'cancelled') return { type: 'cancelled', reason: outcome.reason };
  if (outcome.status !== 'failed') return null;
  return { type: 'failed', error: { type: 'server_error', code: 'agent_error', message: outcome.message } };
}
