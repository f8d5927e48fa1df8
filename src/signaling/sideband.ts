import fastifyWebsocket, { type WebSocket } from '@fastify/websocket';
import type { FastifyInstance, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import { CallError, type CallObservation, type CallService } from './call-service.ts';
import type { Authenticator } from './credentials.ts';

/** One message; the data channel of a call takes no larger one. */
const MAX_MESSAGE = 256 * 1024;
/** Of events that an observer does not read fast enough. */
const MAX_BUFFERED = 4 * 1024 * 1024;
/** Messages that may come while the call is being found. */
const MAX_EARLY = 64;

/** How long observers may take to close at the end of the server. */
const CLOSING_MS = 1_000;

const NORMAL = 1000;
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;
const TRY_AGAIN_LATER = 1013;

/**
 * Server-side control of a live call: the events of its data channel over a WebSocket, as the client has them.
 *
 *   GET /v1/realtime?call_id=rtc_…   Upgrade: websocket
 *     ◄── session.created, then everything that the client is told
 *     ──► client events; the answer to a bad one comes to its sender alone
 *     ◄── close 1000 with the reason when the call has ended
 *
 * Any number may follow a call at once, and closing the socket does not end it. Authorized as calls are; browsers,
 * which cannot set headers here, offer the subprotocol `openai-insecure-api-key.KEY` besides `realtime`.
 */
export async function sideband(app: FastifyInstance, path: string, calls: CallService, authenticator: Authenticator): Promise<void> {
  await app.register(fastifyWebsocket, {
    options: {
      maxPayload: MAX_MESSAGE,
      handleProtocols: (offered: Set<string>) => (offered.has('realtime') ? 'realtime' : false),
    },
    // A peer that has gone answers no closing handshake, and must not hold up the end of the server.
    preClose: (done) => {
      const { clients } = app.websocketServer;
      for (const client of clients) client.close(GOING_AWAY, 'server_shutdown');
      setTimeout(() => clients.forEach((client) => client.terminate()), CLOSING_MS).unref();
      app.websocketServer.close(() => done());
    },
  });
  const authenticate: onRequestAsyncHookHandler = async (request) => {
    request.credential = authenticator.authenticate(request.headers.authorization ?? keyOfSubprotocol(request));
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
      throw new CallError(426, 'upgrade_required', 'This is a WebSocket: connect with ?call_id=rtc_…');
    }
    if (callIdOf(request) === null) {
      throw new CallError(400, 'missing_call_id', 'Name the call: ?call_id=rtc_… Calls themselves come over WebRTC.', { param: 'call_id' });
    }
  };
  app.get(path, { websocket: true, onRequest: authenticate }, (socket, request) => {
    follow(socket, callIdOf(request)!, calls).catch((error: unknown) => {
      if (!(error instanceof CallError)) request.log.error({ err: error }, 'sideband failed unexpectedly');
      const known = error instanceof CallError ? error : null;
      socket.close(known?.status === 404 ? POLICY_VIOLATION : TRY_AGAIN_LATER, known?.code ?? 'internal_error');
    });
  });
}

async function follow(socket: WebSocket, callId: string, calls: CallService): Promise<void> {
  let observation: CallObservation | null = null;
  const early: string[] = [];
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) return;
    if (observation !== null) observation.send(data.toString());
    else if (early.length < MAX_EARLY) early.push(data.toString());
  });
  socket.on('error', () => socket.terminate());
  socket.once('close', () => observation?.stop());
  observation = await calls.observe(callId, {
    event(json) {
      if (socket.bufferedAmount > MAX_BUFFERED) socket.close(POLICY_VIOLATION, 'too_slow');
      else socket.send(json);
    },
    ended: (reason) => socket.close(NORMAL, reason.slice(0, 100)),
  });
  for (const json of early) observation.send(json);
  if (socket.readyState !== socket.OPEN) observation.stop();
}

function callIdOf(request: FastifyRequest): string | null {
  const { call_id: callId } = request.query as { call_id?: unknown };
  return typeof callId === 'string' && callId !== '' ? callId : null;
}

function keyOfSubprotocol(request: FastifyRequest): string | undefined {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  const key = offered.find((name) => name.startsWith(KEY_SUBPROTOCOL))?.slice(KEY_SUBPROTOCOL.length);
  return key === undefined ? undefined : `Bearer ${key}`;
}

const KEY_SUBPROTOCOL = 'openai-insecure-api-key.';
