import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { RealtimeServerEvent, SessionUpdateEvent } from 'openai/resources/realtime/realtime';
import { type WebSocket, WebSocketServer } from 'ws';

type Event = { readonly type: string; readonly [field: string]: unknown };
type Fields = Record<string, unknown>;

/**
 * A stand-in for a Realtime server over WebSocket, for tests: no model is behind it. It keeps a session and acknowledges
 * what it is sent in the published shapes; what a model would do is told by the test, through the `say…` methods.
 */
export class RealtimeServer {
  readonly url: string;
  /** Connections in the order of their making, gone ones too. */
  readonly connections: RealtimeConnection[] = [];
  readonly #server: Server;
  readonly #key: string;
  /** Connections are refused with this status while it is set. */
  refuse: number | null = null;
  #waiters: ((connection: RealtimeConnection) => void)[] = [];

  /** Connections are taken, and not greeted. */
  mute = false;

  private constructor(server: Server, key: string, scheme: 'ws' | 'wss') {
    this.#server = server;
    this.#key = key;
    this.url = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/v1/realtime?model=none`;
    const sockets = new WebSocketServer({ noServer: true });
    server.on('upgrade', (request, socket, head) => {
      const status = this.refuse ?? (request.headers.authorization === `Bearer ${this.#key}` ? null : 401);
      if (status !== null) {
        socket.end(`HTTP/1.1 ${status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
        return;
      }
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        const connection = new RealtimeConnection(webSocket, request.url ?? '', !this.mute);
        this.connections.push(connection);
        for (const wake of this.#waiters.splice(0)) wake(connection);
      });
    });
  }

  /** @param tls a certificate and its key, PEM, for `wss:` */
  static async start(key: string, tls?: { readonly cert: string; readonly key: string }): Promise<RealtimeServer> {
    const server = tls === undefined ? createServer() : createTlsServer(tls);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new RealtimeServer(server, key, tls === undefined ? 'ws' : 'wss');
  }

  /** The next connection that is made. */
  connected(): Promise<RealtimeConnection> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.connections) connection.cut();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** One session of the server. */
export class RealtimeConnection {
  /** Everything that came, audio left out. */
  readonly received: Event[] = [];
  /** Samples that came. */
  audio = 0;
  session: Fields = {
    type: 'realtime',
    object: 'realtime.session',
    id: 'sess_upstream',
    model: 'none',
    output_modalities: ['audio'],
    instructions: 'The default.',
    tools: [],
    audio: { input: { turn_detection: { type: 'server_vad', interrupt_response: true } }, output: { voice: 'alloy' } },
  };
  readonly socket: WebSocket;
  /** What was asked for, with the query. */
  readonly path: string;
  /** What is wrong with the next session. */
  refuseSession: string | null = null;
  readonly #items = new Map<string, Fields>();
  #ids = 0;
  #waiters: { type: string; resolve: (event: Event) => void }[] = [];

  constructor(socket: WebSocket, path: string, greets: boolean) {
    this.socket = socket;
    this.path = path;
    socket.on('message', (data: Buffer) => this.#handle(JSON.parse(data.toString()) as Event));
    if (greets) this.send({ type: 'session.created', session: this.session });
  }

  /** The next event of a type that has come, or comes. */
  next(type: string): Promise<Event> {
    return new Promise((resolve) => this.#waiters.push({ type, resolve }));
  }

  send(event: { type: RealtimeServerEvent['type']; [field: string]: unknown }): void {
    if (event.type === 'conversation.item.done') this.#items.set((event['item'] as { id: string }).id, event['item'] as Fields);
    this.socket.send(JSON.stringify({ event_id: `event_up${this.#ids++}`, ...event }));
  }

  /** Begins a response with a spoken message, and sends `ms` of a tone in pieces of 100 ms. Whole unless it is to stay open. */
  say(id: string, ms: number, { transcript = 'La la.', open = false } = {}): void {
    const place = { response_id: `resp_${id}`, item_id: `item_${id}`, output_index: 0, content_index: 0 };
    const item = { id: place.item_id, object: 'realtime.item', type: 'message', role: 'assistant' };
    this.send({ type: 'response.created', response: this.#response(id, 'in_progress', []) });
    this.send({ type: 'response.output_item.added', ...place, item: { ...item, status: 'in_progress', content: [] } });
    this.send({ type: 'conversation.item.added', previous_item_id: null, item: { ...item, status: 'in_progress', content: [] } });
    this.send({ type: 'response.output_audio_transcript.delta', ...place, delta: transcript });
    const tone = Int16Array.from({ length: 2400 }, (_, i) => 6000 * Math.sin(i / 8));
    const delta = Buffer.from(tone.buffer).toString('base64');
    for (let sent = 0; sent < ms; sent += 100) this.send({ type: 'response.output_audio.delta', ...place, delta });
    if (open) return;
    const done = { ...item, status: 'completed', content: [{ type: 'output_audio', transcript }] };
    this.send({ type: 'response.output_audio.done', ...place });
    this.send({ type: 'response.output_audio_transcript.done', ...place, transcript });
    this.send({ type: 'response.output_item.done', ...place, item: done });
    this.send({ type: 'conversation.item.done', previous_item_id: null, item: done });
    this.send({ type: 'response.done', response: this.#response(id, 'completed', [done]) });
  }

  /** A response that is nothing but a function call. */
  callFunction(id: string, name: string, json: string): void {
    const place = { response_id: `resp_${id}`, item_id: `item_${id}`, output_index: 0, call_id: `call_${id}` };
    const item = { id: place.item_id, object: 'realtime.item', type: 'function_call', name, call_id: place.call_id };
    this.send({ type: 'response.created', response: this.#response(id, 'in_progress', []) });
    this.send({ type: 'response.output_item.added', ...place, item: { ...item, status: 'in_progress', arguments: '' } });
    this.send({ type: 'response.function_call_arguments.delta', ...place, delta: json });
    this.send({ type: 'response.function_call_arguments.done', ...place, name, arguments: json });
    const done = { ...item, status: 'completed', arguments: json };
    this.send({ type: 'response.output_item.done', ...place, item: done });
    this.send({ type: 'conversation.item.done', previous_item_id: null, item: done });
    this.send({ type: 'response.done', response: this.#response(id, 'completed', [done]) });
  }

  /** Ends the connection as a network does. */
  cut(): void {
    this.socket.terminate();
  }

  #handle(event: Event): void {
    if (event.type === 'input_audio_buffer.append') {
      this.audio += Buffer.from(event['audio'] as string, 'base64').length / 2;
    } else {
      this.received.push(event);
      this.#acknowledge(event);
    }
    const waiter = this.#waiters.find(({ type }) => type === event.type);
    if (!waiter) return;
    this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
    waiter.resolve(event);
  }

  #acknowledge(event: Event): void {
    switch (event.type) {
      case 'session.update': {
        const { session } = event as unknown as SessionUpdateEvent;
        if (this.refuseSession !== null) {
          this.#error(event, 'session', this.refuseSession);
          this.refuseSession = null;
          return;
        }
        const audio = { ...(this.session['audio'] as Fields), ...('audio' in session ? session.audio : {}) };
        this.session = { ...this.session, ...session, audio };
        this.send({ type: 'session.updated', session: this.session });
        return;
      }
      case 'conversation.item.create': {
        const item = { object: 'realtime.item', status: 'completed', id: `item_up${this.#ids++}`, ...(event['item'] as Fields) };
        this.send({ type: 'conversation.item.added', previous_item_id: null, item });
        this.send({ type: 'conversation.item.done', previous_item_id: null, item });
        return;
      }
      case 'conversation.item.retrieve': {
        const item = this.#items.get(event['item_id'] as string);
        if (item) this.send({ type: 'conversation.item.retrieved', item });
        else this.#error(event, 'item_id', 'Item not found.');
        return;
      }
      case 'conversation.item.truncate':
        this.send({ ...event, event_id: `event_up${this.#ids++}`, type: 'conversation.item.truncated' });
        return;
      case 'response.create':
      case 'response.cancel':
        return;
      default:
        this.#error(event, 'type', `Invalid value: '${event.type}'.`);
    }
  }

  #error(event: Event, param: string, message: string): void {
    const error = { type: 'invalid_request_error', code: 'invalid_value', message, param, event_id: event['event_id'] ?? null };
    this.send({ type: 'error', error });
  }

  #response(id: string, status: string, output: unknown[]): Fields {
    return { object: 'realtime.response', id: `resp_${id}`, status, status_details: null, output, usage: null, metadata: null };
  }
}
