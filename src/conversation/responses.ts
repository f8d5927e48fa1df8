/**
 * What the agent says: one response at a time, from its creation to the last frame that leaves.
 *
 *   start ──► text, play, callFunction ──► agent done ──► all of it has left ──► response_done (completed)
 *                                  └─ cancel: caller or client ────────────────► response_done (cancelled)
 *
 * The item of what is said begins with its first word or sound, so that an answer that only calls a function has none.
 */
import type { AgentResponse, Interruption } from '../agents/agent.ts';
import type { Item, Notice, OutputPlace, ResponseStatus } from './dialect.ts';
import type { Downlink } from './downlink.ts';
import type { ItemList } from './items.ts';
import { Response } from './response.ts';
import type { Session } from './session-config.ts';

export interface ResponsesHost {
  tell(notice: Notice): void;
  nextId(prefix: string): string;
  /** Calls into the agent; `settled` when what it returns is there. Errors end the call. */
  run<T>(call: () => T | Promise<T>, settled?: (value: T) => void): void;
  /** What went wrong, for the operator. */
  log(message: string, error: unknown): void;
  /** The agent has said all of a response: it is over when that has been heard, which a tick finds out. */
  complete(): void;
  /** A response is over, and a next one can begin. */
  finished(status: ResponseStatus['status']): void;
}

export interface ResponseSetup {
  readonly session: Session;
  readonly metadata?: Readonly<Record<string, string>> | null;
  /** Names given elsewhere. */
  readonly ids?: { readonly responseId: string; readonly itemId: string };
}

export class Responses {
  readonly #downlink: Downlink;
  readonly #items: ItemList;
  readonly #host: ResponsesHost;
  #current: Response | null = null;

  constructor(downlink: Downlink, items: ItemList, host: ResponsesHost) {
    this.#downlink = downlink;
    this.#items = items;
    this.#host = host;
  }

  /** The response that is going on. */
  get current(): Response | null {
    return this.#current;
  }

