import type { FastifyInstance } from 'fastify';
import { parseIp } from '../wire/address.ts';
import { CallError } from './call-service.ts';

/**
 * Guards a server that needs no key. Listening on loopback keeps other machines out, but not other web sites: a page
 * anywhere may send requests to 127.0.0.1 from this machine's browser, under its own Origin (cross-site request) or
 * under a name of its own that it lets resolve to 127.0.0.1 (DNS rebinding). So the Host must be a loopback name, and
 * so must the Origin of a request that has one. `Origin: null` is anybody's sandboxed frame and is refused as well.
 */
export function allowLocalOnly(app: FastifyInstance): void {
  app.addHook('onRequest', async (request) => {
    const { host, origin } = request.headers;
    if (!isLoopbackUrl(`http://${host}`)) {
      throw new CallError(403, 'host_not_allowed', `Without an API key this server answers to localhost only, not to "${host}".`);
    }
    if (origin !== undefined && !isLoopbackUrl(origin)) {
      throw new CallError(
        403,
        'origin_not_allowed',
        `Without an API key this server serves pages of this machine only, not of "${origin}": start it with --api-key.`,
      );
    }
  });
}

/** 127.0.0.0/8 and ::1. */
export function isLoopbackIp(ip: Uint8Array): boolean {
  return ip.length === 4 ? ip[0] === 127 : ip.every((byte, i) => byte === (i === 15 ? 1 : 0));
}

function isLoopbackUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const name = new URL(text).hostname.replace(/^\[|\]$/g, '');
  if (name === 'localhost' || name.endsWith('.localhost')) return true;
  const ip = parseIp(name);
  return ip !== null && isLoopbackIp(ip);
}
