import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

/** Of one connection only (RFC 9110, section 7.6.1), or written anew for the next one. */
const OF_THE_HOP = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
  'host', 'content-length', 'expect', 'accept-encoding',
]);
/** What a cluster's answer means to the caller; the rest the gateway says itself. */
const ANSWER_HEADERS = ['content-type', 'location', 'etag', 'expires', 'retry-after', 'www-authenticate', 'allow', 'link', 'earshot-events-channel'] as const;

/** The request's headers for the cluster. None of Earshot's own pass: only a gateway may say those. */
export function forwardedHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const { connection } = headers;
  const named = connection === undefined || connection === 'keep-alive' ? null : connection.toLowerCase().split(/\s*,\s*/);
  const forwarded: OutgoingHttpHeaders = {};
  for (const name in headers) {
    if (!OF_THE_HOP.has(name) && !named?.includes(name) && !name.startsWith('earshot-')) forwarded[name] = headers[name];
  }
  return forwarded;
}

/** Those of the cluster's answer that are for the caller. */
export function answerHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of ANSWER_HEADERS) {
    const value = headers[name];
    if (typeof value === 'string') kept[name] = value;
  }
  return kept;
}