  /**
   * How much of the current response the caller hears of, ms: all that has left, for nothing calls a packet back, and
   * what waits in the caller's jitter buffer is played. The silence that fills up the last frame is not part of it.
   */
  get heardMs(): number {
    const { current } = this;
    return current === null ? 0 : Math.min(this.#downlink.sentMs - current.sentBefore, current.spoken.durationMs);
  }

  /** Begins a response; none must be going on. */
  start(run: (response: AgentResponse) => void | Promise<void>, setup: ResponseSetup): Response {
    const response = this.#create(setup);
    this.#current = response;
    this.#host.tell({ type: 'response_created', response: response.view({ status: 'in_progress' }, 0) });
    this.#host.run(
      () => run(response.handle),
      () => {
        if (this.#current !== response) return;
        this.#downlink.finish();
        response.complete = true;
        this.#host.complete();
      },
    );
    return response;
  }

  /** A response that is over before it begins, for an agent whose call has ended. */
  refuse(setup: ResponseSetup): Response {
    const response = this.#create(setup);
    response.abort('call_ended');
    response.finish();
    return response;
  }

  /** Sends what is due, and ends the response once all of it has been heard. */
  tick(now: number): void {
    const response = this.#current;
    const sentBefore = this.#downlink.sentMs;
    this.#downlink.tick(now);
    if (response === null) return;
    if (!response.audible && this.#downlink.sentMs > sentBefore) {
      response.audible = true;
      this.#host.tell({ type: 'output_started', responseId: response.id });
    }
    if (!response.complete || !this.#downlink.drained(now)) return;
    this.#end(response, { status: 'completed' }, response.spoken.durationMs);
    if (response.audible) this.#host.tell({ type: 'output_stopped', responseId: response.id });
    this.#host.finished('completed');
  }

  /** Cuts the response short; null when none was going on. */
  cancel(reason: Interruption['reason']): Interruption | null {
    const { heardMs } = this;
    const response = this.stop(reason);
    if (response === null) return null;
    if (response.audible) this.#host.tell({ type: 'output_cleared', responseId: response.id });
    const message = response.message;
    this.#end(response, { status: 'cancelled', reason }, heardMs);
    if (heardMs > 0 && message !== null) {
      this.#host.tell({ type: 'item_truncated', itemId: message.itemId, audioEndMs: heardMs });
    }
    this.#host.finished('cancelled');
    return { responseId: response.id, heardMs, heardText: response.spoken.until(heardMs), reason };
  }

  /** The response cannot be given. */
  fail(message: string): void {
    const { heardMs } = this;
    const response = this.stop('failed');
    if (response === null) return;
    if (response.audible) this.#host.tell({ type: 'output_cleared', responseId: response.id });
    this.#end(response, { status: 'failed', message }, heardMs);
    this.#host.finished('failed');
  }

  /** Drops audio that has not left, and gives how much of the response has. The agent may go on. */
  clear(): number {
    const { heardMs } = this;
    this.#downlink.clear();
    const response = this.#current;
    if (response?.audible === true) {
      response.audible = false;
      this.#host.tell({ type: 'output_cleared', responseId: response.id });
    }
    return heardMs;
  }

  /** Silence from here on, without a word to the client. Gives the response that was going on. */
  stop(reason: string): Response | null {
    this.#downlink.clear();
    const response = this.#current;
    this.#current = null;
    if (response === null) return null;
    this.#host.run(() => response.abort(reason));
    response.finish();
    return response;
  }

  #create({ session, metadata = null, ids }: ResponseSetup): Response {
    const whileGoing = (act: () => void): void => {
      if (this.#current === response && !response.complete) act();
    };
    const response: Response = new Response({
      id: ids?.responseId ?? this.#host.nextId('resp'),
      session,
      metadata,
      sentBefore: this.#downlink.sentMs,
      acts: {
        play: (audio) => whileGoing(() => this.#play(response, audio, ids?.itemId)),
        text: (words) => whileGoing(() => this.#say(response, words, ids?.itemId)),
        callFunction: (call) => whileGoing(() => this.#callFunction(response, call)),
        fail: (message, cause) => whileGoing(() => {
          this.#host.log(`a response failed: ${message}`, cause);
          this.fail(message);
        }),
      },
    });
    return response;
  }

  #play(response: Response, audio: Int16Array | Uint8Array, itemId?: string): void {
    if (response.modality === 'text') return;
    const durationMs = this.#downlink.play(audio);
    if (response.message === null) this.#addMessage(response, itemId);
    response.spoken.durationMs += durationMs;
  }

  #say(response: Response, words: string, itemId?: string): void {
    const place = response.message ?? this.#addMessage(response, itemId);
    response.spoken.add(words);
    this.#host.tell({ type: 'content_words', place, modality: response.modality, words });
  }

  #addMessage(response: Response, itemId = this.#host.nextId('item')): OutputPlace {
    const place = response.add(itemId, null);
    this.#addItem(place, response.item(place, 'in_progress', 0));
    this.#items.speaks(itemId, response.spoken);
    this.#host.tell({ type: 'content_added', place, modality: response.modality });
    return place;
  }

  #callFunction(response: Response, { name, arguments: json, callId }: Parameters<AgentResponse['callFunction']>[0]): void {
    const call = { name, arguments: json, callId: callId ?? this.#host.nextId('call') };
    const place = response.add(this.#host.nextId('item'), call);
    this.#addItem(place, response.item(place, 'in_progress', 0));
    this.#host.tell({ type: 'function_called', place, call });
    this.#finishItem(place, response.item(place, 'completed', 0));
  }

  #end(response: Response, outcome: ResponseStatus, heardMs: number): void {
    this.#current = null;
    const view = response.view(outcome, heardMs);
    const place = response.message;
    if (place !== null) {
      const text = response.modality === 'text' || outcome.status === 'completed' ? response.spoken.whole : response.spoken.until(heardMs);
      this.#host.tell({ type: 'content_done', place, modality: response.modality, text });
      this.#finishItem(place, view.output[place.outputIndex]);
    }
    this.#host.tell({ type: 'response_done', response: view });
    response.finish();
  }

  #addItem(place: OutputPlace, item: Item): void {
    this.#host.tell({ type: 'response_item_added', place, item });
    this.#host.tell({ type: 'item_added', item, previousItemId: this.#items.insert(item) });
  }

  #finishItem(place: OutputPlace, item: Item): void {
    this.#items.update(item);
    this.#host.tell({ type: 'response_item_done', place, item });
    this.#host.tell({ type: 'item_done', item, previousItemId: this.#items.previousOf(item.id) });
  }
}
