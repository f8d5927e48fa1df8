/**
 * One call's conversation: the caller's audio and events on one side, an agent on the other.
 *
 *   caller ─ handleAudio ─► Uplink ─► samples ──────────► agent session
 *                             └─ turns ─► answer ───────────┐
 *   caller ◄─ port.sendAudio ◄─ Downlink ◄─ response.play ──┘
 *   client ─ handleEvent ──► Dialect.read ─► command        every change is told as a Notice:
 *   client ◄─ port.sendEvent ◄─ Dialect.write ◄─ notice
 *
 * Turn taking. The caller's voice cancels the answer that is going on, heard or not (`interrupt_response`); the end
 * of a turn asks for the next one (`create_response`). One response at a time.
 *
 * Time is an argument, but agents act when they like: the port may be called at any moment, also outside of a method.
 * Such acts take the time of the last call.
 */
import type { Agent, AgentCall, AgentEvent, AgentResponse, Interruption, Turn } from '../agents/agent.ts';
import { opusPacketDuration } from '../media/opus.ts';
import type { TurnEvent } from '../media/turn-detector.ts';
import { AgentHost } from './agent-host.ts';
import type { ClientMessage, Command, Dialect, Fault, FaultCode, Item, ItemDraft, Notice } from './dialect.ts';
import type { ConversationCounters, ConversationDump, ConversationOptions, ConversationPort, ConversationState } from './conversation-port.ts';
import { Downlink } from './downlink.ts';
import { ItemList } from './items.ts';
import { RealtimeDialect } from './realtime-dialect.ts';
import { Response } from './response.ts';
import { createSession, type Session, type SessionConfig, turnSettings, updateSession } from './session-config.ts';
import { Uplink } from './uplink.ts';

