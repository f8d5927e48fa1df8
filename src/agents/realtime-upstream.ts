import { WebSocket } from 'ws';
import type { AgentEvent } from './agent.ts';

export interface UpstreamHandlers {
  event(event: AgentEvent): void;
  /** The connection is gone; a new one is being made. */
  lost(reason: string): void;
  /** There will be no connection any more. */
  failed(reason: string): void;
}

/** A WebSocket to a Realtime server, made anew when it breaks: five times, the pauses doubling from 250 ms. */
export class RealtimeUpstream {
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #handlers: UpstreamHandlers;
  #socket: WebSocket;
  #attempts = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(url: string, key: string | undefined, handlers: UpstreamHandlers) {
    this.#url = url;
    this.#headers = key === undefined ? {} : { Authorization: `Bearer ${key}` };
    this.#handlers = handlers;
    this.#socket = this.#connect();
  }

  /** Sends one event. What does not fit, because the network is slower than speech, is dropped. */
  send(event: AgentEvent): void {
    if (this.#socket.readyState !== WebSocket.OPEN || this.#socket.bufferedAmount > MAX_BUFFERED) return;
    this.#socket.send(JSON.stringify(event));
  }

  /** Idempotent; no handler is called afterwards. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket.close();
  }

  #connect(): WebSocket {
    const socket = new WebSocket(this.#url, { headers: this.#headers, handshakeTimeout: HANDSHAKE_MS });
    let refusal: number | null = null;
    let failure = '';
    socket.on('unexpected-response', (_request, response) => {
      refusal = response.statusCode ?? 0;
      socket.terminate();
    });
    // Without the address, which is not the caller's to know.
    socket.on('error', (error: NodeJS.ErrnoException) => (failure = error.code ?? 'connection failed'));
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      const event = isBinary || this.#closed ? null : parseEvent(data.toString());
      if (event === null) return;
      if (event.type === 'session.created') this.#attempts = 0;
      this.#handlers.event(event);
    });
    socket.on('close', (code, reason) => {
      if (this.#closed) return;
      const why = refusal === null ? failure || `closed with ${code} ${reason.toString()}`.trim() : `answered ${refusal}`;
      this.#broken(why, refusal !== null && refusal >= 400 && refusal < 500 && refusal !== 429);
    });
    return socket;
  }

  #broken(reason: string, final: boolean): void {
    if (final || this.#attempts === MAX_ATTEMPTS) {
      this.#closed = true;
      this.#handlers.failed(reason);
      return;
    }
    this.#timer = setTimeout(() => (this.#socket = this.#connect()), FIRST_PAUSE_MS * 2 ** this.#attempts++);
    this.#handlers.lost(reason);
  }
}

const HANDSHAKE_MS = 10_000;
const MAX_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 250;
const MAX_BUFFERED = 1024 * 1024;

function parseEvent(text: string): AgentEvent | null {
  try {
    const event = JSON.parse(text) as AgentEvent | null;
    return typeof event?.type === 'string' ? event : null;
  } catch {
    return null;
  }
}
