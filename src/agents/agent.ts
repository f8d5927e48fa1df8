/**
 * What answers a call. An {@link Agent} opens one {@link AgentSession} per call; the call calls the session's handlers
 * and the session acts through {@link AgentCall}.
 *
 *   caller ──audio──► turn detection ──► session.answer(response) ──play──► paced playout ──► caller
 *                          │ caller speaks again
 *                          └► response.signal aborts, what has not been heard is dropped, session.interrupted()
 *
 * An error in any handler, thrown or rejected, ends this call with an `error` event, and no other call.
 */

export interface Agent {
  /** Shown as the model's name when the client asked for none. */
  readonly name: string;
  /** The audio that the agent takes and gives. */
  readonly format: AudioFormat;
  /**
   * Whether the call finds the caller's turns for this agent (`speechStarted`, `speechStopped`, `answer`, barge-in);
   * true unless set. The client can turn it off as well (`turn_detection: null`). For an Opus agent it costs a decode.
   */
  readonly turns?: boolean;
  /**
   * True for an agent that passes the call on to a server which leads the conversation itself: every well-formed client
   * event comes to `event` and is not acted on (but `output_audio_buffer.clear`), and the client is told what the
   * agent sends and nothing else (but `output_audio_buffer.*`).
   */
  readonly bridge?: boolean;
  /** A call is up. Audio and events reach the session once it is there; what was said before is not heard. */
  open(call: AgentCall): AgentSession | Promise<AgentSession>;
}

/** `opus`: the caller's packets as they come. `pcm16`: mono 16-bit samples at `rate`, in order, losses concealed. */
export type AudioFormat =
  | { readonly codec: 'opus' }
  | { readonly codec: 'pcm16'; readonly rate: 8000 | 16000 | 24000 | 48000 };

/** Handlers of one call. Each is optional and may return a promise. */
export interface AgentSession {
  /** `pcm16` agents: the next samples of the caller, without gaps. They are the agent's to keep. */
  audio?(samples: Int16Array): void | Promise<void>;
  /** `opus` agents: a packet of the caller, as it came from the network. Its memory is reused after the handler. */
  opus?(frame: OpusFrame): void | Promise<void>;
  /** The caller begins to speak. */
  speechStarted?(turn: { readonly startMs: number }): void | Promise<void>;
  /** The caller has finished a turn; `answer` follows unless the client turned that off. */
  speechStopped?(turn: Turn): void | Promise<void>;
  /**
   * An answer is due: after a turn, or because the client asked for one (`response.create`; `turn` is then null when
   * nothing new was said). Play it through `response`; it is complete when what this returns has settled and all of it
   * has been heard. Stop when `response.signal` aborts: audio played after that goes nowhere.
   */
  answer?(response: AgentResponse, turn: Turn | null): void | Promise<void>;
  /** The caller cut a response short. */
  interrupted?(interruption: Interruption): void | Promise<void>;
  /**
   * An event of the client, checked and already in effect: `session.update`, `conversation.item.create`,
   * `response.create` …
   */
  event?(event: AgentEvent): void | Promise<void>;
  /**
   * The server is to stop. It takes no new calls, and the call may go on: until it ends by itself, or `withinMs`
   * milliseconds have passed. An agent that has long to say may come to an end now. Called once at most.
   */
  draining?(notice: { readonly withinMs: number }): void | Promise<void>;
  /** The call is over, for whatever reason. Called once, and last. */
  close?(reason: string): void | Promise<void>;
}

