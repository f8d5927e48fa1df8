import type { AgentResponse } from '../agents/agent.ts';
import type { Item, ResponseStatus, ResponseView } from './dialect.ts';

/** One answer of the agent, from the moment it is wanted until it has been heard or cut short. */
export class Response {
  readonly id: string;
  readonly itemId: string;
  /** What the agent holds. */
  readonly handle: AgentResponse;
  /** `downlink.sentMs` when the response began. */
  readonly sentBefore: number;
  readonly #controller = new AbortController();
  /** The agent has given all of it. */
  complete = false;
  /** It is being heard: its audio began to leave, and neither ran out nor was dropped. */
  audible = false;

  constructor(id: string, itemId: string, sentBefore: number, play: (audio: Int16Array | Uint8Array) => void) {
    this.id = id;
    this.itemId = itemId;
    this.sentBefore = sentBefore;
    this.handle = { id, signal: this.#controller.signal, play };
  }

  /** Tells the agent to stop. Listeners run: call it where the agent's errors are contained. */
  abort(reason: string): void {
    this.#controller.abort(reason);
  }

  item(status: 'in_progress' | 'completed' | 'incomplete'): Item {
    return {
      id: this.itemId,
      object: 'realtime.item',
      type: 'message',
      status,
      role: 'assistant',
      content: status === 'in_progress' ? [] : [{ type: 'output_audio', transcript: null }],
    };
  }

  view(outcome: ResponseStatus): ResponseView {
    const output =
      outcome.status === 'in_progress'
        ? []
        : [this.item(outcome.status === 'completed' ? 'completed' : 'incomplete')];
    return { id: this.id, outcome, output };
  }
}
