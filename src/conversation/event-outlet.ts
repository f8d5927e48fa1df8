/** What is told of a conversation: each {@link Notice} in the words of the dialect, to the client and to observers. */
import type { Dialect, Fault, FaultCode, Notice } from './dialect.ts';
import type { Session } from './session-config.ts';

/** Bytes that the session, or an item, may have as JSON: each is told in one event, and a data channel carries 256 KiB in one. */
export const MAX_TOLD = 200_000;

export function isTooLargeToTell(value: object): boolean {
  return Buffer.byteLength(JSON.stringify(value)) > MAX_TOLD;
}

/** Takes one event as JSON. */
export type EventReceiver = (json: string) => void;

export class EventOutlet {
  readonly counters = {
    sent: 0,
    /** Could not be kept until the data channel opened, or larger than the client takes. */
    dropped: 0,
  };
  readonly #dialect: Dialect;
  readonly #send: (json: string) => boolean;
  readonly #bridge: boolean;
  /** Others that follow the conversation, besides the client. */
  readonly #observers = new Set<EventReceiver>();
  /** Events that wait for the data channel; null once it is open. */
  #unsent: string[] | null = [];
  #closed = false;

  /**
   * @param send puts one event on the data channel, false when it is too large; called only after {@link open}
   * @param bridge whether a server behind the agent tells most things itself
   */
  constructor(dialect: Dialect, send: (json: string) => boolean, bridge: boolean) {
    this.#dialect = dialect;
    this.#send = send;
    this.#bridge = bridge;
  }

  /** The data channel is open: `session`, if there is one to greet with, is told first, then what has waited. Once. */
  open(session: Session | null): void {
    if (this.#closed || this.#unsent === null) return;
    const unsent = this.#unsent;
    this.#unsent = null;
    if (session !== null) this.#toClient(this.#created(session));
    for (const json of unsent) this.#toClient(json);
  }

  /** Tells somebody else what the client is told; `session`, when it is known, at once. Gives what ends it. */
  observe(receive: EventReceiver, session: Session | null): () => void {
    if (this.#closed) return () => {};
    this.#observers.add(receive);
    if (session !== null) receive(this.#created(session));
    return () => this.#observers.delete(receive);
  }

  tell(notice: Notice): void {
    if (this.#closed || (this.#bridge && !TOLD_OF_BRIDGES.has(notice.type))) return;
    for (const json of this.#dialect.write(notice)) {
      for (const receive of this.#observers) receive(json);
      if (this.#unsent === null) this.#toClient(json);
      else if (this.#unsent.length < MAX_UNSENT) this.#unsent.push(json);
      else this.counters.dropped++;
    }
  }

  tellError(code: FaultCode, kind: Fault['kind'], message: string): void {
    this.tell({ type: 'error', fault: { type: 'fault', kind, code, message, param: null, eventId: null } });
  }

  /** Tells of an event that was wrong: everybody, or only the observer who sent it. */
  reject(fault: Fault, sender?: EventReceiver): void {
    if (sender === undefined) this.tell({ type: 'error', fault });
    else for (const json of this.#dialect.write({ type: 'error', fault })) sender(json);
  }

  /** Nothing is told any more. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#observers.clear();
    this.#unsent = null;
  }

  #created(session: Session): string {
    return this.#dialect.write({ type: 'session_created', session })[0];
  }

  #toClient(json: string): void {
    if (this.#send(json)) {
      this.counters.sent++;
      return;
    }
    this.counters.dropped++;
    const message = `An event of ${Buffer.byteLength(json)} bytes is left out, which is more than this data channel takes. It begins ${json.slice(0, 80)}`;
    const fault: Fault = { type: 'fault', kind: 'server_error', code: 'event_too_large', message, param: null, eventId: null };
    for (const error of this.#dialect.write({ type: 'error', fault })) this.#send(error);
  }
}

const MAX_UNSENT = 256;
/** Everything else the server behind the bridge tells itself. */
const TOLD_OF_BRIDGES: ReadonlySet<Notice['type']> = new Set(['output_started', 'output_stopped', 'output_cleared', 'agent_event', 'error']);
