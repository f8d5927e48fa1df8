import type { Logger } from '../observe/log.ts';
import { asHttpServer, createBaseServer, type AdminServerOptions, type HttpServer } from '../signaling/base-server.ts';
import { gatewayApi, type GatewayApiOptions } from './gateway-api.ts';
import { proxySidebands } from './sideband.ts';

export interface GatewayServerOptions extends Omit<AdminServerOptions, 'ready' | 'load' | 'logger'>, GatewayApiOptions {
  readonly logger: Logger;
}

/** The calls API before clusters, with the probes that every role has. */
export async function createGatewayServer(options: GatewayServerOptions): Promise<HttpServer> {
  const { gateway, logger } = options;
  const app = createBaseServer({ ...options, ready: () => gateway.ready });
  await app.register(gatewayApi, options);
  proxySidebands(app, gateway, logger);
  return asHttpServer(app);
}
