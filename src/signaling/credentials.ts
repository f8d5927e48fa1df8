import { createHash, timingSafeEqual } from 'node:crypto';
import type { SessionConfig } from '../conversation/session-schema.ts';
import { CallError } from './call-service.ts';
import type { ClientSecrets } from './client-secret.ts';

/** Who is asking, as far as it could be established. */
export type Credential =
  /** No key is configured: a development server that only this machine can reach. */
  | { readonly type: 'open' }
  | { readonly type: 'apiKey' }
  /** `expiresAt`: Unix seconds. */
  | { readonly type: 'clientSecret'; readonly session: SessionConfig; readonly expiresAt: number };

/** Reads the Authorization header of requests. */
export class Authenticator {
  readonly #apiKeyDigest: Uint8Array | null;
  readonly #clientSecrets: ClientSecrets;

  /** Without an API key nothing needs authorization, but a client secret that is sent must be good. */
  constructor(apiKey: string | null, clientSecrets: ClientSecrets) {
    this.#apiKeyDigest = apiKey === null ? null : digest(apiKey);
    this.#clientSecrets = clientSecrets;
  }

  /**
   * @param authorization value of the Authorization header
   * @throws {CallError} 401 when it is missing or wrong.
   */
  authenticate(authorization: string | undefined): Credential {
    const key = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
    if (key?.startsWith('ek_')) return this.#clientSecret(key);
    if (this.#apiKeyDigest === null) return { type: 'open' };
    if (key === undefined) {
      throw new CallError(401, 'missing_api_key', 'Send an API key or a client secret: "Authorization: Bearer KEY".');
    }
    if (!timingSafeEqual(digest(key), this.#apiKeyDigest)) {
      throw new CallError(401, 'invalid_api_key', 'The API key is wrong.');
    }
    return { type: 'apiKey' };
  }

  #clientSecret(value: string): Credential {
    const claims = this.#clientSecrets.open(value);
    if (!claims) {
      throw new CallError(
        401,
        'invalid_client_secret',
        'The client secret is not one of this deployment: ask for a new one. A server that was started without EARSHOT_SECRET forgets its client secrets when it stops.',
      );
    }
    return { type: 'clientSecret', session: claims.session, expiresAt: claims.expiresAt };
  }
}

/** Only the server's own key may issue client secrets: one that could issue others would never expire. */
export function requireApiKey(credential: Credential): void {
  if (credential.type === 'clientSecret') {
    throw new CallError(403, 'api_key_required', 'A client secret cannot issue client secrets: use the API key.');
  }
}

/**
 * Expiry limits how long a client secret may begin calls. It does not hang up on a caller, nor keep one from ending or
 * moving a call that outlived the secret: those requests name an unguessable call id.
 */
export function requireUnexpired(credential: Credential): void {
  if (credential.type === 'clientSecret' && credential.expiresAt * 1000 <= Date.now()) {
    throw new CallError(401, 'expired_client_secret', 'The client secret has expired: ask for a new one.');
  }
}

/** Digests of equal length make the comparison independent of the key's length as well. */
function digest(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}
