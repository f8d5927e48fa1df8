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
 *     │ ◄── response.created
 *     │ ◄── response.output_item.added, conversation.item.added, response.content_part.added
 *     │ ◄── response.output_audio_transcript.delta …
 *     │ ◄── output_audio_buffer.started     │   (audio)
 *     │ ◄── response.output_audio.done, .output_audio_transcript.done, .content_part.done, .output_item.done
 *     │ ◄── conversation.item.done, response.done
 *     │ ◄── output_audio_buffer.stopped     │
 *
 * Deviation: `response.done` comes when the answer has been played, not when it has been made, so that its status tells
 * what the caller heard.
 */
import type { AgentEvent } from '../agents/agent.ts';
import type { ClientEnvelope, ClientMessage, Dialect, Fault, Modality, NewDialect, Notice, OutputPlace, ResponseView } from './dialect.ts';
import { readClientEnvelope, readClientEvent } from './realtime-client-events.ts';
import type { ContentPart, ContentPlace, ResponseObject, ResponseStatusDetails, ServerEventFields, ServerEventType } from './realtime-server-events.ts';

export const realtimeDialect: NewDialect = (callId, nextId) => new RealtimeDialect(callId, nextId);

class RealtimeDialect implements Dialect {
  readonly #callId: string;
  readonly #conversationId: string;
  readonly #nextId: (prefix: string) => string;

  /** @param nextId gives ids that are unique within the call. */
  constructor(callId: string, nextId: (prefix: string) => string) {
    this.#callId = callId;
    this.#nextId = nextId;
    this.#conversationId = nextId('conv');
  }

  read(text: string): ClientMessage | Fault {
    return readClientEvent(text);
  }

  readEnvelope(text: string): ClientEnvelope | Fault {
    return readClientEnvelope(text);
  }

