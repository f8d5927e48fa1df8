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
import type { Agent, AgentCall, AgentEvent, AgentResponse, AgentSession, Interruption } from './agent.ts';
import { RealtimeMemory } from './realtime-memory.ts';
import { RealtimeUpstream } from './realtime-upstream.ts';

/** @throws {TypeError} without an upstream. */
export function realtime({ upstream, upstreamKey }: { upstream?: string; upstreamKey?: string }): Agent {
  if (!upstream || !/^wss?:\/\//.test(upstream) || !URL.canParse(upstream)) {
    throw new TypeError('say with --upstream wss://… which Realtime server it shall talk to');
  }
  return {
    name: 'realtime',
    format: { codec: 'pcm16', rate: 24_000 },
    turns: false,
    bridge: true,
    open: (call) => new RealtimeBridge(call, upstream, upstreamKey),
  };
}

type Fields = Readonly<Record<string, unknown>>;

/** One spoken message of the server. They are played one after the other, however fast they come. */
interface Output {
  readonly responseId: string;
  readonly itemId: string;
  /** What came before its turn to be played. */
  readonly waiting: Int16Array[];
  response: AgentResponse | null;
  whole: boolean;
  done: () => void;
}

class RealtimeBridge implements AgentSession {
  readonly #call: AgentCall;
  readonly #upstream: RealtimeUpstream;
  readonly #memory = new RealtimeMemory();
  /** What the client wants of the session, for every new connection. */
  #wanted: Fields;
  #state: 'connecting' | 'configuring' | 'ready' = 'connecting';
  #greeted = false;
  /** The greeting of the server, with its own session. */
  #server: AgentEvent | null = null;
  /** Client events that came while there was no server. */
  #waiting: AgentEvent[] = [];
  #outputs: Output[] = [];
  /** Responses that the server has begun and not ended. */
  readonly #open = new Map<string, Fields>();
  /** Responses that were cut short: what still comes of them is not played. */
  readonly #cut = new Set<string>();
  /** Items that a new connection was told again. */
  #replayed = new Set<string>();
  #interrupts = true;

