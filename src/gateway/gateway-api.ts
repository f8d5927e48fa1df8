import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CallError } from '../signaling/call-service.ts';
import { BETA_CALLS, CALL, CALLS, CLIENT_SECRETS, HANGUP, MODELS, openToAnyOrigin, refuseOtherMethods } from '../signaling/realtime-routes.ts';
import type { Decision, Gateway, GatewayRequest } from './gateway.ts';
import { answerHeaders } from './proxy-headers.ts';
import { limitRates } from './rate-limits.ts';
import type { UpstreamResponse } from './upstream.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The IP address of the caller; null when a proxy in front says none. */
    caller: Uint8Array | null;
  }
}

export interface GatewayApiOptions {
  readonly gateway: Gateway;
  /** Requests per minute of one caller's address. */
  readonly ratePerAddress: number;
  /** Requests per minute under one API key or client secret. */
  readonly ratePerKey: number;
}

/** An offer and a session of 64 KiB each, as the clusters take them, and what a form puts around them. */
const MAX_OFFER_BYTES = 136 * 1024;

/**
 * The calls API, answered by clusters:
 *
 *   POST   /v1/realtime/calls, /v1/realtime      → the nearest cluster that takes the call
 *   POST   /v1/realtime/client_secrets           → the nearest cluster: all of a deployment honour what one issues
 *   GET    /v1/models                            → the nearest cluster: all of a deployment have the same agents
 *   PATCH, DELETE /v1/realtime/calls/:id, POST …/hangup   → the cluster that the call id names
 *
 * Who may call is for the clusters to say: the Authorization header goes through. `Earshot-Explain: 1` in an offer asks
 * for the decision, which comes as JSON in `Earshot-Decision`.
 */
export async function gatewayApi(app: FastifyInstance, { gateway, ratePerAddress, ratePerKey }: GatewayApiOptions): Promise<void> {
  await openToAnyOrigin(app, { allowed: ['Earshot-Explain'], exposed: ['Earshot-Decision'] });
  app.decorateRequest('caller', null);
  app.addHook('onRequest', (request, _reply, done) => {
    request.caller = gateway.callerOf(request.raw.socket.remoteAddress, request.headers);
    done();
  });
  limitRates(app, { perAddress: ratePerAddress, perKey: ratePerKey, addressOf: ({ caller }) => caller, onRefused: (by) => gateway.counters.limited(by) });
  // Whatever it is, the cluster reads it.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  const placeCall = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const explain = (decision: () => Decision): void => {
      if (request.headers['earshot-explain'] === '1') reply.header('Earshot-Decision', JSON.stringify(decision()));
    };
    try {
      const { response, decision } = await gateway.placeCall(toGatewayRequest(request), () => request.raw.socket.destroyed);
      explain(decision);
      return answer(reply, response);
    } catch (error) {
      if (error instanceof CallError && error.code === 'no_cluster') explain(() => error.cause as Decision);
      throw error;
    }
  };
  app.post(CALLS, { bodyLimit: MAX_OFFER_BYTES }, placeCall);
  app.post(BETA_CALLS, { bodyLimit: MAX_OFFER_BYTES }, placeCall);

  app.post(CLIENT_SECRETS, async (request, reply) => answer(reply, await gateway.askAny(toGatewayRequest(request))));

  app.get(MODELS, async (request, reply) => answer(reply, await gateway.askAny(toGatewayRequest(request))));

  const askAbout = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { id } = request.params as { id: string };
    return answer(reply, await gateway.askAbout(id, toGatewayRequest(request)));
  };
  app.delete(CALL, askAbout);
  app.patch(CALL, askAbout);
  app.post(HANGUP, askAbout);

  refuseOtherMethods(app);
}

function toGatewayRequest({ method, url, headers, body, raw, caller }: FastifyRequest): GatewayRequest {
  if (!url.startsWith('/')) throw new CallError(400, 'invalid_url', 'The request names a whole URL where its path belongs.');
  return { method, url, headers, body: Buffer.isBuffer(body) ? body : null, peer: raw.socket.remoteAddress, caller };
}

function answer(reply: FastifyReply, { status, headers, body }: UpstreamResponse): FastifyReply {
  return reply.code(status).headers(answerHeaders(headers)).send(body.length > 0 ? body : undefined);
}
