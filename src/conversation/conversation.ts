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
import { isDeepStrictEqual } from 'node:util';
import type { Agent, AgentCall, AgentEvent, AgentResponse, Interruption, Turn } from '../agents/agent.ts';
import { opusPacketDuration } from '../media/opus.ts';
import { Resampler } from '../media/resample.ts';
import type { TurnEvent } from '../media/turn-detector.ts';
import { AgentHost } from './agent-host.ts';
import type { ConversationCounters, ConversationDump, ConversationLog, ConversationOptions, ConversationPort, ConversationState } from './conversation-port.ts';
import type { Command, Dialect, Fault, MessageItem, Notice, ResponseOverrides } from './dialect.ts';
import { Downlink } from './downlink.ts';
import { EventOutlet, type EventReceiver, isTooLargeToTell, MAX_TOLD } from './event-outlet.ts';
import { addItem, executeItemCommand, refusal, type Refusal } from './item-commands.ts';
import { ItemList } from './items.ts';
import { Responses } from './responses.ts';
import { createSession, type Session, turnSettings, updateSession } from './session-config.ts';
import type { SessionConfig } from './session-schema.ts';
import { Uplink } from './uplink.ts';

export class Conversation {
  readonly #callId: string;
  readonly #agent: Agent;
  readonly #port: ConversationPort;
  readonly #log: ConversationLog;
  readonly #dialect: Dialect;
  readonly #outlet: EventOutlet;
  readonly #host: AgentHost;
  readonly #items = new ItemList();
  readonly #downlink: Downlink;
  readonly #responses: Responses;
  readonly #requested: SessionConfig;
  readonly #hangup = new AbortController();
  #uplink: Uplink | null = null;
  #session: Session;
  /** A bridge's session is that of its server, once it has told. */
  #sessionKnown: boolean;
  #state: ConversationState = 'new';
  #now = Number.NaN;
  #ids = 0;
  /** A response was asked for before the agent was there, or while the last one was still being heard. */
  #responseWanted: ResponseOverrides | null = null;
  /** Brings audio that comes in events to the agent's rate. */
  #resampler: Resampler | null = null;
  /** When the agent is asked to speak again because nobody has said anything. */
  #idleAt: number | null = null;
  /** Id of the item that the caller's present speech becomes. */
  #turnItemId: string | null = null;
  /** Where the audio begins that the client may commit. */
  #uncommittedMs = 0;
  /** The last turn, until it is answered. */
  #unansweredTurn: Turn | null = null;
  readonly #counters: Omit<ConversationCounters, 'uplink' | 'underruns' | 'eventsSent' | 'eventsDropped'> = {
    packetsReceived: 0,
    framesSent: 0,
    eventsReceived: 0,
    eventsRejected: 0,
    turns: 0,
    responses: 0,
    interruptions: 0,
    agentFaults: 0,
  };

  constructor({ callId, agent, session, dialect, port, now, log = SILENT }: ConversationOptions) {
    this.#callId = callId;
    this.#agent = agent;
    this.#port = port;
    this.#now = now;
    this.#log = log;
    this.#requested = session;
    this.#sessionKnown = agent.bridge !== true;
    this.#dialect = dialect(callId, (prefix) => this.#nextId(prefix));
    this.#outlet = new EventOutlet(this.#dialect, (json) => this.#port.sendEvent(json), agent.bridge === true);
    this.#session = createSession(session, { id: this.#nextId('sess'), model: agent.name });
    this.#host = new AgentHost(agent, { ready: () => this.#ready(), fault: (error) => this.#fail(error) });
    this.#downlink = new Downlink(agent.format, now, {
      send: (opus, mediaTime, duration, marker) => {
        this.#counters.framesSent++;
        port.sendAudio(opus, mediaTime, duration, marker);
      },
      queued: () => this.#wake(),
      loss: () => port.unmendedLoss,
    });
    this.#responses = new Responses(this.#downlink, this.#items, {
      tell: (notice) => this.#tell(notice),
      nextId: (prefix) => this.#nextId(prefix),
      run: (call, settled) => this.#host.run(call, settled),
      log: (message, error) => this.#log.error(message, error),
      complete: () => this.#wake(),
      finished: (status) => this.#responseFinished(status === 'completed'),
    });
  }

  /** Whether {@link tick} has anything to do. The port is woken when it has again. */
  get wantsTick(): boolean {
    if (this.#state !== 'open') return false;
    if (!this.#downlink.idle || this.#idleAt !== null) return true;
    return this.#responses.current?.complete === true || this.#uplink?.wantsTick === true;
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
    if (this.#state === 'closed') return;
    this.#now = now;
    // A bridge passes on the greeting of the server behind it.
    this.#outlet.open(this.#agent.bridge === true ? null : this.#session);
  }

  /**
   * Tells somebody else what the client is told, from `session.created` on; `handleEvent` takes what they have to say.
   * Gives a function that ends it.
   */
  observe(receive: EventReceiver): () => void {
    return this.#outlet.observe(receive, this.#sessionKnown ? this.#session : null);
  }

  /** One RTP payload of the caller. Sequence number and timestamp are extended. */
  handleAudio(opus: Uint8Array, sequence: number, timestamp: number, now: number): void {
    this.#now = now;
    const session = this.#host.session;
    if (this.#state !== 'open' || session === null) return;
    this.#counters.packetsReceived++;
    if (this.#agent.format.codec === 'opus' && session.opus !== undefined) {
      const duration = opusPacketDuration(opus);
      if (duration > 0) this.#host.opus({ packet: opus, timestamp, duration });
    }
    if (this.#uplink === null) return;
    this.#uplink.echoing = this.#responses.current?.audible === true;
    this.#uplink.push(opus, sequence, timestamp, now);
    if (this.#uplink.wantsTick) this.#wake();
  }

  /** One message of the data channel, or of an observer: `reply` is then told of what is wrong with it. */
  handleEvent(text: string, now: number, reply?: EventReceiver): void {
    this.#now = now;
    if (this.#state !== 'open' && this.#state !== 'new') return;
    this.#counters.eventsReceived++;
    if (this.#agent.bridge === true) {
      const message = this.#dialect.readEnvelope(text);
      if (message.type === 'fault') this.#reject(message, reply);
      else if (message.event.type === 'output_audio_buffer.clear') this.#interrupt('client_cancelled');
      else this.#host.event(message.event);
      return;
    }
    const message = this.#dialect.read(text);
    if (message.type === 'fault') {
      this.#reject(message, reply);
      return;
    }
    const refused = this.#execute(message.command);
    if (refused === null) this.#host.event(message.event);
    else this.#reject({ type: 'fault', kind: 'invalid_request_error', eventId: message.eventId, ...refused }, reply);
  }

  /** The worker's clock, every 20 ms while {@link wantsTick}. */
  tick(now: number): void {
    this.#now = now;
    if (this.#state !== 'open') return;
    this.#uplink?.tick(now);
    this.#responses.tick(now);
    if (this.#idleAt !== null && now >= this.#idleAt) this.#idleTimeout();
  }

  /** To be called when nothing is due: work is done ahead that the next tick would have to wait for. */
  prepare(): void {
    if (this.#state === 'open') this.#downlink.prepare();
  }

  /** The call has lasted as long as it may: the client is told, and the call ends. */
  expire(now: number): void {
    if (this.#state !== 'open' && this.#state !== 'new') return;
    this.#now = now;
    this.#outlet.tellError('session_expired', 'invalid_request_error', 'The call has reached its maximum duration.');
    this.#port.hangup('session_expired');
  }

  /** The server stops when `withinMs` have passed: the agent is told, as soon as it is there. */
  drain(withinMs: number, now: number): void {
    this.#now = now;
    this.#host.drain(() => Math.max(0, now + withinMs - this.#port.now));
  }

  /** The call is over: the agent is told, and nothing goes out any more. Idempotent. */
  close(reason: string, now: number): void {
    if (this.#state === 'closed') return;
    this.#now = now;
    this.#state = 'closed';
    this.#responses.stop(reason);
    this.#host.run(() => this.#hangup.abort(reason));
    this.#host.close(reason);
    this.#uplink?.close();
    this.#outlet.close();
  }

  get counters(): ConversationCounters {
    const { sent, dropped } = this.#outlet.counters;
    const { underruns } = this.#downlink;
    return { ...this.#counters, underruns, eventsSent: sent, eventsDropped: dropped, uplink: this.#uplink?.counters ?? null };
  }

  dump(): ConversationDump {
    return {
      agent: this.#agent.name,
      state: this.#state,
      sessionId: this.#session.id,
      speaking: this.#uplink?.speaking ?? false,
      responseId: this.#responses.current?.id ?? null,
      positionMs: this.#uplink?.positionMs ?? 0,
      sentMs: this.#downlink.sentMs,
      items: this.#items.length,
      counters: this.counters,
    };
  }

  #wake(): void {
    if (this.#state === 'open') this.#port.wake();
  }

  // --- the agent -----------------------------------------------------------------------------------------------

  #agentCall(): AgentCall {
    const session = (): Session => this.#session;
    const items = this.#items;
    return {
      id: this.#callId,
      signal: this.#hangup.signal,
      requested: this.#requested,
      get session() {
        return session();
      },
      get items() {
        return items.all;
      },
      respond: (run, ids) => this.#respond(run, ids),
      transcribed: (turn, transcript, fault) => this.#transcribed(turn, transcript, fault),
      clear: () => this.#responses.clear(),
      forward: (frame) => {
        if (this.#state === 'open') this.#downlink.forward(frame, this.#port.now);
      },
      send: (event) => this.#sendAgentEvent(event),
      log: (message, fields) => this.#log.info(message, fields),
      hangup: (reason = 'agent_hangup') => {
        if (this.#state === 'open') this.#port.hangup(reason);
      },
    };
  }

  #ready(): void {
    this.#listen();
    this.#answerWanted();
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
    this.#log.error(`agent "${this.#agent.name}" failed in call ${this.#callId}`, error);
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    const message = `The agent failed: ${error instanceof Error ? error.message : String(error)}`;
    this.#responses.fail(message);
    this.#outlet.tellError('agent_error', 'server_error', message);
    this.#port.hangup('agent_error');
  }

  #sendAgentEvent(event: AgentEvent): void {
    if (typeof event !== 'object' || event === null || typeof event.type !== 'string') {
      throw new TypeError('an event is an object with a "type"');
    }
    if (this.#state !== 'open') return;
    const isSession = event.type === 'session.created' || event.type === 'session.updated';
    if (this.#agent.bridge === true && isSession) {
      this.#session = { ...this.#session, ...(event['session'] as Session) };
      this.#sessionKnown = true;
    }
    this.#tell({ type: 'agent_event', event });
  }

  // --- the caller's turns --------------------------------------------------------------------------------------

  #turn(event: TurnEvent): void {
    if (this.#state !== 'open') return;
    if (event.type === 'speech_started') {
      this.#idleAt = null;
      this.#turnItemId = this.#nextId('item');
      this.#tell({ type: 'speech_started', itemId: this.#turnItemId, startMs: event.startMs });
      if (this.#turnDetection?.interrupt_response !== false) this.#interrupt('turn_detected');
      const session = this.#host.session;
      this.#host.run(() => session?.speechStarted?.({ startMs: event.startMs }));
      return;
    }
    const itemId = this.#turnItemId ?? this.#nextId('item');
    this.#tell({ type: 'speech_stopped', itemId, endMs: event.endMs });
    this.#commitTurn({ ...event, itemId });
    if (this.#turnDetection?.create_response !== false) this.#answer(this.#unansweredTurn);
  }

  get #turnDetection(): Session['audio']['input']['turn_detection'] {
    return this.#session.audio.input.turn_detection;
  }

  #commitTurn({ startMs, endMs, lastSpeechMs, itemId }: Turn): void {
    this.#turnItemId = null;
    this.#uncommittedMs = endMs;
    this.#counters.turns++;
    const turn: Turn = { startMs, endMs, lastSpeechMs, itemId };
    this.#unansweredTurn = turn;
    this.#tell({ type: 'input_committed', itemId, previousItemId: this.#items.lastId });
    const content = [{ type: 'input_audio', transcript: null }] as const;
    const item: MessageItem = { id: itemId, object: 'realtime.item', type: 'message', status: 'completed', role: 'user', content };
    this.#addItem(item);
    const session = this.#host.session;
    this.#host.run(() => session?.speechStopped?.(turn));
  }

  #transcribed({ itemId, startMs, endMs }: Turn, transcript: string | null, fault = 'There is no transcript.'): void {
    const item = this.#items.get(itemId);
    if (this.#state !== 'open' || item === undefined) return;
    if (transcript === null) {
      this.#tell({ type: 'input_not_transcribed', itemId, message: fault });
      return;
    }
    this.#items.update({ ...item, content: [{ type: 'input_audio', transcript }] });
    this.#tell({ type: 'input_transcribed', itemId, transcript, seconds: (endMs - startMs) / 1000 });
  }

  /** Nobody has spoken since the last answer ended: the silence becomes a turn, which the agent may answer. */
  #idleTimeout(): void {
    this.#idleAt = null;
    const endMs = this.#uplink?.positionMs ?? 0;
    const turn = { startMs: this.#uncommittedMs, endMs, lastSpeechMs: endMs, itemId: this.#nextId('item') };
    this.#tell({ type: 'input_timeout', itemId: turn.itemId, startMs: turn.startMs, endMs });
    this.#commitTurn(turn);
    this.#answer(this.#unansweredTurn);
  }

  // --- responses -----------------------------------------------------------------------------------------------

  /** Asks the agent for an answer, unless it gives none or is giving one. */
  #answer(turn: Turn | null, overrides?: ResponseOverrides): void {
    const session = this.#host.session;
    if (this.#state !== 'open' || session?.answer === undefined || this.#responses.current !== null) return;
    this.#unansweredTurn = null;
    this.#startResponse((response) => session.answer?.(response, turn), undefined, overrides);
  }

  /** The response that was asked for too early. */
  #answerWanted(): void {
    const overrides = this.#responseWanted;
    this.#responseWanted = null;
    if (overrides !== null) this.#answer(this.#unansweredTurn, overrides);
  }

  #respond(run: (response: AgentResponse) => void | Promise<void>, ids?: { responseId: string; itemId: string }): AgentResponse {
    this.#interrupt('client_cancelled');
    return this.#startResponse(run, ids);
  }

  #startResponse(
    run: (response: AgentResponse) => void | Promise<void>,
    ids?: { responseId: string; itemId: string },
    overrides?: ResponseOverrides,
  ): AgentResponse {
    let session = overrides === undefined ? this.#session : updateSession(this.#session, overrides.session);
    // A bridge plays what its server has decided to say aloud.
    if (this.#agent.bridge === true) session = { ...session, output_modalities: ['audio'] };
    const metadata = overrides?.metadata ?? null;
    const setup = { session, metadata, ...(ids === undefined ? {} : { ids }) };
    if (this.#state !== 'open') return this.#responses.refuse(setup).handle;
    this.#idleAt = null;
    this.#counters.responses++;
    return this.#responses.start(run, setup).handle;
  }

  /** Cuts short what the agent says; false when it says nothing. */
  #interrupt(reason: Interruption['reason']): boolean {
    const interruption = this.#responses.cancel(reason);
    if (interruption === null) return false;
    this.#counters.interruptions++;
    const session = this.#host.session;
    this.#host.run(() => session?.interrupted?.(interruption));
    return true;
  }

  #responseFinished(heard: boolean): void {
    if (this.#agent.bridge === true) return;
    const detection = this.#turnDetection;
    if (heard && detection?.type === 'server_vad' && detection.idle_timeout_ms !== null && this.#uplink?.speaking !== true) {
      this.#idleAt = this.#now + detection.idle_timeout_ms;
      this.#wake();
    }
    this.#answerWanted();
  }

  // --- the client's events -------------------------------------------------------------------------------------

  #execute(command: Command): Refusal | null {
    switch (command.type) {
      case 'update_session':
        return this.#updateSession(command.patch);
      case 'append_input':
        return this.#appendInput(command.samples);
      case 'commit_input':
        return this.#commitInput();
      case 'clear_input':
        this.#uncommittedMs = this.#uplink?.positionMs ?? 0;
        this.#uplink?.endTurn();
        this.#turnItemId = null;
        this.#tell({ type: 'input_cleared' });
        return null;
      case 'clear_output':
        this.#interrupt('client_cancelled');
        return null;
      case 'create_response':
        return this.#createResponse(command.overrides);
      case 'cancel_response':
        if (command.responseId !== null && command.responseId !== this.#responses.current?.id) {
          return refusal('response_cancel_not_active', 'That response is not going on.', 'response_id');
        }
        return this.#interrupt('client_cancelled')
          ? null
          : refusal('response_cancel_not_active', 'No response is going on.', null);
      default:
        return executeItemCommand(command, this.#items, {
          tell: (notice) => this.#tell(notice),
          nextId: (prefix) => this.#nextId(prefix),
        });
    }
  }

  #updateSession(patch: SessionConfig): Refusal | null {
    const voice = patch.audio?.output?.voice;
    const changed = voice !== undefined && !isDeepStrictEqual(voice, this.#session.audio.output.voice);
    if (changed && this.#downlink.sentMs > 0) {
      return refusal('cannot_update_voice', 'The voice cannot be changed any more: the caller has heard it.', 'session.audio.output.voice');
    }
    const session = updateSession(this.#session, patch);
    if (isTooLargeToTell(session)) {
      return refusal('session_too_large', `The session would be larger than ${MAX_TOLD} bytes.`, 'session');
    }
    this.#session = session;
    if (this.#host.session !== null) this.#listen();
    this.#tell({ type: 'session_updated', session });
    return null;
  }

  #appendInput(samples: Int16Array): Refusal | null {
    const { format } = this.#agent;
    if (this.#uplink === null || format.codec !== 'pcm16') {
      const message = `The agent "${this.#agent.name}" takes the audio of the call only, or is not there yet.`;
      return refusal('input_audio_not_supported', message, 'type');
    }
    const { type } = (this.#session.audio.input['format'] ?? {}) as { type?: string };
    if (type !== 'audio/pcm') {
      return refusal('input_audio_not_supported', `Audio in events is taken as audio/pcm, and the session has it as ${type}.`, 'audio');
    }
    this.#resampler ??= new Resampler(EVENT_AUDIO_RATE, format.rate);
    const same = format.rate === EVENT_AUDIO_RATE;
    this.#uplink.append(same ? samples : this.#resampler.process(samples), this.#now);
    if (this.#uplink.wantsTick) this.#wake();
    return null;
  }

  #commitInput(): Refusal | null {
    const endMs = this.#uplink?.positionMs ?? 0;
    if (endMs - this.#uncommittedMs < MIN_COMMIT_MS) {
      return refusal('input_audio_buffer_commit_empty', `Less than ${MIN_COMMIT_MS} ms of audio to commit.`, null);
    }
    this.#uplink?.endTurn();
    const itemId = this.#turnItemId ?? this.#nextId('item');
    this.#commitTurn({ startMs: this.#uncommittedMs, endMs, lastSpeechMs: endMs, itemId });
    return null;
  }

  #createResponse(overrides: ResponseOverrides): Refusal | null {
    const { current } = this.#responses;
    // To the agent a response is over before it has been heard, and a client may not know the difference.
    if (current !== null && (!current.complete || this.#responseWanted !== null)) {
      return refusal('conversation_already_has_active_response', 'A response is already going on.', null);
    }
    const session = this.#host.session;
    if (session !== null && session.answer === undefined) {
      return refusal('response_not_supported', `The agent "${this.#agent.name}" gives no answers.`, null);
    }
    this.#responseWanted = overrides;
    if (session !== null && current === null) this.#answerWanted();
    return null;
  }

  #addItem(item: Parameters<typeof addItem>[0]): void {
    addItem(item, this.#items, (notice) => this.#tell(notice));
  }

  // --- what the client is told ---------------------------------------------------------------------------------

  #reject(fault: Fault, sender?: EventReceiver): void {
    this.#counters.eventsRejected++;
    this.#outlet.reject(fault, sender);
  }

  #tell(notice: Notice): void {
    this.#outlet.tell(notice);
  }

  /** Unique within the call, which is all that the protocol asks for. */
  #nextId(prefix: string): string {
    return `${prefix}_${this.#callId.replace(/^rtc_/, '')}${(this.#ids++).toString(36).padStart(4, '0')}`;
  }
}

const SILENT: ConversationLog = { info: () => {}, error: () => {} };
const MIN_COMMIT_MS = 100;
/** Hz, of audio that comes in events. */
const EVENT_AUDIO_RATE = 24_000;
