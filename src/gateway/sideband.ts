import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { Logger } from '../observe/log.ts';
import { errorBody } from '../signaling/api-error.ts';
import { CallError } from '../signaling/call-service.ts';
import { BETA_CALLS } from '../signaling/realtime-routes.ts';
import type { Gateway } from './gateway.ts';
import { forwardedHeaders } from './proxy-headers.ts';

/** WebSockets that one gateway carries at a time. */
const MAX_SIDEBANDS = 10_000;
/** How long the cluster may take to say yes or no, ms. */
const UPGRADE_TIMEOUT_MS = 10_000;

/**
 * The sideband of a call, by which a server watches and steers it: `GET /v1/realtime?call_id=rtc_…` with an upgrade to
 * a WebSocket. The gateway joins the two connections and reads nothing of what they carry; a refusal of the cluster goes
 * back to the client as it is.
 */
export function proxySidebands(app: FastifyInstance, gateway: Gateway, logger: Logger): void {
  const open = new Set<Duplex>();
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Before anything else: a socket without a listener for its errors ends the process.
    socket.on('error', () => socket.destroy());
    try {
      if (open.size >= MAX_SIDEBANDS) throw new CallError(503, 'server_busy', 'Too many WebSockets are open here.');
      const { callId, path } = readTarget(request);
      const { origin } = gateway.whereIs(callId);
      open.add(socket);
      gateway.counters.sidebands = open.size;
      socket.once('close', () => {
        open.delete(socket);
        gateway.counters.sidebands = open.size;
      });
      join(gateway, request, socket, head, { origin, path });
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      refuse(socket, error);
    }
  });
  app.addHook('preClose', async () => {
    if (open.size > 0) logger.info({ open: open.size }, 'closing the WebSockets of calls');
    for (const socket of open) socket.destroy();
  });
}

/** @throws {CallError} */
function readTarget({ url = '' }: IncomingMessage): { callId: string; path: string } {
  const target = url.startsWith('/') ? new URL(url, 'http://gateway') : null;
  const callId = target?.searchParams.get('call_id') ?? null;
  if (target?.pathname !== BETA_CALLS || callId === null) {
    throw new CallError(404, 'not_found', `WebSockets are for live calls here: ${BETA_CALLS}?call_id=rtc_….`);
  }
  return { callId, path: target.pathname + target.search };
}

function join(gateway: Gateway, request: IncomingMessage, socket: Duplex, head: Buffer, { origin, path }: { origin: string; path: string }): void {
  const headers = { ...forwardedHeaders(request.headers), connection: 'Upgrade', upgrade: request.headers.upgrade };
  const upstream = gateway.upstream.open('GET', origin, path, headers);
  const timer = setTimeout(() => upstream.destroy(new Error('no answer in time')), UPGRADE_TIMEOUT_MS);
  socket.once('close', () => {
    clearTimeout(timer);
    upstream.destroy();
  });
  upstream.on('error', () => {
    clearTimeout(timer);
    refuse(socket, new CallError(502, 'cluster_unreachable', 'The cluster that holds the call does not answer; try again.'));
  });
  upstream.on('response', (response) => {
    clearTimeout(timer);
    socket.write(headOf(response, ['Connection: close']));
    response.pipe(socket);
  });
  upstream.on('upgrade', (response, far, farHead) => {
    clearTimeout(timer);
    socket.write(headOf(response));
    socket.write(farHead);
    far.write(head);
    far.on('error', () => socket.destroy());
    far.once('close', () => socket.destroy());
    socket.once('close', () => far.destroy());
    far.pipe(socket);
    socket.pipe(far);
  });
  upstream.end();
}

/** The status line and the headers as the cluster wrote them, but for those about its own connection's framing. */
function headOf({ statusCode = 502, statusMessage, rawHeaders }: IncomingMessage, extra: readonly string[] = []): string {
  const isUpgrade = statusCode === 101;
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage ?? STATUS_CODES[statusCode] ?? ''}`];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const ofTheHop = /^(connection|keep-alive|transfer-encoding)$/i.test(rawHeaders[i]);
    if (isUpgrade || !ofTheHop) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
  }
  return [...lines, ...extra, '', ''].join('\r\n');
}

function refuse(socket: Duplex, error: CallError): void {
  if (!socket.writable) return;
  const body = JSON.stringify(errorBody(error));
  socket.end(
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