export class Conversation {
  readonly #callId: string;
  readonly #agent: Agent;
  readonly #port: ConversationPort;
  readonly #log: (message: string, error: unknown) => void;
  readonly #dialect: Dialect;
  readonly #host: AgentHost;
  readonly #items = new ItemList();
  readonly #downlink: Downlink;
  readonly #hangup = new AbortController();
  #uplink: Uplink | null = null;
  #session: Session;
  #state: ConversationState = 'new';
  #now: number;
  #ids = 0;
  /** Messages that wait for the data channel; null once it is open. */
  #unsent: string[] | null = [];
  #response: Response | null = null;
  /** A response was asked for before the agent was there. */
  #responseWanted = false;
  /** Id of the item that the caller's present speech becomes. */
  #turnItemId: string | null = null;
  /** Where the audio begins that the client may commit. */
  #uncommittedMs = 0;
  /** The last turn, until it is answered. */
  #unansweredTurn: Turn | null = null;
  readonly #counters: Omit<ConversationCounters, 'uplink'> = {
    packetsReceived: 0,
    framesSent: 0,
    eventsReceived: 0,
    eventsRejected: 0,
    eventsSent: 0,
    eventsDropped: 0,
    turns: 0,
    responses: 0,
    interruptions: 0,
    agentFaults: 0,
  };

  constructor({ callId, agent, session, port, now, log = () => {} }: ConversationOptions) {
    this.#callId = callId;
    this.#agent = agent;
    this.#port = port;
    this.#now = now;
    this.#log = log;
    this.#dialect = new RealtimeDialect((prefix) => this.#nextId(prefix));
    this.#session = createSession(session, { id: this.#nextId('sess'), model: agent.name });
    this.#host = new AgentHost(agent, { ready: () => this.#ready(), fault: (error) => this.#fail(error) });
    this.#downlink = new Downlink(agent.format, now, (opus, mediaTime, duration, marker) => {
      this.#counters.framesSent++;
      this.#port.sendAudio(opus, mediaTime, duration, marker);
    });
  }

  /** Whether {@link tick} has anything to do. Changes when the agent acts: ask before each tick of the clock. */
  get wantsTick(): boolean {
    if (this.#state !== 'open') return false;
    return !this.#downlink.idle || this.#response?.complete === true || this.#uplink?.wantsTick === true;
  }

  /** Media can flow: the agent is opened. */
  open(now: number): void {
    if (this.#state !== 'new') return;
    this.#now = now;
    this.#state = 'open';
    this.#host.open(this.#agentCall());
  }

  /** The data channel is open: `session.created` goes first, then what has waited. Once. */
  eventsOpen(now: number): void {
    if (this.#state === 'closed' || this.#unsent === null) return;
    this.#now = now;
    const unsent = this.#unsent;
    this.#unsent = null;
    this.#tell({ type: 'session_created', session: this.#session });
    for (const json of unsent) this.#sendEvent(json);
  }

  /** One RTP payload of the caller. Sequence number and timestamp are extended. */
  handleAudio(opus: Uint8Array, sequence: number, timestamp: number, now: number): void {
    this.#now = now;
    const session = this.#host.session;
    if (this.#state !== 'open' || session === null) return;
    this.#counters.packetsReceived++;
    if (this.#agent.format.codec === 'opus' && session.opus !== undefined) {
      const duration = opusPacketDuration(opus);
      if (duration > 0) this.#host.run(() => session.opus?.({ packet: opus, timestamp, duration }));
    }
    this.#uplink?.push(opus, sequence, timestamp, now);
  }

  /** One message of the data channel. */
  handleEvent(text: string, now: number): void {
    this.#now = now;
    if (this.#state !== 'open' && this.#state !== 'new') return;
    this.#counters.eventsReceived++;
    const message = this.#dialect.read(text);
    if (message.type === 'fault') this.#reject(message);
    else this.#obey(message);
  }

  /** The worker's clock, every 20 ms while {@link wantsTick}. */
  tick(now: number): void {
    this.#now = now;
    if (this.#state !== 'open') return;
    this.#uplink?.tick(now);
    const response = this.#response;
    const sentBefore = this.#downlink.sentMs;
    this.#downlink.tick(now);
    if (response === null) return;
    if (!response.audible && this.#downlink.sentMs > sentBefore) {
      response.audible = true;
      this.#tell({ type: 'output_started', responseId: response.id });
    }
    if (response.complete && this.#downlink.drained(now)) this.#completeResponse(response);
  }

  /** The call is over: the agent is told, and nothing goes out any more. Idempotent. */
  close(reason: string, now: number): void {
    if (this.#state === 'closed') return;
    this.#now = now;
    this.#state = 'closed';
    this.#stopSpeaking(reason);
    this.#host.run(() => this.#hangup.abort(reason));
    this.#host.close(reason);
    this.#uplink?.close();
    this.#unsent = [];
  }

  get counters(): ConversationCounters {
    return { ...this.#counters, uplink: this.#uplink?.counters ?? null };
  }

  dump(): ConversationDump {
    return {
      agent: this.#agent.name,
      state: this.#state,
      sessionId: this.#session.id,
      speaking: this.#uplink?.speaking ?? false,
      responseId: this.#response?.id ?? null,
      positionMs: this.#uplink?.positionMs ?? 0,
      sentMs: this.#downlink.sentMs,
      items: this.#items.length,
      counters: this.counters,
    };
  }

  // --- the agent -----------------------------------------------------------------------------------------------

  #agentCall(): AgentCall {
    const session = (): Session => this.#session;
    return {
      id: this.#callId,
      signal: this.#hangup.signal,
      get session() {
        return session();
      },
      respond: (run) => this.#respond(run),
      clear: () => this.#clearOutput(),
      forward: (frame) => {
        if (this.#state === 'open') this.#downlink.forward(frame, this.#now);
      },
      send: (event) => this.#sendAgentEvent(event),
      hangup: (reason = 'agent_hangup') => {
        if (this.#state === 'open') this.#port.hangup(reason);
      },
    };
  }

  #ready(): void {
    this.#listen();
    if (this.#responseWanted) {
      this.#responseWanted = false;
      this.#answer(null);
    }
  }

  /** Sets up, changes or takes down what hears the caller, as agent and session want it. */
  #listen(): void {
    const { format } = this.#agent;
    const turns = this.#agent.turns === false ? null : turnSettings(this.#session);
    if (this.#uplink !== null) {
      this.#uplink.configure(turns);
      if (!this.#uplink.speaking) this.#turnItemId = null;
    } else if (format.codec === 'pcm16' || turns !== null) {
      // For an Opus agent the decoder only serves the detector, and that hears telephone band.
      const rate = format.codec === 'pcm16' ? format.rate : 8000;
      this.#uplink = new Uplink(rate, turns, {
        samples: (samples) => {
          const session = this.#host.session;
          if (format.codec === 'pcm16') this.#host.run(() => session?.audio?.(samples));
        },
        turn: (event) => this.#turn(event),
      });
    }
  }

  #fail(error: unknown): void {
    this.#counters.agentFaults++;
    this.#log(`agent "${this.#agent.name}" failed in call ${this.#callId}`, error);
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    const message = `The agent failed: ${error instanceof Error ? error.message : String(error)}`;
    const response = this.#stopSpeaking('agent_error');
    if (response !== null) this.#finishResponse(response, { status: 'failed', message });
    this.#tell({
      type: 'error',
      fault: { type: 'fault', kind: 'server_error', code: 'agent_error', message, param: null, eventId: null },
    });
    this.#port.hangup('agent_error');
  }

  #sendAgentEvent(event: AgentEvent): void {
    if (typeof event !== 'object' || event === null || typeof event.type !== 'string') {
      throw new TypeError('an event is an object with a "type"');
    }
    if (this.#state === 'open') this.#tell({ type: 'agent_event', event });
  }

  // --- the caller's turns --------------------------------------------------------------------------------------

  #turn(event: TurnEvent): void {
    if (this.#state !== 'open') return;
    if (event.type === 'speech_started') {
      this.#turnItemId = this.#nextId('item');
      this.#tell({ type: 'speech_started', itemId: this.#turnItemId, startMs: event.startMs });
      if (this.#turnDetection?.interrupt_response !== false) this.#cancelResponse('turn_detected');
      const session = this.#host.session;
      this.#host.run(() => session?.speechStarted?.({ startMs: event.startMs }));
      return;
    }
    const itemId = this.#turnItemId ?? this.#nextId('item');
    this.#tell({ type: 'speech_stopped', itemId, endMs: event.endMs });
    this.#commitTurn(itemId, event);
    if (this.#turnDetection?.create_response !== false) this.#answer(this.#unansweredTurn);
  }

  get #turnDetection(): Session['audio']['input']['turn_detection'] {
    return this.#session.audio.input.turn_detection;
  }

  #commitTurn(itemId: string, { startMs, endMs, lastSpeechMs }: Turn): void {
    this.#turnItemId = null;
    this.#uncommittedMs = endMs;
    this.#counters.turns++;
    const turn: Turn = { startMs, endMs, lastSpeechMs };
    this.#unansweredTurn = turn;
    this.#tell({ type: 'input_committed', itemId, previousItemId: this.#items.lastId });
    this.#addItem({
      id: itemId,
      object: 'realtime.item',
      type: 'message',
      status: 'completed',
      role: 'user',
      content: [{ type: 'input_audio', transcript: null }],
    });
    const session = this.#host.session;
    this.#host.run(() => session?.speechStopped?.(turn));
  }

  // --- responses -----------------------------------------------------------------------------------------------

  /** Asks the agent for an answer, unless it gives none or is giving one. */
  #answer(turn: Turn | null): void {
    const session = this.#host.session;
    if (this.#state !== 'open' || session?.answer === undefined || this.#response !== null) return;
    this.#unansweredTurn = null;
    this.#startResponse((response) => session.answer?.(response, turn));
  }

  #respond(run: (response: AgentResponse) => void | Promise<void>): AgentResponse {
    this.#cancelResponse('client_cancelled');
    return this.#startResponse(run).handle;
  }

  #startResponse(run: (response: AgentResponse) => void | Promise<void>): Response {
    const response: Response = new Response(
      this.#nextId('resp'),
      this.#nextId('item'),
      this.#downlink.sentMs,
      (audio) => {
        if (this.#response === response && !response.complete) this.#downlink.play(audio);
      },
    );
    if (this.#state !== 'open') {
      response.abort('call_ended');
      return response;
    }
    this.#response = response;
    this.#counters.responses++;
    this.#tell({ type: 'response_created', response: response.view({ status: 'in_progress' }), session: this.#session });
    const item = response.item('in_progress');
    this.#tell({ type: 'response_item_added', responseId: response.id, item });
    this.#tell({ type: 'item_added', item, previousItemId: this.#items.insert(item) });
    this.#host.run(
      () => run(response.handle),
      () => {
        if (this.#response !== response) return;
        this.#downlink.finish();
        response.complete = true;
      },
    );
    return response;
  }

  #completeResponse(response: Response): void {
    this.#response = null;
    this.#finishResponse(response, { status: 'completed' });
    if (response.audible) this.#tell({ type: 'output_stopped', responseId: response.id });
  }

  /** False when nothing was going on. */
  #cancelResponse(reason: Interruption['reason']): boolean {
    const heardMs = this.#heardMs;
    const response = this.#stopSpeaking(reason);
    if (response === null) return false;
    this.#counters.interruptions++;
    if (response.audible) this.#tell({ type: 'output_cleared', responseId: response.id });
    this.#finishResponse(response, { status: 'cancelled', reason });
    if (heardMs > 0) this.#tell({ type: 'item_truncated', itemId: response.itemId, audioEndMs: heardMs });
    const session = this.#host.session;
    this.#host.run(() => session?.interrupted?.({ responseId: response.id, heardMs, reason }));
    return true;
  }

  /** Silence from here on: drops what has not left, and tells the agent to stop. Gives the response that was going on. */
  #stopSpeaking(reason: string): Response | null {
    this.#downlink.clear();
    const response = this.#response;
    this.#response = null;
    if (response !== null) this.#host.run(() => response.abort(reason));
    return response;
  }

  #finishResponse(response: Response, outcome: Parameters<Response['view']>[0]): void {
    const view = response.view(outcome);
    const item = view.output[0];
    this.#items.update(item);
    this.#tell({ type: 'response_item_done', responseId: response.id, item });
    this.#tell({ type: 'item_done', item, previousItemId: this.#items.previousOf(item.id) });
    this.#tell({ type: 'response_done', response: view, session: this.#session });
  }

  #clearOutput(): number {
    const heardMs = this.#heardMs;
    this.#downlink.clear();
    const response = this.#response;
    if (response?.audible === true && this.#state === 'open') {
      response.audible = false;
      this.#tell({ type: 'output_cleared', responseId: response.id });
    }
    return heardMs;
  }

  get #heardMs(): number {
    return this.#response === null ? 0 : this.#downlink.sentMs - this.#response.sentBefore;
  }

  // --- the client's events -------------------------------------------------------------------------------------

  #obey({ command, event, eventId }: ClientMessage): void {
    const refused = this.#execute(command);
    if (refused === null) this.#host.event(event);
    else this.#reject({ type: 'fault', kind: 'invalid_request_error', eventId, ...refused });
  }

  #execute(command: Command): Refusal | null {
    switch (command.type) {
      case 'update_session':
        return this.#updateSession(command.patch);
      case 'commit_input':
        return this.#commitInput();
      case 'clear_input':
        this.#uncommittedMs = this.#uplink?.positionMs ?? 0;
        this.#uplink?.endTurn();
        this.#turnItemId = null;
        this.#tell({ type: 'input_cleared' });
        return null;
      case 'clear_output':
        this.#cancelResponse('client_cancelled');
        return null;
      case 'create_response':
        return this.#createResponse();
      case 'cancel_response':
        if (command.responseId !== null && command.responseId !== this.#response?.id) {
          return refusal('response_cancel_not_active', 'That response is not going on.', 'response_id');
        }
        return this.#cancelResponse('client_cancelled')
          ? null
          : refusal('response_cancel_not_active', 'No response is going on.', null);
      case 'create_item':
        return this.#createItem(command.item, command.after);
      case 'retrieve_item': {
        const item = this.#items.get(command.itemId);
        if (item === undefined) return refusal('item_not_found', 'There is no such item.', 'item_id');
        this.#tell({ type: 'item_retrieved', item });
        return null;
      }
      case 'delete_item':
        if (!this.#items.delete(command.itemId)) {
          return refusal('item_not_found', 'There is no such item.', 'item_id');
        }
        this.#tell({ type: 'item_deleted', itemId: command.itemId });
        return null;
    }
  }

  #updateSession(patch: SessionConfig): Refusal | null {
    const session = updateSession(this.#session, patch);
    if (JSON.stringify(session).length > MAX_SESSION) {
      return refusal('session_too_large', `The session is larger than ${MAX_SESSION} characters.`, 'session');
    }
    this.#session = session;
    if (this.#host.session !== null) this.#listen();
    this.#tell({ type: 'session_updated', session });
    return null;
  }

  #commitInput(): Refusal | null {
    const endMs = this.#uplink?.positionMs ?? 0;
    if (endMs - this.#uncommittedMs < MIN_COMMIT_MS) {
      return refusal('input_audio_buffer_commit_empty', `Less than ${MIN_COMMIT_MS} ms of audio to commit.`, null);
    }
    this.#uplink?.endTurn();
    const itemId = this.#turnItemId ?? this.#nextId('item');
    this.#commitTurn(itemId, { startMs: this.#uncommittedMs, endMs, lastSpeechMs: endMs });
    return null;
  }

  #createResponse(): Refusal | null {
    if (this.#response !== null) {
      return refusal('conversation_already_has_active_response', 'A response is already going on.', null);
    }
    const session = this.#host.session;
    if (session === null) this.#responseWanted = true;
    else if (session.answer === undefined) {
      return refusal('response_not_supported', `The agent "${this.#agent.name}" gives no answers.`, null);
    } else this.#answer(this.#unansweredTurn);
    return null;
  }

  #createItem(draft: ItemDraft, after: string | null | undefined): Refusal | null {
    const id = typeof draft['id'] === 'string' ? draft['id'] : this.#nextId('item');
    if (this.#items.get(id) !== undefined) {
      return refusal('item_already_exists', 'There is an item with that id.', 'item.id');
    }
    if (typeof after === 'string' && this.#items.get(after) === undefined) {
      return refusal('item_not_found', 'There is no such item.', 'previous_item_id');
    }
    this.#addItem({ status: 'completed', ...draft, id, object: 'realtime.item' }, after);
    return null;
  }

  #addItem(item: Item, after?: string | null): void {
    const previousItemId = this.#items.insert(item, after);
    this.#tell({ type: 'item_added', item, previousItemId });
    this.#tell({ type: 'item_done', item, previousItemId });
  }

  #reject(fault: Fault): void {
    this.#counters.eventsRejected++;
    this.#tell({ type: 'error', fault });
  }

  #tell(notice: Notice): void {
    if (this.#state === 'closed') return;
    for (const json of this.#dialect.write(notice)) {
      if (this.#unsent === null) this.#sendEvent(json);
      else if (this.#unsent.length < MAX_UNSENT) this.#unsent.push(json);
      else this.#counters.eventsDropped++;
    }
  }

  #sendEvent(json: string): void {
    this.#counters.eventsSent++;
    this.#port.sendEvent(json);
  }

  /** Unique within the call, which is all that the protocol asks for. */
  #nextId(prefix: string): string {
    return `${prefix}_${this.#callId.replace(/^rtc_/, '')}${(this.#ids++).toString(36).padStart(4, '0')}`;
  }
}

interface Refusal {
  readonly code: FaultCode;
  readonly message: string;
  readonly param: string | null;
}

function refusal(code: FaultCode, message: string, param: string | null): Refusal {
  return { code, message, param };
}

/** A message on the data channel carries 256 KiB; the session is told in one. */
const MAX_SESSION = 200_000;
const MIN_COMMIT_MS = 100;
const MAX_UNSENT = 256;
