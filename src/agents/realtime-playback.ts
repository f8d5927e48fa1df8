import type { AgentCall, AgentResponse } from './agent.ts';

/** One spoken message of the server. */
interface Message {
  readonly responseId: string;
  readonly itemId: string;
  /** What came before its turn to be played. */
  readonly waiting: Int16Array[];
  response: AgentResponse | null;
  whole: boolean;
  done: () => void;
}

/** A message that was not heard to its end. */
export interface CutMessage {
  readonly responseId: string;
  readonly itemId: string;
  readonly heardMs: number;
}

/** Plays what a Realtime server says: one message after the other, however fast they come. */
export class RealtimePlayback {
  readonly #call: AgentCall;
  #messages: Message[] = [];

  constructor(call: AgentCall) {
    this.#call = call;
  }

  /** Id of the response that is being heard, null when there is none. */
  get responseId(): string | null {
    return this.#messages[0]?.responseId ?? null;
  }

  /** The next piece of a message: base64 of 16-bit samples. */
  play(responseId: string, itemId: string, audio: string): void {
    const bytes = Uint8Array.from(Buffer.from(audio, 'base64'));
    const samples = new Int16Array(bytes.buffer, 0, bytes.length >> 1);
    let message = this.#messages.find((candidate) => candidate.itemId === itemId);
    if (message === undefined) {
      message = { responseId, itemId, waiting: [], response: null, whole: false, done: () => {} };
      this.#messages.push(message);
    }
    if (message.response === null) message.waiting.push(samples);
    else message.response.play(samples);
    if (this.#messages[0] === message && message.response === null) this.#begin(message);
  }

  /** Nothing follows of these messages. */
  complete(which: (message: { readonly responseId: string; readonly itemId: string }) => boolean): void {
    for (const message of this.#messages.filter(which)) {
      message.whole = true;
      message.done();
    }
  }

  /** What has not been heard is dropped: the first message ends after `heardMs`, the others before they began. */
  cut(heardMs: number): CutMessage[] {
    const messages = this.#messages;
    this.#messages = [];
    for (const { done } of messages) done();
    return messages.map(({ responseId, itemId }, i) => ({ responseId, itemId, heardMs: i === 0 ? Math.floor(heardMs) : 0 }));
  }

  #begin(message: Message): void {
    const { responseId, itemId } = message;
    const response = this.#call.respond(
      (response) => {
        message.response = response;
        for (const samples of message.waiting.splice(0)) response.play(samples);
        if (!message.whole) return new Promise<void>((resolve) => (message.done = resolve));
      },
      { responseId, itemId },
    );
    void this.#followUp(message, response);
  }

  async #followUp(message: Message, response: AgentResponse): Promise<void> {
    await response.finished;
    if (this.#messages[0] === message) this.#messages.shift();
    const next = this.#messages[0];
    if (next?.response === null) this.#begin(next);
  }
}
