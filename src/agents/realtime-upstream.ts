import { WebSocket } from 'ws';
import type { AgentEvent } from './agent.ts';

export interface UpstreamHandlers {
  event(event: AgentEvent): void;
  /** The connection is gone; a new one is being made. */
  lost(reason: string): void;
  /** There will be no connection any more. */
  failed(reason: string): void;
}

/**
 * A WebSocket to a Realtime server, made anew when it breaks: five times, the pauses doubling from 250 ms, counted anew
 * once a session has lasted. A server that does not bring a session up, or later gives no sign of life, for 15 s counts
 * as lost. One that refuses the key, or shows a certificate that nobody trusts, is not asked again.
 */
export class RealtimeUpstream {
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #handlers: UpstreamHandlers;
  readonly #watch: NodeJS.Timeout;
  #socket: WebSocket;
  #establishedAt: number | null = null;
  /** Turns of the watch since the last sign of life. */
  #silentFor = 0;
  #attempts = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(url: string, key: string | undefined, handlers: UpstreamHandlers) {
    this.#url = url;
    this.#headers = key === undefined ? {} : { Authorization: `Bearer ${key}` };
    this.#handlers = handlers;
    this.#socket = this.#connect();
    this.#watch = setInterval(() => this.#look(), WATCH_MS);
  }

  /** Sends one event; false when there is no connection. */
  send(event: AgentEvent): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(event));
    return true;
  }

  /** Sends the caller's voice. What does not fit, because the network is slower than speech, is dropped. */
  sendAudio(samples: Int16Array): void {
    if (this.#socket.bufferedAmount > MAX_BUFFERED) return;
    const audio = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength).toString('base64');
    this.send({ type: 'input_audio_buffer.append', audio });
  }

  /** The session is up. */
  established(): void {
    this.#establishedAt = performance.now();
  }

  /** Idempotent; no handler is called afterwards. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#socket.close();
  }

  #connect(): WebSocket {
    const socket = new WebSocket(this.#url, { headers: this.#headers });
    this.#establishedAt = null;
    this.#silentFor = 0;
    let failure = '';
    let final = false;
    socket.on('unexpected-response', (_request, { statusCode = 0 }) => {
      failure = `answered ${statusCode}`;
      final = statusCode >= 400 && statusCode < 500 && statusCode !== 429;
      socket.terminate();
    });
    // Without the address, which is not the caller's to know.
    socket.on('error', ({ code = 'connection failed' }: NodeJS.ErrnoException) => {
      failure ||= code;
      final ||= CERTIFICATE_FAULT.test(code);
    });
    const alive = (): void => {
      if (this.#establishedAt !== null) this.#silentFor = 0;
    };
    socket.on('pong', alive);
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      alive();
      const event = isBinary || this.#closed ? null : parseEvent(data.toString());
      if (event !== null) this.#handlers.event(event);
    });
    socket.on('close', (code, reason) => {
      if (this.#closed) return;
      const silent = this.#silentFor > MAX_SILENT ? 'no answer' : '';
      const said = code === 1006 ? 'broken off' : `closed with ${code} ${reason.toString()}`.trim();
      this.#broken(silent || failure || said, final || CLOSED_FOR_GOOD.has(code));
    });
    return socket;
  }

  #look(): void {
    if (this.#timer !== undefined) return;
    if (++this.#silentFor > MAX_SILENT) this.#socket.terminate();
    else if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping();
  }

  #broken(reason: string, final: boolean): void {
    if (this.#establishedAt !== null && performance.now() - this.#establishedAt > LASTING_MS) this.#attempts = 0;
    if (final || this.#attempts === MAX_ATTEMPTS) {
      this.close();
      this.#handlers.failed(reason);
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#socket = this.#connect();
    }, FIRST_PAUSE_MS * 2 ** this.#attempts++);
    this.#handlers.lost(reason);
  }
}

const WATCH_MS = 5_000;
const MAX_SILENT = 2;
const MAX_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 250;
/** A session that breaks off earlier is one more attempt in vain. */
const LASTING_MS = 10_000;
const MAX_BUFFERED = 1024 * 1024;
/** WebSocket close codes for an identity that is not known or not allowed. */
const CLOSED_FOR_GOOD: ReadonlySet<number> = new Set([3000, 3003]);
/** OpenSSL's and Node's names of what is wrong with a certificate. */
const CERTIFICATE_FAULT = /CERT|ALTNAME|UNABLE_TO_VERIFY/;

function parseEvent(text: string): AgentEvent | null {
  try {
    const event = JSON.parse(text) as AgentEvent | null;
    return typeof event?.type === 'string' ? event : null;
  } catch {
    return null;
  }
}
