/**
 * Bridges a call to any server that speaks the OpenAI Realtime protocol over WebSocket. That server finds the turns,
 * leads the conversation and is told everything that the client says; the client is told everything that it answers.
 * Different on a call is the sound, and with it what was heard:
 *
 *   caller ─ audio ──► input_audio_buffer.append ────────────────────► server
 *   caller ◄─ paced ── response.output_audio.delta ◄────────────────── server
 *   client ◄── output_audio_buffer.started, .stopped, .cleared
 *   caller speaks, or client clears ──► conversation.item.truncate ──► server   (what was heard, in milliseconds)
 */
import type { Agent, AgentCall, AgentEvent, AgentSession, Interruption } from './agent.ts';
import { type Fields, OWN, type ServerEvent, withoutLongAudio } from './realtime-events.ts';
import { RealtimeMemory } from './realtime-memory.ts';
import { RealtimePlayback } from './realtime-playback.ts';
import { RealtimeSession } from './realtime-session.ts';
import { RealtimeUpstream } from './realtime-upstream.ts';

const NAME = 'realtime';

/** @throws {TypeError} without an upstream. */
export function realtime({ upstream, upstreamKey }: { upstream?: string; upstreamKey?: string }): Agent {
  if (!upstream || !/^wss?:\/\//.test(upstream) || !URL.canParse(upstream)) {
    throw new TypeError('say with --upstream wss://… which Realtime server it shall talk to');
  }
  return {
    name: NAME,
    format: { codec: 'pcm16', rate: 24_000 },
    turns: false,
    bridge: true,
    open: (call) => new RealtimeBridge(call, upstream, upstreamKey),
  };
}

class RealtimeBridge implements AgentSession {
  readonly #call: AgentCall;
  readonly #upstream: RealtimeUpstream;
  readonly #memory = new RealtimeMemory();
  readonly #session: RealtimeSession;
  readonly #playback: RealtimePlayback;
  #state: 'connecting' | 'configuring' | 'ready' = 'connecting';
  #greeted = false;
  /** The greeting of the server, with its own session. */
  #server: ServerEvent | null = null;
  /** Client events that came while there was no server. */
  #waiting: AgentEvent[] = [];
  /** Responses that the server has begun and not ended. */
  readonly #open = new Map<string, Fields>();
  /** Those of them that were cut short: what still comes of them is not played. */
  readonly #cut = new Set<string>();
  /** Items that a new connection was told again. */
  readonly #replayed = new Set<string>();
  #interrupts = true;

