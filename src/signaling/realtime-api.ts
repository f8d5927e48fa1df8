import fastifyMultipart from '@fastify/multipart';
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import { z } from 'zod';
import type { SessionConfig } from '../conversation/session-schema.ts';
import { threadTime } from '../observe/thread-time.ts';
import type { TransportAddress } from '../wire/address.ts';
import { INGRESS_HEADER, type IngressHeaders } from '../wire/ingress-header.ts';
import { readCallRequest } from './call-request.ts';
import { CallError, type CallRequest, type CallService } from './call-service.ts';
import type { ClientSecrets } from './client-secret.ts';
import { requireApiKey, requireUnexpired, type Authenticator, type Credential } from './credentials.ts';
import { formatEntityTag, parseIfMatch } from './entity-tag.ts';
import { BETA_CALLS, CALL, CALLS, CLIENT_SECRETS, EVENTS_CHANNEL_HEADER, HANGUP, MODELS, openToAnyOrigin, refuseOtherMethods, SDP, SDP_FRAGMENT } from './realtime-routes.ts';
import { sideband } from './sideband.ts';
import { validate, validateSession } from './session-body.ts';

export interface RealtimeApiOptions {
  readonly calls: CallService;
  readonly authenticator: Authenticator;
  readonly clientSecrets: ClientSecrets;
  readonly ingressHeaders: IngressHeaders;
  readonly ready: () => boolean;
  /** Told of each answer. */
  readonly countAnswer?: ((answer: AnswerTimes) => void) | undefined;
}

export interface AnswerTimes {
  /** From the offer read to the answer written, the way to the worker and back included. */
  readonly seconds: number;
  /** What of it this thread has computed. */
  readonly httpSeconds: number;
  /** See `CallAnswer`. */
  readonly busySeconds: number;
}

interface ClientSecretAnswer {
  readonly value: string;
  /** Unix time in seconds. */
  readonly expires_at: number;
  readonly session: SessionConfig;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the authentication of the API's routes. */
    credential: Credential;
  }
}

/** Offers that may wait for their answers at a time. Beyond that a client does better to try again or elsewhere. */
const MAX_PENDING_OFFERS = 512;
const DEFAULT_LIFETIME = 600;

const clientSecretRequestSchema = z.looseObject({
  session: z.unknown().optional(),
  expires_after: z
    .looseObject({ anchor: z.literal('created_at').optional(), seconds: z.int().min(10).max(7200).optional() })
    .optional(),
});

/**
 * The calls API: OpenAI's Realtime API over WebRTC, which is also a WHIP endpoint (RFC 9725).
 *
 *   GET    /v1/models                                               → 200 { data: [{ id }] }: what `model` may be
 *   POST   /v1/realtime/client_secrets    JSON                      → 200 { value, expires_at, session }
 *   POST   /v1/realtime/calls             offer, or sdp + session   → 201 answer, Location, ETag
 *   POST   /v1/realtime/calls?instant     the same                  → 200 answer, Expires: a call that is yet to begin
 *   PATCH  /v1/realtime/calls/:id         SDP fragment, If-Match    → 204, or 200 fragment, ETag after a restart
 *   DELETE /v1/realtime/calls/:id, POST …/hangup                    → 200
 *   GET    /v1/realtime?call_id=:id       Upgrade: websocket        → the call's events, see sideband.ts
 */
