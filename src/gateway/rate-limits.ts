import { createHash } from 'node:crypto';
import { fastifyRateLimit, normalizeIP } from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { CallError } from '../signaling/call-service.ts';

export interface RateLimitOptions {
  /** Requests per minute of one caller's address (an IPv6 network of 64 bits counts as one). */
  readonly perAddress: number;
  /** Requests per minute under one API key or client secret. */
  readonly perKey: number;
  readonly addressOf: (request: FastifyRequest) => string;
  /** Told of each request that is refused. */
  readonly onRefused: (by: 'address' | 'key') => void;
}

const WINDOW_MS = 60_000;
/** Addresses and keys that are counted at a time, each; beyond that the ones not seen for longest are forgotten. */
const MAX_COUNTED = 20_000;

/** Refuses requests with 429 where one address or one key sends too many. Counts are this process's own. */
export async function limitRates(app: FastifyInstance, { perAddress, perKey, addressOf, onRefused }: RateLimitOptions): Promise<void> {
  await app.register(fastifyRateLimit, { global: false, cache: MAX_COUNTED, timeWindow: WINDOW_MS });
  const countAddress = app.createRateLimit({ max: perAddress, keyGenerator: (request) => normalizeIP(addressOf(request)) });
  const countKey = app.createRateLimit({ max: perKey, keyGenerator: ({ headers }) => digest(headers.authorization ?? '') });
  app.addHook('onRequest', async (request) => {
    if (request.method === 'OPTIONS') return;
    requireRoom(await countAddress(request), 'address', onRefused);
    if (request.headers.authorization !== undefined) requireRoom(await countKey(request), 'key', onRefused);
  });
}

type Count = Awaited<ReturnType<ReturnType<FastifyInstance['createRateLimit']>>>;

function requireRoom(count: Count, by: 'address' | 'key', onRefused: RateLimitOptions['onRefused']): void {
  if (count.isAllowed || !count.isExceeded) return;
  onRefused(by);
  const who = by === 'address' ? 'your address' : 'this key';
  throw new CallError(429, 'rate_limit_exceeded', `There are too many requests from ${who}: ${count.max} a minute are allowed.`, {
    retryAfter: Math.max(1, count.ttlInSeconds),
  });
}

/** So that no key lies in memory for longer than its request. */
function digest(key: string): string {
  return createHash('sha256').update(key).digest('base64');
}
