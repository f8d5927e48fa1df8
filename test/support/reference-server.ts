import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { PeerConnection, type DataChannel } from 'node-datachannel';
import { EventMailbox, type RealtimeEvent } from './event-mailbox.ts';
import './release-libdatachannel.ts';
import { readRtp, buildRtp } from './rtp.ts';

/** What a scripted server says instead of an answer. */
export interface Refusal {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export interface ReferenceServerOptions {
  /** Folders whose files are served, by URL prefix: `{ '/': 'web', '/sdk/': 'node_modules/…' }`. */
  readonly files?: Readonly<Record<string, string>>;
  /** Pages that are text in the test itself, by path. */
  readonly pages?: Readonly<Record<string, string>>;
  /** What `GET /v1/models` lists; nothing unless given. */
  readonly agents?: readonly string[];
  /** Asked for each offer; null lets it through. */
  readonly refuse?: (request: IncomingMessage) => Refusal | null;
  /**
   * Answers ahead (`?instant`) as well: what this makes of the answer, and an agreed channel 1. Without it the query is
   * passed over, as an older server would.
   */
  readonly ahead?: (answer: string) => string | Promise<string>;
  /**
   * Answers the fragment of an ICE restart; null says that there is no such call. The connection itself takes no part
   * in it: libdatachannel cannot restart ICE.
   */
  readonly restartIce?: (request: IncomingMessage, fragment: string) => string | null;
}

const SSRC = 0x0ef0e0ef;
const CALLS = '/v1/realtime/calls';
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'";

/**
 * An HTTP server for pages, which also answers offers with libdatachannel: each call echoes its audio and greets on the
 * data channel. With it callers, recordings and the talk page are proven without Earshot, so that a failure of theirs
 * against Earshot is Earshot's.
 */
export class ReferenceServer {
  readonly url: string;
  /** Calls in the order of their offers, ended ones too. */
  readonly calls: ReferenceCall[] = [];
  /** Requests as `METHOD path`. */
  readonly requests: string[] = [];
  readonly #server: Server;
  readonly #options: ReferenceServerOptions;