  write(notice: Notice): string[] {
    switch (notice.type) {
      case 'session_created':
        return [this.#event('session.created', { session: notice.session, call_id: this.#callId })];
      case 'session_updated':
        return [this.#event('session.updated', { session: notice.session })];
      case 'speech_started':
      case 'speech_stopped':
      case 'input_committed':
      case 'input_cleared':
      case 'input_timeout':
      case 'input_transcribed':
      case 'input_not_transcribed':
        return [this.#input(notice)];
      case 'item_added':
      case 'item_done': {
        const { item, previousItemId } = notice;
        const type = notice.type === 'item_added' ? 'conversation.item.added' : 'conversation.item.done';
        return [this.#event(type, { previous_item_id: previousItemId, item })];
      }
      case 'item_retrieved':
        return [this.#event('conversation.item.retrieved', { item: notice.item })];
      case 'item_deleted':
        return [this.#event('conversation.item.deleted', { item_id: notice.itemId })];
      case 'item_truncated': {
        const { itemId, audioEndMs } = notice;
        const fields = { item_id: itemId, content_index: 0, audio_end_ms: Math.round(audioEndMs) };
        return [this.#event('conversation.item.truncated', fields)];
      }
      case 'response_created':
        return [this.#event('response.created', { response: this.#response(notice.response) })];
      case 'response_done':
        return [this.#event('response.done', { response: this.#response(notice.response) })];
      case 'response_item_added':
      case 'response_item_done': {
        const { place, item } = notice;
        const type = notice.type === 'response_item_added' ? 'response.output_item.added' : 'response.output_item.done';
        return [this.#event(type, { response_id: place.responseId, output_index: place.outputIndex, item })];
      }
      case 'content_added':
        return [this.#event('response.content_part.added', { ...contentPlace(notice.place), part: contentPart(notice.modality, '') })];
      case 'content_words': {
        const type = notice.modality === 'audio' ? 'response.output_audio_transcript.delta' : 'response.output_text.delta';
        return [this.#event(type, { ...contentPlace(notice.place), delta: notice.words })];
      }
      case 'content_done':
        return this.#contentDone(notice);
      case 'function_called': {
        const { place, call } = notice;
        const at = { response_id: place.responseId, item_id: place.itemId, output_index: place.outputIndex, call_id: call.callId };
        return [
          this.#event('response.function_call_arguments.delta', { ...at, delta: call.arguments }),
          this.#event('response.function_call_arguments.done', { ...at, name: call.name, arguments: call.arguments }),
        ];
      }
      case 'output_started':
        return [this.#event('output_audio_buffer.started', { response_id: notice.responseId })];
      case 'output_stopped':
        return [this.#event('output_audio_buffer.stopped', { response_id: notice.responseId })];
      case 'output_cleared':
        return [this.#event('output_audio_buffer.cleared', { response_id: notice.responseId })];
      case 'agent_event':
        return [this.#agentEvent(notice.event)];
      case 'error': {
        const { kind, code, message, param, eventId } = notice.fault;
        return [this.#event('error', { error: { type: kind, code, message, param, event_id: eventId } })];
      }
    }
  }

  #input(notice: Extract<Notice, { type: 'speech_started' | 'speech_stopped' | 'input_committed' | 'input_cleared' | 'input_timeout' | 'input_transcribed' | 'input_not_transcribed' }>): string {
    switch (notice.type) {
      case 'speech_started':
        return this.#event('input_audio_buffer.speech_started', {
          audio_start_ms: Math.round(notice.startMs),
          item_id: notice.itemId,
        });
      case 'speech_stopped':
        return this.#event('input_audio_buffer.speech_stopped', {
          audio_end_ms: Math.round(notice.endMs),
          item_id: notice.itemId,
        });
      case 'input_committed':
        return this.#event('input_audio_buffer.committed', {
          previous_item_id: notice.previousItemId,
          item_id: notice.itemId,
        });
      case 'input_cleared':
        return this.#event('input_audio_buffer.cleared', {});
      case 'input_timeout':
        return this.#event('input_audio_buffer.timeout_triggered', {
          audio_start_ms: Math.round(notice.startMs),
          audio_end_ms: Math.round(notice.endMs),
          item_id: notice.itemId,
        });
      case 'input_transcribed':
        return this.#event('conversation.item.input_audio_transcription.completed', {
          item_id: notice.itemId,
          content_index: 0,
          transcript: notice.transcript,
          usage: { type: 'duration', seconds: notice.seconds },
        });
      case 'input_not_transcribed':
        return this.#event('conversation.item.input_audio_transcription.failed', {
          item_id: notice.itemId,
          content_index: 0,
          error: { type: 'transcription_error', code: 'audio_not_transcribed', message: notice.message },
        });
    }
  }

  #contentDone({ place, modality, text }: Extract<Notice, { type: 'content_done' }>): string[] {
    const at = contentPlace(place);
    const events =
      modality === 'text'
        ? [this.#event('response.output_text.done', { ...at, text: text ?? '' })]
        : [
            this.#event('response.output_audio.done', at),
            ...(text === null ? [] : [this.#event('response.output_audio_transcript.done', { ...at, transcript: text })]),
          ];
    return [...events, this.#event('response.content_part.done', { ...at, part: contentPart(modality, text) })];
  }

  #event<T extends ServerEventType>(type: T, fields: ServerEventFields<T>): string {
    return JSON.stringify({ type, event_id: this.#nextId('event'), ...fields });
  }

  #agentEvent(event: AgentEvent): string {
    // That of a server behind the agent is the one that the client gets.
    const own = event.type === 'session.created' ? { call_id: this.#callId } : {};
    return JSON.stringify({ event_id: this.#nextId('event'), ...event, ...own });
  }

  #response({ id, outcome, output, session, metadata }: ResponseView): ResponseObject {
    return {
      object: 'realtime.response',
      id,
      conversation_id: this.#conversationId,
      status: outcome.status,
      status_details: statusDetails(outcome),
      output,
      output_modalities: session.output_modalities,
      audio: { output: { format: session.audio.output['format'], voice: session.audio.output.voice } },
      metadata,
      usage: null,
    };
  }
}

function contentPlace({ responseId, itemId, outputIndex }: OutputPlace): ContentPlace {
  return { response_id: responseId, item_id: itemId, output_index: outputIndex, content_index: 0 };
}

function contentPart(modality: Modality, text: string | null): ContentPart {
  if (modality === 'text') return { type: 'text', text: text ?? '' };
  return { type: 'audio', ...(text === null ? {} : { transcript: text }) };
}

function statusDetails(outcome: ResponseView['outcome']): ResponseStatusDetails | null {
  if (outcome.status === 'cancelled') return { type: 'cancelled', reason: outcome.reason };
  if (outcome.status !== 'failed') return null;
  return { type: 'failed', error: { type: 'server_error', code: 'agent_error', message: outcome.message } };
}