export async function realtimeApi(app: FastifyInstance, options: RealtimeApiOptions): Promise<void> {
  const { calls, authenticator, clientSecrets, ingressHeaders, ready, countAnswer } = options;
  const startedAt = Math.floor(Date.now() / 1000);
  let pendingOffers = 0;

  await openToAnyOrigin(app);
  addParsers(app);
  await app.register(fastifyMultipart, { limits: { fileSize: 64 * 1024, fieldSize: 64 * 1024, fields: 8, files: 2, parts: 8 } });

  app.decorateRequest('credential');
  const authenticate: onRequestAsyncHookHandler = async (request) => {
    request.credential = authenticator.authenticate(request.headers.authorization);
  };

  app.get(MODELS, { onRequest: authenticate }, async () => ({
    object: 'list',
    data: calls.agents.map((id) => ({ id, object: 'model', created: startedAt, owned_by: 'earshot' })),
  }));

  const createClientSecret = async (request: FastifyRequest): Promise<ClientSecretAnswer> => {
    requireApiKey(request.credential);
    const body = validate(clientSecretRequestSchema, request.body ?? {}, '');
    const session = validateSession(body.session === undefined ? {} : body.session);
    const expiresAt = Math.floor(Date.now() / 1000) + (body.expires_after?.seconds ?? DEFAULT_LIFETIME);
    return { value: clientSecrets.seal({ session, expiresAt }), expires_at: expiresAt, session };
  };
  app.post(CLIENT_SECRETS, { onRequest: authenticate }, createClientSecret);

  const createCall = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const from = performance.now();
    const busyFrom = threadTime();
    requireUnexpired(request.credential);
    const call = { ...(await readCallRequest(request, request.credential)), ...readIngress(request, ingressHeaders) };
    if (!ready()) throw new CallError(503, 'not_ready', 'This server takes no new calls at the moment.');
    if (pendingOffers >= MAX_PENDING_OFFERS) throw new CallError(503, 'server_busy', 'Too many calls are being set up.');
    pendingOffers++;
    try {
      if (readInstant(request)) return await answerAhead(call, request, reply);
      const answering = calls.createCall(call);
      const asked = threadTime();
      const { id, answer, etag, busySeconds } = await answering;
      const answered = threadTime();
      // Nobody would ever send a packet to it: free its place now rather than when ICE gives up.
      if (request.raw.socket.destroyed) await calls.hangup(id, 'client_gone');
      if (call.eventsChannelId !== undefined) reply.header(EVENTS_CHANNEL_HEADER, call.eventsChannelId);
      void reply.code(201).type(SDP).headers({ Location: `${CALLS}/${id}`, ETag: formatEntityTag(etag) }).send(answer);
      const httpSeconds = (asked - busyFrom + threadTime() - answered) / 1000;
      countAnswer?.({ seconds: (performance.now() - from) / 1000, httpSeconds, busySeconds });
      return reply;
    } finally {
      pendingOffers--;
    }
  };
  const answerAhead = async (call: CallRequest, { credential }: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    // A ticket begins calls, as the client secret does that it was asked for with.
    const { answer, expiresAt } = await calls.answerAhead(call, credential.type === 'clientSecret' ? credential.expiresAt : undefined);
    if (call.eventsChannelId !== undefined) reply.header(EVENTS_CHANNEL_HEADER, call.eventsChannelId);
    return reply.code(200).type(SDP).header('Expires', new Date(expiresAt * 1000).toUTCString()).send(answer);
  };
  const offer = { onRequest: [authenticate, accept([SDP, 'multipart/form-data'])] };
  app.post(CALLS, offer, createCall);
  app.post(BETA_CALLS, offer, createCall);

  const hangUp = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { id } = request.params as { id: string };
    if (!(await calls.hangup(id, 'client_hangup'))) throw new CallError(404, 'call_not_found', `There is no call "${id}".`);
    return reply.code(200).send();
  };
  app.delete(CALL, { onRequest: authenticate }, hangUp);
  app.post(HANGUP, { onRequest: authenticate }, hangUp);

  app.patch(CALL, { onRequest: [authenticate, accept([SDP_FRAGMENT])] }, async (request, reply) => {
    const { id } = request.params as { id: string };
    const sent = typeof request.body === 'string' ? request.body : '';
    const { fragment, etag } = await calls.restartIce(id, sent, readIfMatch(request.headers['if-match']));
    if (fragment === null) return reply.code(204).send();
    return reply.code(200).type(SDP_FRAGMENT).header('ETag', formatEntityTag(etag)).send(fragment);
  });

  await sideband(app, BETA_CALLS, calls, authenticator);
  refuseOtherMethods(app, { sideband: true });
}

/** Only the media types that a route of the API names have a parser, so others end in 415 before they are read. */
function addParsers(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser([SDP, SDP_FRAGMENT], { parseAs: 'string' }, (_request, body, done) => done(null, body));
  // Clients announce JSON and send nothing, to hang up for instance.
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null);
    else void parseJson(request, body as string, done);
  });
}

function accept(mediaTypes: readonly string[]): onRequestAsyncHookHandler {
  return async (request) => {
    const mediaType = (request.headers['content-type'] ?? '').split(';', 1)[0].trim().toLowerCase();
    if (!mediaTypes.includes(mediaType)) {
      throw new CallError(415, 'unsupported_media_type', `Send ${mediaTypes.join(' or ')} here, not "${mediaType}".`, {
        param: 'Content-Type',
      });
    }
  };
}

/** Whether the answer is asked for ahead of the call. @throws {CallError} 400 */
function readInstant(request: FastifyRequest): boolean {
  const { instant } = request.query as { instant?: unknown };
  if (instant === undefined || instant === 'false' || instant === '0') return false;
  if (instant === '' || instant === 'true' || instant === '1') return true;
  throw new CallError(400, 'invalid_value', 'instant: say true or false, once.', { param: 'instant' });
}

/** A header that cannot be trusted is passed over: the call then gets the usual addresses. */
function readIngress(request: FastifyRequest, headers: IngressHeaders): { ingress?: readonly TransportAddress[] } {
  const header = request.headers[INGRESS_HEADER];
  if (typeof header !== 'string') return {};
  const ingress = headers.parse(header, Date.now());
  if (typeof ingress !== 'string') return { ingress };
  request.log.warn({ reason: ingress }, 'the ingress addresses of a gateway are not trusted');
  return {};
}

function readIfMatch(header: string | undefined): '*' | string[] {
  if (header === undefined) {
    throw new CallError(428, 'if_match_required', 'Send If-Match: the ETag of the call, or * to restart ICE.', { param: 'If-Match' });
  }
  const tags = parseIfMatch(header);
  if (tags === null) throw new CallError(400, 'invalid_value', 'If-Match is malformed.', { param: 'If-Match' });
  return tags;
}
