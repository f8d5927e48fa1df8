import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

export interface UpstreamRequest {
  readonly method: string;
  /** `https://host` or `http://host:port` */
  readonly origin: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer | null;
  /** Until the answer is complete, ms. */
  readonly timeoutMs: number;
}

export interface UpstreamResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Shorter than servers and load balancers keep idle connections, so that none is used that is being closed. */
const IDLE_MS = 30_000;
/** Connections to one origin; beyond that requests wait for one. */
const MAX_CONNECTIONS = 512;
/** Origins that are remembered: those of the clusters and their transceivers. */
const MAX_SERVERS = 4096;
/** Answers are SDP or JSON of a few KiB. */
const MAX_ANSWER_BYTES = 512 * 1024;

interface Server {
  readonly isSecure: boolean;
  readonly host: string;
  readonly port?: number;
}

/** The HTTP client to the clusters: connections are kept and used again. */
export class Upstream {
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;
  /** By origin. */
  readonly #servers = new Map<string, Server>();

  constructor() {
    const options = { keepAlive: true, timeout: IDLE_MS, maxSockets: MAX_CONNECTIONS, scheduling: 'lifo' as const };
    this.#http = new HttpAgent(options);
    this.#https = new HttpsAgent(options);
  }

  /** @throws {Error} when there is no connection, or no whole answer in time. */
  async request(request: UpstreamRequest): Promise<UpstreamResponse> {
    const deadline = performance.now() + request.timeoutMs;
    try {
      return await this.#once(request, request.timeoutMs);
    } catch (error) {
      // The server closed an idle connection as the request left: it has not seen it.
      if (!(error instanceof StaleConnection)) throw error;
      return await this.#once(request, deadline - performance.now());
    }
  }

  /** A request to be written and ended by the caller: for upgrades. */
  open(method: string, origin: string, path: string, headers: OutgoingHttpHeaders): ClientRequest {
    const { isSecure, ...server } = this.#serverAt(origin);
    return isSecure
      ? httpsRequest({ ...server, method, path, headers, agent: this.#https })
      : httpRequest({ ...server, method, path, headers, agent: this.#http });
  }

  /** Cuts all connections. */
  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  /** Reading a URL takes longer than all else that is done to send a request. */
  #serverAt(origin: string): Server {
    let server = this.#servers.get(origin);
    if (server === undefined) {
      const { protocol, hostname, port } = new URL(origin);
      server = { isSecure: protocol === 'https:', host: hostname.replace(/^\[(.*)\]$/, '$1'), ...(port !== '' && { port: Number(port) }) };
      if (this.#servers.size === MAX_SERVERS) this.#servers.clear();
      this.#servers.set(origin, server);
    }
    return server;
  }

  #once({ method, origin, path, headers, body }: UpstreamRequest, timeoutMs: number): Promise<UpstreamResponse> {
    return new Promise((resolve, reject) => {
      const request = this.open(method, origin, path, body === null ? headers : { ...headers, 'content-length': body.length });
      const timer = setTimeout(() => request.destroy(new Error(`no answer within ${Math.round(timeoutMs)} ms`)), timeoutMs);
      request.on('error', (error) => {
        clearTimeout(timer);
        const isStale = request.reusedSocket && 'code' in error && error.code === 'ECONNRESET';
        reject(isStale ? new StaleConnection('stale connection', { cause: error }) : error);
      });
      request.on('response', (response) => {
        response.on('error', (error) => {
          clearTimeout(timer);
          reject(error);
        });
        read(response, (answer) => {
          clearTimeout(timer);
          resolve(answer);
        });
      });
      request.end(body ?? undefined);
    });
  }
}

class StaleConnection extends Error {}

/** Tells of a whole answer. One that breaks off, or is too large, is an `error` of the response. */
function read(response: IncomingMessage, done: (answer: UpstreamResponse) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) response.destroy(new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`));
    else chunks.push(chunk);
  });
  response.on('end', () => done({ status: response.statusCode ?? 0, headers: response.headers, body: chunks.length === 1 ? chunks[0] : Buffer.concat(chunks) }));
}
