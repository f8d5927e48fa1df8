import fastifyCors from '@fastify/cors';
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import { CallError } from './call-service.ts';

/** What every server of the calls API has in common, be it the one that holds the calls or a gateway before it. */

export const CALLS = '/v1/realtime/calls';
/** Where clients of the beta protocol post their offers. */
export const BETA_CALLS = '/v1/realtime';
export const CALL = `${CALLS}/:id`;
export const HANGUP = `${CALL}/hangup`;
/** What can be asked for as `model`. */
export const MODELS = '/v1/models';
export const CLIENT_SECRETS = '/v1/realtime/client_secrets';

/** In an answer: the id of the negotiated data channel that will carry the events, as `dcid` asked for it. */
export const EVENTS_CHANNEL_HEADER = 'Earshot-Events-Channel';

export const SDP = 'application/sdp';
export const SDP_FRAGMENT = 'application/trickle-ice-sdpfrag';

const METHODS: Readonly<Record<string, readonly HTTPMethods[]>> = {
  [MODELS]: ['GET', 'HEAD'],
  [CLIENT_SECRETS]: ['POST'],
  [CALLS]: ['POST'],
  [BETA_CALLS]: ['POST'],
  [HANGUP]: ['POST'],
  [CALL]: ['PATCH', 'DELETE'],
};

/**
 * Any origin may call the API: what authorizes is a bearer token that a page must have been given, never a cookie.
 * @param extra headers beyond those of the API
 */
export async function openToAnyOrigin(app: FastifyInstance, extra: { allowed?: string[]; exposed?: string[] } = {}): Promise<void> {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('Cache-Control', 'no-store');
    advertise(request, reply);
    done();
  });
  await app.register(fastifyCors, {
    origin: '*',
    methods: ['GET', 'POST', 'PATCH', 'DELETE', 'OPTIONS'],
    allowedHeaders: ['Authorization', 'Content-Type', 'If-Match', 'X-OpenAI-Agents-SDK', ...(extra.allowed ?? [])],
    exposedHeaders: ['Location', 'ETag', 'Retry-After', 'X-Request-Id', EVENTS_CHANNEL_HEADER, ...(extra.exposed ?? [])],
    maxAge: 7200,
    strictPreflight: false,
    optionsSuccessStatus: 200, // RFC 9725, section 4.2, asks for 200.
  });
}

/**
 * Answers 405 with Allow to the methods that a route of the API does not have. `sideband`: whether the older address
 * takes the upgrade of a WebSocket as well.
 */
export function refuseOtherMethods(app: FastifyInstance, { sideband = false } = {}): void {
  const methods = sideband ? { ...METHODS, [BETA_CALLS]: ['GET', 'HEAD', 'POST'] } : METHODS;
  for (const [url, allowed] of Object.entries(methods)) {
    app.route({
      method: (['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const).filter((method) => !allowed.includes(method)),
      url,
      // Before the body: it needs no reading.
      onRequest: async (request, reply) => {
        reply.header('Allow', [...allowed, 'OPTIONS'].join(', '));
        throw new CallError(405, 'method_not_allowed', `${request.method} is not allowed here.`);
      },
      handler: (_request, reply) => reply.callNotFound(),
    });
  }
}

/** Says in answers to OPTIONS and to wrong content types what a resource takes (RFC 9725, section 4.2; RFC 5789). */
function advertise(request: FastifyRequest, reply: FastifyReply): void {
  const path = request.url.split('?', 1)[0];
  if (path === CALLS || path === BETA_CALLS) reply.header('Accept-Post', SDP);
  else if (path.startsWith(`${CALLS}/`)) reply.header('Accept-Patch', SDP_FRAGMENT);
}
