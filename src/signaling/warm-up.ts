import { fastify } from 'fastify';
import { IngressHeaders } from '../wire/ingress-header.ts';
import type { CallService } from './call-service.ts';
import { ClientSecrets } from './client-secret.ts';
import { Authenticator } from './credentials.ts';
import { realtimeApi } from './realtime-api.ts';
import { CALLS, SDP } from './realtime-routes.ts';

const ROUNDS = 20;

/**
 * Has a server that nobody can reach answer a few offers, while nobody calls: what an answer runs through is compiled
 * then, and the first caller waits some 10 ms less. Nothing of it is logged or counted.
 */
export async function warmUpAnswers(secret: string): Promise<void> {
  const app = fastify();
  const clientSecrets = new ClientSecrets(secret);
  await app.register(realtimeApi, {
    calls: NOBODY,
    authenticator: new Authenticator(null, clientSecrets),
    clientSecrets,
    ingressHeaders: new IngressHeaders(secret),
    ready: () => true,
  });
  for (let i = 0; i < ROUNDS; i++) await app.inject({ method: 'POST', url: CALLS, headers: { 'content-type': SDP }, payload: 'v=0\r\n' });
  await app.close();
}

/** Answers whatever it is offered. */
const NOBODY: CallService = {
  agents: [],
  createCall: async () => ({ id: 'rtc_', answer: 'v=0\r\n', etag: '', busySeconds: 0 }),
  answerAhead: async () => ({ answer: 'v=0\r\n', expiresAt: 0 }),
  hangup: async () => false,
  restartIce: async () => ({ fragment: null, etag: '' }),
  observe: async () => ({ send: () => undefined, stop: () => undefined }),
};
