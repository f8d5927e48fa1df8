import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { CallError } from '../signaling/call-service.ts';
import { RateLimit } from './rate-limit.ts';

export interface RateLimitOptions {
  /** Requests per minute of one caller's address (an IPv6 network of 64 bits counts as one). */
  readonly perAddress: number;
  /** Requests per minute under one API key or client secret. */
  readonly perKey: number;
  /** Null when nobody says it: all of those count as one. */
  readonly addressOf: (request: FastifyRequest) => Uint8Array | null;
  /** Told of each request that is refused. */
  readonly onRefused: (by: 'address' | 'key') => void;
}

/** Refuses requests with 429 where one address or one key sends too many. Counts are this process's own. */
export function limitRates(app: FastifyInstance, { perAddress, perKey, addressOf, onRefused }: RateLimitOptions): void {
  const limits = { address: new RateLimit(perAddress), key: new RateLimit(perKey) };
  const max = { address: perAddress, key: perKey };
  const refusal = (by: 'address' | 'key', who: string): CallError | undefined => {
    const wait = limits[by].take(who, performance.now());
    if (wait === 0) return undefined;
    onRefused(by);
    const name = by === 'address' ? 'your address' : 'this key';
    return new CallError(429, 'rate_limit_exceeded', `There are too many requests from ${name}: ${max[by]} a minute are allowed.`, {
      retryAfter: Math.ceil(wait / 1000),
    });
  };
  app.addHook('onRequest', (request, _reply, done) => {
    const { authorization } = request.headers;
    if (request.method === 'OPTIONS') done();
    else done(refusal('address', nameOf(addressOf(request))) ?? (authorization === undefined ? undefined : refusal('key', digest(authorization))));
  });
}

function nameOf(address: Uint8Array | null): string {
  return Buffer.from(address?.subarray(0, address.length === 16 ? 8 : 4) ?? []).toString('latin1');
}

/** So that no key lies in memory for longer than its request. */
function digest(key: string): string {
  return createHash('sha256').update(key).digest('base64');
}