  constructor(call: AgentCall, url: string, key: string | undefined) {
    this.#call = call;
    this.#session = new RealtimeSession(call.requested);
    this.#playback = new RealtimePlayback(call);
    this.#upstream = new RealtimeUpstream(withModel(url, call.requested['model']), key, {
      event: (event) => this.#serverEvent(event),
      lost: (reason) => {
        this.#lost();
        this.#tellError('upstream_disconnected', `The connection to the upstream server is lost (${reason}); connecting again.`);
      },
      failed: (reason) => {
        this.#lost();
        this.#tellError('upstream_unavailable', `The upstream server cannot be reached: ${reason}.`);
        call.hangup('upstream_unavailable');
      },
    });
  }

  audio(samples: Int16Array): void {
    if (this.#state === 'ready') this.#upstream.sendAudio(samples);
  }

  event(event: AgentEvent): void {
    if (this.#state === 'ready') {
      // An update that does not arrive is asked again.
      const sent = event.type === 'session.update' ? this.#session.ask(event) : event;
      if (this.#upstream.send(sent) || sent !== event) return;
    }
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(event);
    else this.#tellError('upstream_disconnected', 'There is no connection to the upstream server.', event['event_id'] ?? null);
  }

  /** The client cleared what was being played. */
  interrupted({ responseId, heardMs }: Interruption): void {
    if (this.#playback.responseId === responseId) this.#cutShort(heardMs);
  }

  close(): void {
    this.#upstream.close();
  }

  #serverEvent(event: ServerEvent): void {
    this.#memory.note(event);
    const { item, response, response_id: responseId, item_id: itemId, delta } = event;
    switch (event.type) {
      case 'session.created':
        this.#state = 'configuring';
        this.#server = event;
        this.#upstream.send({ type: 'session.update', event_id: `${OWN}session`, session: this.#session.config });
        return;
      case 'session.updated':
        if (this.#state === 'ready') this.#session.agree();
        this.#sessionUpdated(event);
        return;
      case 'error':
        this.#error(event);
        return;
      case 'response.output_audio.delta':
        if (!responseId || !itemId || typeof delta !== 'string' || this.#cut.has(responseId)) return;
        this.#playback.play(responseId, itemId, delta);
        return;
      case 'conversation.item.added':
      case 'conversation.item.done':
        if (item?.id && this.#replayed.has(item.id)) return;
        break;
      case 'conversation.item.retrieved':
        this.#call.send(withoutLongAudio(event));
        return;
      case 'input_audio_buffer.speech_started':
        this.#call.send(event);
        if (this.#interrupts && this.#playback.responseId !== null) this.#cutShort(this.#call.clear());
        return;
      case 'response.created':
        if (response?.id) this.#open.set(response.id, response);
        break;
      case 'response.output_audio.done':
        this.#playback.complete((message) => message.itemId === itemId);
        break;
      case 'response.done':
        if (!response?.id) break;
        this.#open.delete(response.id);
        this.#cut.delete(response.id);
        this.#playback.complete((message) => message.responseId === response.id);
        break;
    }
    this.#call.send(event);
  }

  #sessionUpdated(event: ServerEvent): void {
    this.#interrupts = event.session?.audio?.input?.turn_detection?.interrupt_response !== false;
    // The client's session begins as it wanted it, so it sees the server's default never.
    this.#call.send({ ...event, type: this.#greeted ? 'session.updated' : 'session.created' });
    this.#greeted = true;
    if (this.#state !== 'configuring') return;
    this.#state = 'ready';
    this.#upstream.established();
    for (const item of this.#memory.replay()) {
      this.#replayed.add(item.id);
      this.#upstream.send({ type: 'conversation.item.create', event_id: `${OWN}replay`, item });
    }
    for (const waiting of this.#waiting.splice(0)) this.event(waiting);
  }

  #error(event: ServerEvent): void {
    const cause = event.error?.event_id;
    const clientId = this.#session.refuse(cause);
    if (cause === `${OWN}session`) {
      // The call goes on with the server's own session, and the client knows why.
      this.#call.send({ ...event, error: { ...event.error, event_id: null } });
      if (this.#server !== null) this.#sessionUpdated(this.#server);
    } else if (clientId !== undefined) {
      this.#call.send({ ...event, error: { ...event.error, event_id: clientId } });
    } else if (!cause?.startsWith(OWN)) {
      this.#call.send(event);
    }
  }

  /** There is no server: what it was saying ends where it was, and what it has not answered is asked again. */
  #lost(): void {
    this.#state = 'connecting';
    this.#waiting.unshift(...this.#session.takeUnanswered());
    const error = { type: 'server_error', code: 'upstream_disconnected' };
    for (const response of this.#open.values()) {
      this.#call.send({ type: 'response.done', response: { ...response, status: 'failed', status_details: { type: 'failed', error } } });
    }
    this.#open.clear();
    this.#cut.clear();
    this.#playback.complete(() => true);
  }

  /** What has not been heard was never said. */
  #cutShort(heardMs: number): void {
    for (const { responseId, itemId, heardMs: end } of this.#playback.cut(heardMs)) {
      if (this.#open.has(responseId)) this.#cut.add(responseId);
      const event_id = `${OWN}truncate`;
      this.#upstream.send({ type: 'conversation.item.truncate', event_id, item_id: itemId, content_index: 0, audio_end_ms: end });
    }
  }

  #tellError(code: string, message: string, eventId: unknown = null): void {
    this.#call.send({ type: 'error', error: { type: 'server_error', code, message, param: null, event_id: eventId } });
  }
}

const MAX_WAITING = 100;

/** The model is part of the URL; the client's counts when the operator has set none, unless it only chose this agent by it. */
function withModel(url: string, model: unknown): string {
  const target = new URL(url);
  if (typeof model === 'string' && model !== NAME && !target.searchParams.has('model')) target.searchParams.set('model', model);
  return target.href;
}
