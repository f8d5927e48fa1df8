import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

export interface UpstreamRequest {
  readonly method: string;
  readonly url: URL;
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
/** Answers are SDP or JSON of a few KiB. */
const MAX_ANSWER_BYTES = 512 * 1024;

/** The HTTP client to the clusters: connections are kept and used again. */
export class Upstream {
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;

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
  open(method: string, url: URL, headers: OutgoingHttpHeaders): ClientRequest {
    return url.protocol === 'https:'
      ? httpsRequest(url, { method, headers, agent: this.#https })
      : httpRequest(url, { method, headers, agent: this.#http });
  }

  /** Cuts all connections. */
  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  #once({ method, url, headers, body }: UpstreamRequest, timeoutMs: number): Promise<UpstreamResponse> {
    return new Promise((resolve, reject) => {
      const length = body === null ? {} : { 'content-length': body.length };
      const request = this.open(method, url, { ...headers, ...length });
      const timer = setTimeout(() => request.destroy(new Error(`no answer within ${Math.round(timeoutMs)} ms`)), timeoutMs);
      request.on('error', (error) => {
        clearTimeout(timer);
        const isStale = request.reusedSocket && 'code' in error && error.code === 'ECONNRESET';
        reject(isStale ? new StaleConnection('stale connection', { cause: error }) : error);
      });
      request.on('response', (response) => {
        const answer = read(response).finally(() => clearTimeout(timer));
        answer.then(resolve, reject);
      });
      request.end(body ?? undefined);
    });
  }
}

class StaleConnection extends Error {}

async function read(response: IncomingMessage): Promise<UpstreamResponse> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Leaving the loop destroys the response, and its connection with it.
    if (size > MAX_ANSWER_BYTES) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) };
}