  constructor(call: AgentCall, url: string, key: string | undefined) {
    this.#call = call;
    this.#wanted = merged({}, call.requested);
    this.#upstream = new RealtimeUpstream(withModel(url, call.requested['model']), key, {
      event: (event) => this.#serverEvent(event),
      lost: (reason) => this.#lost(reason),
      failed: (reason) => {
        this.#tellError('upstream_unavailable', `The upstream server cannot be reached: ${reason}.`);
        call.hangup('upstream_unavailable');
      },
    });
  }

  audio(samples: Int16Array): void {
    if (this.#state !== 'ready') return;
    const audio = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength).toString('base64');
    this.#upstream.send({ type: 'input_audio_buffer.append', audio });
  }

  event(event: AgentEvent): void {
    if (event.type === 'session.update') {
      const session = (event['session'] ?? {}) as Fields;
      this.#wanted = merged(this.#wanted, session);
      this.#forward({ ...event, session: merged({}, session) });
    } else {
      this.#forward(event);
    }
  }

  /** The client cleared what was being played. */
  interrupted({ responseId, heardMs }: Interruption): void {
    if (this.#outputs[0]?.responseId === responseId) this.#cutShort(heardMs);
  }

  close(): void {
    this.#upstream.close();
  }

  #forward(event: AgentEvent): void {
    if (this.#state === 'ready') this.#upstream.send(event);
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(event);
    else this.#tellError('upstream_disconnected', 'There is no connection to the upstream server.', event['event_id']);
  }

  // --- the server ----------------------------------------------------------------------------------------------

  #serverEvent(event: AgentEvent): void {
    this.#memory.note(event);
    switch (event.type) {
      case 'session.created':
        this.#state = 'configuring';
        this.#server = event;
        this.#upstream.send({ type: 'session.update', event_id: `${OWN}session`, session: this.#wanted });
        return;
      case 'session.updated':
        this.#sessionUpdated(event);
        return;
      case 'response.output_audio.delta':
        this.#play(event as AgentEvent & Record<'response_id' | 'item_id' | 'delta', string>);
        return;
      case 'error':
        this.#error(event);
        return;
      case 'conversation.item.added':
      case 'conversation.item.done':
        if (this.#replayed.has((event['item'] as { id: string }).id)) return;
        break;
      case 'input_audio_buffer.speech_started':
        this.#call.send(event);
        if (this.#interrupts && this.#outputs.length > 0) this.#cutShort(this.#call.clear());
        return;
      case 'response.created':
        this.#open.set((event['response'] as { id: string }).id, event['response'] as Fields);
        break;
      case 'response.output_audio.done':
        this.#complete(({ itemId }) => itemId === event['item_id']);
        break;
      case 'response.done': {
        const { id } = event['response'] as { id: string };
        this.#open.delete(id);
        this.#cut.delete(id);
        this.#complete(({ responseId }) => responseId === id);
        break;
      }
    }
    this.#call.send(event);
  }

  #sessionUpdated(event: AgentEvent): void {
    const session = event['session'] as { audio?: { input?: { turn_detection?: { interrupt_response?: boolean } | null } } };
    this.#interrupts = session.audio?.input?.turn_detection?.interrupt_response !== false;
    // The client's session begins as it wanted it, so it sees the server's default never.
    this.#call.send({ ...event, type: this.#greeted ? 'session.updated' : 'session.created' });
    this.#greeted = true;
    if (this.#state === 'configuring') this.#ready();
  }

  #ready(): void {
    this.#state = 'ready';
    for (const item of this.#memory.replay()) {
      this.#replayed.add(item.id);
      this.#upstream.send({ type: 'conversation.item.create', event_id: `${OWN}replay`, item });
    }
    for (const event of this.#waiting.splice(0)) this.#upstream.send(event);
  }

  #error(event: AgentEvent): void {
    const { event_id: cause } = event['error'] as { event_id?: string | null };
    if (cause === `${OWN}session`) {
      // The call goes on with the server's own session, and the client knows why.
      this.#call.send({ ...event, error: { ...(event['error'] as Fields), event_id: null } });
      if (this.#server !== null) this.#sessionUpdated(this.#server);
    } else if (!cause?.startsWith(OWN)) {
      this.#call.send(event);
    }
  }

  #lost(reason: string): void {
    this.#state = 'connecting';
    this.#tellError('upstream_disconnected', `The connection to the upstream server is lost (${reason}); connecting again.`);
    const error = { type: 'server_error', code: 'upstream_disconnected' };
    for (const response of this.#open.values()) {
      this.#call.send({ type: 'response.done', response: { ...response, status: 'failed', status_details: { type: 'failed', error } } });
    }
    this.#open.clear();
    this.#complete(() => true);
  }

  #tellError(code: string, message: string, eventId: unknown = null): void {
    this.#call.send({ type: 'error', error: { type: 'server_error', code, message, param: null, event_id: eventId } });
  }

  // --- what is heard -------------------------------------------------------------------------------------------

  #play({ response_id: responseId, item_id: itemId, delta }: Record<'response_id' | 'item_id' | 'delta', string>): void {
    if (this.#cut.has(responseId)) return;
    const bytes = Uint8Array.from(Buffer.from(delta, 'base64'));
    const samples = new Int16Array(bytes.buffer, 0, bytes.length >> 1);
    let output = this.#outputs.find((candidate) => candidate.itemId === itemId);
    if (output === undefined) {
      output = { responseId, itemId, waiting: [], response: null, whole: false, done: () => {} };
      this.#outputs.push(output);
    }
    if (output.response === null) output.waiting.push(samples);
    else output.response.play(samples);
    if (this.#outputs[0] === output && output.response === null) this.#begin(output);
  }

  #begin(output: Output): void {
    const { responseId, itemId } = output;
    const response = this.#call.respond(
      (response) => {
        output.response = response;
        for (const samples of output.waiting.splice(0)) response.play(samples);
        if (!output.whole) return new Promise<void>((resolve) => (output.done = resolve));
      },
      { responseId, itemId },
    );
    void this.#followUp(output, response);
  }

  async #followUp(output: Output, response: AgentResponse): Promise<void> {
    await response.finished;
    if (this.#outputs[0] === output) this.#outputs.shift();
    const next = this.#outputs[0];
    if (next?.response === null) this.#begin(next);
  }

  #complete(which: (output: Output) => boolean): void {
    for (const output of this.#outputs.filter(which)) {
      output.whole = true;
      output.done();
    }
  }

  /** What has not been heard was never said: the first message ends after `heardMs`, the others before they began. */
  #cutShort(heardMs: number): void {
    const outputs = this.#outputs;
    this.#outputs = [];
    for (const [i, output] of outputs.entries()) {
      if (this.#open.has(output.responseId)) this.#cut.add(output.responseId);
      output.done();
      this.#upstream.send({
        type: 'conversation.item.truncate',
        event_id: `${OWN}truncate`,
        item_id: output.itemId,
        content_index: 0,
        audio_end_ms: i === 0 ? Math.floor(heardMs) : 0,
      });
    }
  }
}

/** Event ids of our own begin so; the client does not hear of errors in events that it has not sent. */
const OWN = 'earshot_';
const MAX_WAITING = 100;

/** The model is part of the URL; the client's counts when the operator has set none. */
function withModel(url: string, model: unknown): string {
  const target = new URL(url);
  if (typeof model === 'string' && !target.searchParams.has('model')) target.searchParams.set('model', model);
  return target.href;
}

/** A session with changes. The format of the audio is the bridge's affair, the rest goes on as the client has it. */
function merged(session: Fields, { id: _id, object: _object, model: _model, audio, ...rest }: Fields): Fields {
  const before = (session['audio'] ?? {}) as Record<string, Fields>;
  const changes = (audio ?? {}) as Record<string, Fields>;
  const format = { type: 'audio/pcm', rate: 24_000 };
  return {
    ...session,
    ...rest,
    type: 'realtime',
    audio: {
      input: { ...before['input'], ...changes['input'], format },
      output: { ...before['output'], ...changes['output'], format },
    },
  };
}