/** One call, as its agent sees it. After the end of the call all methods do nothing. */
export interface AgentCall {
  /** `rtc_…` */
  readonly id: string;
  /** The session object of the Realtime protocol as it is now. */
  readonly session: AgentSessionConfig;
  /** What the client asked for when it placed the call, without defaults. */
  readonly requested: { readonly [field: string]: unknown };
  /**
   * The conversation so far, in the items of the Realtime protocol: what the caller and the client said, what the
   * caller heard of the agent, function calls and their outputs. Long calls forget their beginning.
   */
  readonly items: readonly AgentItem[];
  /** Aborts when the call ends. */
  readonly signal: AbortSignal;
  /**
   * Speaks without being asked: a greeting, news. Works as {@link AgentSession.answer} does. A response that is still
   * going on is cancelled.
   * @param ids for bridges: what the response and its message are called elsewhere.
   */
  respond(run: (response: AgentResponse) => void | Promise<void>, ids?: { responseId: string; itemId: string }): AgentResponse;
  /** The words of a turn: they become part of {@link items}, and the client is told. Null when they cannot be had, and why. */
  transcribed(turn: Turn, transcript: string | null, fault?: string): void;
  /** Drops audio that has not left yet; gives the milliseconds heard of the current response, 0 when there is none. */
  clear(): number;
  /** `opus` agents: sends a frame of the caller's straight back, unpaced, at its place in time. */
  forward(frame: OpusFrame): void;
  /** Sends the client an event. `type` is required, `event_id` is added. @throws {TypeError} when it is no JSON object. */
  send(event: AgentEvent): void;
  /** Writes a line to the operator's log, with the call's id. `fields` must be fit for JSON and hold no secrets. */
  log(message: string, fields?: object): void;
  /** Ends the call. */
  hangup(reason?: string): void;
}

/** One thing the agent says. */
export interface AgentResponse {
  /** `resp_…` */
  readonly id: string;
  /** Aborts when the response is cancelled: by the caller's voice, the client, a newer response, or the end of the call. */
  readonly signal: AbortSignal;
  /** The session, with what the client's `response.create` changed for this response. */
  readonly session: AgentSessionConfig;
  /** Resolves when the response is over: heard, cancelled or failed. */
  readonly finished: Promise<void>;
  /**
   * The next words of the message. Give the words of a stretch of audio right before that audio: an interruption then
   * leaves in the conversation what was heard. To a client that asked for text alone they are the answer itself.
   */
  text(words: string): void;
  /** Asks the client to call one of its tools; its output comes as an item, with a `response.create` after it. */
  callFunction(call: { readonly name: string; readonly arguments: string; readonly callId?: string }): void;
  /** It cannot be given: ends it as failed. The client is told the message, the log also the cause. The call goes on. */
  fail(message: string, cause?: unknown): void;
  /**
   * Queues audio: mono samples at the agent's rate and of any length, or one Opus packet. May be called much faster
   * than real time; it is paced on its way out. The array may be reused afterwards. Goes nowhere when the client asked
   * for text alone.
   * @throws {TypeError} for audio in another format; {RangeError} when more than ten minutes wait.
   */
  play(audio: Int16Array | Uint8Array): void;
}

/** What the client asked for, defaults filled in; fields that Earshot does not know are kept. */
export interface AgentSessionConfig {
  readonly id: string;
  readonly model: string;
  readonly instructions: string;
  readonly tools: readonly unknown[];
  readonly output_modalities: readonly string[];
  readonly audio: {
    readonly input: {
      /** null: the client says itself when a turn is over (push to talk). */
      readonly turn_detection: { readonly type: string } | null;
      readonly [field: string]: unknown;
    };
    readonly output: { readonly voice: unknown; readonly [field: string]: unknown };
  };
  readonly [field: string]: unknown;
}

export interface OpusFrame {
  readonly packet: Uint8Array;
  /** RTP timestamp, 48 kHz, without wrap-around. */
  readonly timestamp: number;
  /** Samples at 48 kHz. */
  readonly duration: number;
}

/** A stretch of the caller's audio; positions are milliseconds since the first sample given to the session. */
export interface Turn {
  readonly startMs: number;
  /** The silence that ended the turn included. */
  readonly endMs: number;
  /** End of the last speech. */
  readonly lastSpeechMs: number;
  /** The item that the turn became. */
  readonly itemId: string;
}

export interface Interruption {
  readonly responseId: string;
  /** How much of the response had been sent to the caller. */
  readonly heardMs: number;
  /** The words of that, null when the agent gave none. */
  readonly heardText: string | null;
  readonly reason: 'turn_detected' | 'client_cancelled';
}

/** An entry of the conversation: a `message`, a `function_call` or a `function_call_output`. */
export interface AgentItem {
  readonly id: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface AgentEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}
