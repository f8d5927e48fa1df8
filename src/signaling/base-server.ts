import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { fastify, LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { formatIp, parseIp, type TransportAddress } from '../wire/address.ts';
import { errorBody, internalError, presentableError } from './api-error.ts';
import { CallError } from './call-service.ts';

/** What every role's HTTP server needs. */
export interface AdminServerOptions {
  readonly logger: FastifyBaseLogger;
  /** The Prometheus text of this process. */
  readonly metrics: () => Promise<string>;
  /** False while starting and while draining: `/readyz` then answers 503. */
  readonly ready: () => boolean;
  /** `/readyz` then says it in headers, for a gateway to steer by. */
  readonly load?: () => CallLoad;
  /** Told of each answered request. */
  readonly countRequest?: (request: AnsweredRequest) => void;
}

export interface CallLoad {
  /** In progress. */
  readonly calls: number;
  /** At once, at most. */
  readonly capacity: number;
}

export interface AnsweredRequest {
  readonly method: string;
  /** The pattern of the route (`/v1/realtime/calls/:id`), or `unknown`. */
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
}

/** An HTTP server that is set up but may not listen yet. */
export interface HttpServer {
  /**
   * @returns the address with the port that the system chose when 0 was asked for
   * @throws the system's error (EADDRINUSE, EACCES …)
   */
  listen(address: TransportAddress): Promise<TransportAddress>;
  /** Stops listening, lets requests in progress end for two seconds, then cuts them. Idempotent. */
  close(): Promise<void>;
}

/** Health, readiness and metrics alone, for roles without an API. */
export function createAdminServer(options: AdminServerOptions): HttpServer {
  return asHttpServer(createBaseServer(options));
}

/** A Fastify server with the limits, the error answers and the probes that all of ours share. */
export function createBaseServer({ logger, metrics, ready, load, countRequest }: AdminServerOptions): FastifyInstance {
  const app: FastifyInstance = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => `req_${randomUUID()}`,
    // Session configurations and offers are a few KiB. Parsers may ask for less, none for more.
    bodyLimit: 64 * 1024,
    // Longer than the idle time of common load balancers (60 s), so that they close idle connections and we do not.
    keepAliveTimeout: 72_000,
    requestTimeout: 15_000,
    http: { headersTimeout: 10_000, connectionsCheckingInterval: 5_000, maxHeaderSize: 16 * 1024 },
    clientErrorHandler: answerBrokenConnection,
    frameworkErrors: answerError,
    routerOptions: { maxParamLength: 200 },
  });
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('X-Request-Id', request.id).header('X-Content-Type-Options', 'nosniff');
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.is404 ? 'unknown' : (request.routeOptions.url ?? 'unknown');
    const { method } = request;
    const status = reply.statusCode;
    const seconds = reply.elapsedTime / 1000;
    countRequest?.({ method, route, status, seconds });
    request.log.debug({ method, route, status, ms: Math.round(seconds * 1000) }, 'request answered');
    done();
  });
  app.setErrorHandler(answerError);
  app.setNotFoundHandler((request, reply) => answerError(new CallError(404, 'not_found', 'There is nothing at this address.'), request, reply));

  const noStore = { 'Cache-Control': 'no-store' };
  app.get('/healthz', (_request, reply) => reply.headers(noStore).type('text/plain').send('ok\n'));
  app.get('/readyz', (_request, reply) => {
    const isReady = ready();
    if (load) {
      const { calls, capacity } = load();
      reply.headers({ 'Earshot-Calls': calls, 'Earshot-Capacity': capacity });
    }
    return reply.code(isReady ? 200 : 503).headers(noStore).type('text/plain').send(isReady ? 'ready\n' : 'not ready\n');
  });
  app.get('/metrics', async (_request, reply) => {
    return reply.headers(noStore).type('text/plain; version=0.0.4; charset=utf-8').send(await metrics());
  });
  return app;
}

export function asHttpServer(app: FastifyInstance): HttpServer {
  let closed: Promise<void> | undefined;
  return {
    async listen(address) {
      await app.listen({ host: formatIp(address.ip), port: address.port });
      const bound = app.server.address();
      if (bound === null || typeof bound === 'string') throw new TypeError('The HTTP server has no IP address.');
      return { family: address.family, ip: parseIp(bound.address) ?? address.ip, port: bound.port };
    },
    close() {
      closed ??= closeWithin(app, 2_000);
      return closed;
    },
  };
}

/** Node stops looking for slow requests once a server closes, so a silent client could hold it open for ever. */
async function closeWithin(app: FastifyInstance, milliseconds: number): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), milliseconds);
  await app.close();
  clearTimeout(cut);
}

function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  let error = presentableError(thrown);
  if (!error) {
    request.log.error({ err: thrown }, 'request failed unexpectedly');
    error = internalError(request.id);
  }
  if (error.status === 401) reply.header('WWW-Authenticate', 'Bearer realm="earshot"');
  if (error.status === 503 || error.status === 429) reply.header('Retry-After', String(error.retryAfter ?? 1));
  // The rest of a body that was too large is not worth reading.
  if (error.status === 413) reply.header('Connection', 'close');
  void reply.code(error.status).header('Cache-Control', 'no-store').send(errorBody(error));
}

/** What is not HTTP, or too slow, or has too large a head, never becomes a request: answer on the bare socket. */
function answerBrokenConnection(error: Error & { code: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  const [status, code, message] = BROKEN_CONNECTIONS[error.code] ?? [400, 'invalid_request', 'This is not valid HTTP.'];
  const body = JSON.stringify(errorBody(new CallError(status, code, message)));
  socket.end(
    `HTTP/1.1 ${status} Error\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

const BROKEN_CONNECTIONS: Readonly<Record<string, readonly [status: number, code: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'headers_too_large', 'The request headers are too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'request_timeout', 'The request took too long to arrive.'],
};
