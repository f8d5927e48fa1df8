/**
 * The agent's side of one call: opens the session, calls its handlers and keeps every error it makes to this call.
 *
 * A handler can fail in four ways: it throws, its promise rejects, a promise or a timer it started and forgot fails
 * later. The first two are caught here. The others surface on the process, where the asynchronous context tells whose
 * they are: see {@link containAgentFaults}.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Agent, AgentCall, AgentEvent, AgentSession, OpusFrame } from '../agents/agent.ts';

export class AgentHost {
  readonly #agent: Agent;
  readonly #onFault: (error: unknown) => void;
  readonly #onReady: () => void;
  #session: AgentSession | null = null;
  /** Events that came before the session was there. */
  #waiting: AgentEvent[] = [];
  /** Milliseconds left until the server stops, if it is to. */
  #leftMs: (() => number) | null = null;
  #closeReason: string | null = null;

  /**
   * @param handlers `ready`: the session is there. `fault`: the agent has failed; called for each error, also after
   * close.
   */
  constructor(agent: Agent, handlers: { ready: () => void; fault: (error: unknown) => void }) {
    this.#agent = agent;
    this.#onFault = handlers.fault;
    this.#onReady = handlers.ready;
  }

  /** The session, null until it is open and after it has been closed. Call its handlers inside of {@link run}. */
  get session(): AgentSession | null {
    return this.#session;
  }

  open(call: AgentCall): void {
    this.run(
      () => this.#agent.open(call),
      (session) => this.#opened(session),
    );
  }

  /**
   * Calls into the agent. `settled` runs when what `call` returns is there: at once, or when its promise resolves.
   * An error goes to the fault handler instead.
   */
  run<T>(call: () => T | Promise<T>, settled?: (value: T) => void): void {
    let result: T | Promise<T>;
    try {
      result = context.run(this, call);
      if (isPromise(result)) {
        result.then(settled, (error: unknown) => this.#onFault(error));
        return;
      }
    } catch (error) {
      this.#onFault(error);
      return;
    }
    settled?.(result);
  }

  /** Hands an Opus agent one packet: {@link run} without a function made for each of fifty a second. */
  opus(frame: OpusFrame): void {
    const session = this.#session;
    if (session === null) return;
    try {
      const result = context.run(this, callOpus, session, frame);
      if (isPromise(result)) result.then(undefined, (error: unknown) => this.#onFault(error));
    } catch (error) {
      this.#onFault(error);
    }
  }

  /** Hands on a client event, as soon as the session is there. */
  event(event: AgentEvent): void {
    const session = this.#session;
    if (session !== null) this.run(() => session.event?.(event));
    else if (this.#closeReason === null && this.#waiting.length < MAX_WAITING) this.#waiting.push(event);
  }

  /** Tells the session, as soon as it is there, that the server is to stop. `leftMs` gives the time that is left. */
  drain(leftMs: () => number): void {
    const session = this.#session;
    if (session !== null) this.run(() => session.draining?.({ withinMs: leftMs() }));
    else this.#leftMs = leftMs;
  }

  /** An error that surfaced outside of any handler. */
  fault(error: unknown): void {
    this.#onFault(error);
  }

  /** Tells the session that the call is over; one that opens later is told then. Idempotent. */
  close(reason: string): void {
    if (this.#closeReason !== null) return;
    this.#closeReason = reason;
    this.#waiting = [];
    const session = this.#session;
    this.#session = null;
    if (session !== null) this.run(() => session.close?.(reason));
  }

  #opened(session: AgentSession): void {
    if (typeof session !== 'object' || session === null) {
      this.#onFault(new TypeError(`open() of agent "${this.#agent.name}" must return a session object`));
      return;
    }
    const reason = this.#closeReason;
    if (reason !== null) {
      this.run(() => session.close?.(reason));
      return;
    }
    this.#session = session;
    if (this.#leftMs !== null) this.drain(this.#leftMs);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) this.event(event);
    this.#onReady();
  }
}

/**
 * Gives errors that nobody caught (a forgotten promise, a timer, a socket of an agent) to the call whose agent made
 * them, in this thread. Others go to `unowned`: they are bugs of the program. Install once per thread; gives a
 * function that takes it back.
 */
export function containAgentFaults(unowned: (error: unknown) => void): () => void {
  const onError = (error: unknown): void => {
    const host = context.getStore();
    if (host === undefined) unowned(error);
    else host.fault(error);
  };
  process.on('unhandledRejection', onError);
  process.on('uncaughtException', onError);
  return () => {
    process.off('unhandledRejection', onError);
    process.off('uncaughtException', onError);
  };
}

const context = new AsyncLocalStorage<AgentHost>();

const MAX_WAITING = 100;

function callOpus(session: AgentSession, frame: OpusFrame): void | Promise<void> {
  return session.opus?.(frame);
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
