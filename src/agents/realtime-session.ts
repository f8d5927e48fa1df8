import type { AgentEvent } from './agent.ts';
import { type Fields, OWN } from './realtime-events.ts';

/** What the client wants of its session with a Realtime server, so that every new connection gets it. */
export class RealtimeSession {
  #agreed: Fields;
  /** Updates that the server has not answered yet, with the client's id of the event. */
  #asked: { readonly id: string; readonly clientId: unknown; readonly event: AgentEvent }[] = [];
  #ids = 0;

  constructor(requested: Fields) {
    this.#agreed = merged({}, requested);
  }

  /** For a new connection. */
  get config(): Fields {
    return this.#agreed;
  }

  /** The client's `session.update`, as the server is to have it. */
  ask(event: AgentEvent): AgentEvent {
    const clientId = event['event_id'] ?? null;
    const id = typeof clientId === 'string' ? clientId : `${OWN}update${this.#ids++}`;
    this.#asked.push({ id, clientId, event });
    return { ...event, event_id: id, session: merged({}, (event['session'] ?? {}) as Fields) };
  }

  /** The server has updated its session: updates are answered in order. */
  agree(): void {
    const asked = this.#asked.shift();
    if (asked) this.#agreed = merged(this.#agreed, (asked.event['session'] ?? {}) as Fields);
  }

  /** The server's error names this event. Gives the client's id of it, undefined when it is no update. */
  refuse(eventId: unknown): unknown {
    const asked = this.#asked.find(({ id }) => id === eventId);
    this.#asked = this.#asked.filter((candidate) => candidate !== asked);
    return asked?.clientId;
  }

  /** The connection is gone: the updates that nobody has answered. */
  takeUnanswered(): AgentEvent[] {
    return this.#asked.splice(0).map(({ event }) => event);
  }
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
