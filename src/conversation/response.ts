import type { AgentResponse } from '../agents/agent.ts';
import type { FunctionCall, FunctionCallItem, ItemStatus, MessageItem, MessagePart, Modality, OutputPlace, ResponseStatus, ResponseView } from './dialect.ts';
import type { Session } from './session-config.ts';
import { SpokenText } from './spoken-text.ts';

export interface ResponseOptions {
  readonly id: string;
  /** The session, with what was changed for this response. */
  readonly session: Session;
  readonly metadata: Readonly<Record<string, string>> | null;
  /** `downlink.sentMs` now. */
  readonly sentBefore: number;
  readonly acts: Pick<AgentResponse, 'play' | 'text' | 'callFunction' | 'fail'>;
}

/** One answer of the agent, from the moment it is wanted until it has been heard or cut short. */
export class Response {
  readonly id: string;
  /** What the agent holds. */
  readonly handle: AgentResponse;
  readonly sentBefore: number;
  readonly modality: Modality;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly spoken = new SpokenText();
  readonly #session: Session;
  readonly #controller = new AbortController();
  readonly #output: ({ readonly id: string; readonly call: FunctionCall | null })[] = [];
  #finish: () => void = () => {};
  /** The agent has given all of it. */
  complete = false;
  /** It is being heard: its audio began to leave, and neither ran out nor was dropped. */
  audible = false;

  constructor({ id, session, metadata, sentBefore, acts }: ResponseOptions) {
    this.id = id;
    this.sentBefore = sentBefore;
    this.metadata = metadata;
    this.modality = session.output_modalities.includes('audio') ? 'audio' : 'text';
    this.#session = session;
    const finished = new Promise<void>((resolve) => (this.#finish = resolve));
    this.handle = { id, signal: this.#controller.signal, session, finished, ...acts };
  }

  /** The place of the message, null as long as nothing has been said. */
  get message(): OutputPlace | null {
    const at = this.#output.findIndex(({ call }) => call === null);
    return at === -1 ? null : this.#place(at);
  }

  /** Adds an item: a function call, or the message when `call` is null. */
  add(itemId: string, call: FunctionCall | null): OutputPlace {
    this.#output.push({ id: itemId, call });
    return this.#place(this.#output.length - 1);
  }

  /** Tells the agent to stop. Listeners run: call it where the agent's errors are contained. */
  abort(reason: string): void {
    this.#controller.abort(reason);
  }

  /** It is over. */
  finish(): void {
    this.#finish();
  }

  /** @param heardMs how much of the audio was heard when it was cut short */
  item({ outputIndex }: OutputPlace, status: ItemStatus, heardMs: number): MessageItem | FunctionCallItem {
    const { id, call } = this.#output[outputIndex];
    if (call !== null) return functionCallItem(id, call, status === 'in_progress' ? status : 'completed');
    return { id, object: 'realtime.item', type: 'message', status, role: 'assistant', content: this.#content(status, heardMs) };
  }

  view(outcome: ResponseStatus, heardMs: number): ResponseView {
    const status = outcome.status === 'completed' ? 'completed' : 'incomplete';
    const output =
      outcome.status === 'in_progress' ? [] : this.#output.map((_, i) => this.item(this.#place(i), status, heardMs));
    return { id: this.id, outcome, output, session: this.#session, metadata: this.metadata };
  }

  #content(status: ItemStatus, heardMs: number): MessagePart[] {
    if (status === 'in_progress') return [];
    if (this.modality === 'text') return [{ type: 'output_text', text: this.spoken.whole ?? '' }];
    const transcript = status === 'completed' ? this.spoken.whole : this.spoken.until(heardMs);
    return [{ type: 'output_audio', ...(transcript === null ? {} : { transcript }) }];
  }

  #place(outputIndex: number): OutputPlace {
    return { responseId: this.id, itemId: this.#output[outputIndex].id, outputIndex };
  }
}

function functionCallItem(id: string, call: FunctionCall, status: ItemStatus): FunctionCallItem {
  return {
    id,
    object: 'realtime.item',
    type: 'function_call',
    status,
    call_id: call.callId,
    name: call.name,
    arguments: status === 'in_progress' ? '' : call.arguments,
  };
}