  private constructor(server: Server, options: ReferenceServerOptions) {
    this.#server = server;
    this.#options = options;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.requests.push(`${request.method} ${request.url}`);
      this.#handle(request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error));
      });
    });
  }

  static async start(options: ReferenceServerOptions = {}): Promise<ReferenceServer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ReferenceServer(server, options);
  }

  async close(): Promise<void> {
    for (const call of this.calls) call.end();
    this.#server.closeAllConnections();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', this.url);
    if (request.method === 'POST' && pathname === CALLS) {
      await this.#createCall(request, response);
    } else if (pathname === '/v1/models') {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify({ object: 'list', data: (this.#options.agents ?? []).map((id) => ({ id, object: 'model' })) }));
    } else if (request.method === 'DELETE' && pathname.startsWith(`${CALLS}/`)) {
      const call = this.calls.find(({ id }) => pathname.endsWith(id));
      call?.end();
      response.writeHead(call ? 200 : 404).end();
    } else if (request.method === 'PATCH' && pathname.startsWith(`${CALLS}/`)) {
      const fragment = this.#options.restartIce?.(request, await textOf(request)) ?? null;
      response.writeHead(fragment === null ? 404 : 200, { 'Content-Type': 'application/trickle-ice-sdpfrag' });
      response.end(fragment);
    } else {
      await this.#serveFile(pathname, response);
    }
  }

  async #createCall(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const offer = await textOf(request);
    const refusal = this.#options.refuse?.(request);
    if (refusal) {
      response.writeHead(refusal.status, { 'Content-Type': 'application/json', ...refusal.headers });
      response.end(JSON.stringify(refusal.body));
      return;
    }
    const { ahead } = this.#options;
    const isAhead = ahead !== undefined && new URL(request.url ?? '/', this.url).searchParams.has('instant');
    const call = new ReferenceCall(offer, isAhead ? 1 : null);
    this.calls.push(call);
    const answer = await call.answer;
    if (isAhead) {
      const changed = await ahead(answer);
      response.writeHead(200, { 'Content-Type': 'application/sdp', Expires: new Date(Date.now() + 600_000).toUTCString() });
      response.end(changed);
      return;
    }
    response.writeHead(201, { 'Content-Type': 'application/sdp', Location: `${CALLS}/${call.id}` });
    response.end(answer);
  }

  async #serveFile(pathname: string, response: ServerResponse): Promise<void> {
    const page = this.#options.pages?.[pathname];
    if (page !== undefined) {
      response.writeHead(200, { 'Content-Type': TYPES['.html'] }).end(page);
      return;
    }
    const name = pathname.endsWith('/') ? `${pathname}index.html` : pathname;
    for (const [prefix, folder] of Object.entries(this.#options.files ?? {})) {
      if (!name.startsWith(prefix)) continue;
      try {
        const bytes = await readFile(path.join(folder, path.normalize(name.slice(prefix.length))));
        const type = TYPES[path.extname(name)] ?? 'application/octet-stream';
        response.writeHead(200, { 'Content-Type': type, 'Content-Security-Policy': CSP }).end(bytes);
        return;
      } catch {
        // Not in this folder; perhaps in the next.
      }
    }
    response.writeHead(404).end();
  }
}

/** One answered call. */
export class ReferenceCall {
  readonly id = `rtc_${randomUUID()}`;
  /** SDP, candidates included. */
  readonly answer: Promise<string>;
  readonly events = new EventMailbox();
  readonly #connection = new PeerConnection('reference', {
    iceServers: [],
    bindAddress: '127.0.0.1',
    disableAutoNegotiation: true,
  });
  #channel: DataChannel | undefined;
  /** What is said before the channel is there. */
  readonly #greetings: RealtimeEvent[] = [
    { type: 'session.created', call_id: this.id, session: { type: 'realtime', model: 'reference' } },
  ];

  /** `agreed`: id of the channel for events, if the client does not announce it. */
  constructor(offer: string, agreed: number | null) {
    const connection = this.#connection;
    connection.onTrack((track) => {
      track.onMessage((data) => {
        const packet = readRtp(data);
        if (packet) attempt(() => track.sendMessageBinary(buildRtp({ ...packet, ssrc: SSRC })));
      });
    });
    connection.onDataChannel((channel) => this.#opened(channel));
    this.answer = new Promise((resolve) => {
      connection.onGatheringStateChange((state) => {
        if (state === 'complete') resolve(withSsrc(connection.localDescription()?.sdp ?? ''));
      });
      connection.setRemoteDescription(offer, 'offer');
      connection.setLocalDescription('answer');
    });
    if (agreed === null) return;
    const channel = connection.createDataChannel('oai-events', { negotiated: true, id: agreed });
    channel.onOpen(() => this.#opened(channel));
  }

  send(event: RealtimeEvent): void {
    const channel = this.#channel;
    if (channel) attempt(() => channel.sendMessage(JSON.stringify(event)));
    else this.#greetings.push(event);
  }

  /**
   * Ends the call from this side. Idempotent. Track and channel go with the connection: closing them apart, while
   * packets arrive, makes the binding throw in a thread of its own and takes the process down.
   */
  end(): void {
    this.events.close();
    this.#connection.close();
  }

  #opened(channel: DataChannel): void {
    this.#channel = channel;
    channel.onMessage((message) => this.#received(JSON.parse(message as string) as RealtimeEvent));
    channel.onClosed(() => this.events.close());
    for (const event of this.#greetings.splice(0)) this.send(event);
  }

  #received(event: RealtimeEvent): void {
    this.events.put(event);
    if (event.type === 'session.update') this.send({ type: 'session.updated', session: event['session'] });
  }
}

/** Sends, unless the call is over by now: an exception from a callback of the binding would end the process. */
function attempt(send: () => void): void {
  try {
    send();
  } catch {
    // The other side has closed; the state change that says so is on its way.
  }
}

/** Announces our SSRC, which libdatachannel leaves out of answers: browsers drop sound that nobody announced. */
function withSsrc(answer: string): string {
  return answer.replace(/^(m=audio [^]*?a=mid:.*\r\n)/m, `$1a=ssrc:${SSRC} cname:reference\r\n`);
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}
