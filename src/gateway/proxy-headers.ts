import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

/** Of one connection only (RFC 9110, section 7.6.1), or written anew for the next one. */
const OF_THE_HOP = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
  'host', 'content-length', 'expect', 'accept-encoding',
]);
/** What a cluster's answer means to the caller; the rest the gateway says itself. */
const ANSWER_HEADERS = ['content-type', 'location', 'etag', 'retry-after', 'www-authenticate', 'allow', 'link', 'earshot-events-channel'] as const;

/** The request's headers for the cluster. None of Earshot's own pass: only a gateway may say those. */
export function forwardedHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = new Set(headers.connection?.toLowerCase().split(/\s*,\s*/));
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !OF_THE_HOP.has(name) && !named.has(name) && !name.startsWith('earshot-')),
  );
}

/** Those of the cluster's answer that are for the caller. */
export function answerHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(ANSWER_HEADERS.flatMap((name) => (typeof headers[name] === 'string' ? [[name, headers[name]]] : [])));
}
