import { isDeepStrictEqual } from 'node:util';
import type { FastifyRequest } from 'fastify';
import type { SessionConfig } from '../conversation/session-schema.ts';
import { CallError, type CallRequest } from './call-service.ts';
import type { Credential } from './credentials.ts';
import { validateSession } from './session-body.ts';

/**
 * Reads the two forms in which a call is asked for: the SDP offer as the body, or a form with `sdp` and `session`.
 * A `model` in the query stands for one in the session, as older clients send it.
 * `dcid` is the id of a negotiated data channel for events.
 * @throws {CallError} 400, or 403 when a client secret's session is not the one asked for.
 */
export async function readCallRequest(request: FastifyRequest, credential: Credential): Promise<CallRequest> {
  const { sdp, session } = request.isMultipart() ? await readForm(request).catch(asFormError) : { sdp: request.body, session: undefined };
  if (typeof sdp !== 'string' || sdp.length === 0) {
    throw new CallError(400, 'missing_offer', 'There is no SDP offer in the request.', { param: 'sdp' });
  }
  const { model, dcid } = request.query as { model?: unknown; dcid?: unknown };
  const channel = dcid === undefined ? {} : { eventsChannelId: readChannelId(dcid) };
  const asked = { ...(typeof model === 'string' ? { model } : {}), ...(session === undefined ? {} : parseSession(session)) };
  const wanted = Object.keys(asked).length === 0 ? UNASKED : validateSession(asked);
  if (credential.type !== 'clientSecret') return { offer: sdp, session: wanted, ...channel };
  requireSameSession(asked, credential.session);
  return { offer: sdp, session: credential.session, ...channel };
}

/** The session of a caller who says nothing of it. */
const UNASKED = validateSession({});
/** RFC 8831, section 6.2: stream 65535 is not used. */
const MAX_CHANNEL_ID = 65_534;

function readChannelId(value: unknown): number {
  const id = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (id <= MAX_CHANNEL_ID) return id;
  throw new CallError(400, 'invalid_value', `dcid: give the id of the negotiated data channel once, from 0 to ${MAX_CHANNEL_ID}.`, { param: 'dcid' });
}

/** `sdp` and `session` may be plain fields or Blobs, which browsers send as files. Other parts are passed over. */
async function readForm(request: FastifyRequest): Promise<{ sdp?: string; session?: unknown }> {
  const form: { sdp?: string; session?: unknown } = {};
  for await (const part of request.parts()) {
    if (part.type === 'field' && part.valueTruncated) {
      throw new CallError(413, 'body_too_large', `The form field "${part.fieldname}" is too large.`, { param: part.fieldname });
    }
    const value = part.type === 'file' ? (await part.toBuffer()).toString() : part.value;
    if (part.fieldname === 'sdp' && typeof value === 'string') form.sdp = value;
    if (part.fieldname === 'session') form.session = value;
  }
  return form;
}

/** The form parser throws plain errors for a missing boundary and the like, and the framework's own for limits. */
function asFormError(error: unknown): never {
  if (error instanceof Error && 'statusCode' in error) throw error;
  if (error instanceof CallError) throw error;
  throw new CallError(400, 'invalid_form', 'The multipart form is malformed.', { cause: error });
}

/** A field that is announced as JSON arrives parsed, any other as text. */
function parseSession(value: unknown): Record<string, unknown> {
  let session = value;
  if (typeof value === 'string') {
    try {
      session = JSON.parse(value, (key, member: unknown) => (key === '__proto__' ? undefined : member));
    } catch (error) {
      throw new CallError(400, 'invalid_json', 'The session is not valid JSON.', { param: 'session', cause: error });
    }
  }
  if (typeof session !== 'object' || session === null || Array.isArray(session)) {
    throw new CallError(400, 'invalid_value', 'The session must be a JSON object.', { param: 'session' });
  }
  return session as Record<string, unknown>;
}

/**
 * A client secret fixes the session: whoever holds it may repeat what it says, not ask for more. An error is better
 * than silence here, because the caller would talk to another agent than the one asked for.
 */
function requireSameSession(asked: Record<string, unknown>, fixed: SessionConfig): void {
  for (const [key, value] of Object.entries(asked)) {
    if (!isDeepStrictEqual(value, fixed[key])) {
      throw new CallError(
        403,
        'session_fixed',
        `The client secret fixes the session and does not allow this "${key}": set it where the client secret is made.`,
        { param: `session.${key}` },
      );
    }
  }
}
