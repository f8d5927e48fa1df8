import { IngressHeaders } from '../wire/ingress-header.ts';
import { asHttpServer, createBaseServer, type AdminServerOptions, type HttpServer } from './base-server.ts';
import type { CallService } from './call-service.ts';
import { ClientSecrets } from './client-secret.ts';
import { Authenticator } from './credentials.ts';
import { allowLocalOnly } from './local-only.ts';
import { realtimeApi, type AnswerTimes } from './realtime-api.ts';
import { serveTalkPage } from './talk-page.ts';
import { warmUpAnswers } from './warm-up.ts';

export interface HttpServerOptions extends AdminServerOptions {
  readonly calls: CallService;
  /** Null: nothing needs authorization. For loopback only; the server then also refuses what other sites send. */
  readonly apiKey: string | null;
  /** The deployment's secret, under which client secrets are made. */
  readonly secret: string;
  readonly previousSecret?: string | undefined;
  /** Where the talk page is; without it there is none. */
  readonly publicDirectory?: string;
  /** Told of each answer. */
  readonly countAnswer?: (answer: AnswerTimes) => void;
}

/** The HTTP API with its probes and, if wanted, the talk page. */
export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { calls, apiKey, ready, publicDirectory, countAnswer } = options;
  await warmUpAnswers(options.secret);
  const clientSecrets = new ClientSecrets(options.secret, options.previousSecret);
  const authenticator = new Authenticator(apiKey, clientSecrets);
  const app = createBaseServer(options);
  if (apiKey === null) allowLocalOnly(app);
  const ingressHeaders = new IngressHeaders(options.secret, options.previousSecret);
  await app.register(realtimeApi, { calls, authenticator, clientSecrets, ingressHeaders, ready, countAnswer });
  if (publicDirectory !== undefined) await serveTalkPage(app, publicDirectory);
  return asHttpServer(app);
}
