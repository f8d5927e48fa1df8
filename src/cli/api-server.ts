import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { HttpServer } from '../signaling/base-server.ts';
import { createHttpServer } from '../signaling/http-server.ts';
import { isLoopbackIp } from '../signaling/local-only.ts';
import { formatAddress, type TransportAddress } from '../wire/address.ts';
import type { Secrets, TransceiverRole } from './roles.ts';
import { httpListenError, StartupError } from './startup-error.ts';

export interface ApiServerOptions {
  readonly address: TransportAddress;
  readonly apiKey: string | null;
  readonly secrets: Secrets;
  readonly transceiver: TransceiverRole;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly publicDirectory?: string;
}

/** The HTTP API of a transceiver, listening. */
export interface ApiServer {
  readonly address: TransportAddress;
  readonly server: HttpServer;
}

/** @throws {StartupError} when the server would take calls from other machines and asks for no key. */
export function requireKeyBeyondLoopback(address: TransportAddress, apiKey: string | null): void {
  if (apiKey !== null || isLoopbackIp(address.ip)) return;
  throw new StartupError(
    `--http ${formatAddress(address)} can be reached from other machines, so it needs an API key: set --api-key KEY or EARSHOT_API_KEY, or listen on 127.0.0.1.`,
  );
}

/** @throws {StartupError} when the address cannot be listened on. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { transceiver, metrics, address, secrets, logger, apiKey, publicDirectory } = options;
  const server = await createHttpServer({
    ...secrets,
    calls: transceiver,
    apiKey,
    logger,
    metrics: () => metrics.text(),
    ready: () => transceiver.ready,
    load: () => ({ calls: transceiver.calls, capacity: transceiver.capacity }),
    countRequest: (request) => metrics.countRequest(request),
    countAnswer: (answer) => metrics.countAnswer(answer),
    ...(publicDirectory === undefined ? {} : { publicDirectory }),
  });
  try {
    return { address: await server.listen(address), server };
  } catch (error) {
    throw httpListenError(error, address);
  }
}
