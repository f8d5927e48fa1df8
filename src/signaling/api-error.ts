import { STATUS_CODES } from 'node:http';
import { CallError } from './call-service.ts';

/** The body of every error answer, as the OpenAI API has it. */
export interface ErrorBody {
  readonly error: {
    readonly type: string;
    readonly code: string;
    readonly message: string;
    readonly param: string | null;
  };
}

export function errorBody(error: CallError): ErrorBody {
  return { error: { type: typeOf(error.status), code: error.code, message: error.message, param: error.param } };
}

/**
 * Turns what a handler or the framework threw into an error that may be shown. Null for anything unexpected, whose
 * words may hold what is nobody's business: the caller logs it and answers {@link internalError}.
 */
export function presentableError(error: unknown): CallError | null {
  if (error instanceof CallError) return error;
  if (!(error instanceof Error) || !('statusCode' in error)) return null;
  const status = Number(error.statusCode);
  if (!(status >= 400 && status < 500)) return null;
  const known = 'code' in error ? FRAMEWORK_ERRORS[String(error.code)] : undefined;
  if (known) return new CallError(known[0], known[1], known[2], { cause: error });
  return new CallError(status, 'invalid_request', `The request is malformed (${STATUS_CODES[status] ?? status}).`, {
    cause: error,
  });
}

export function internalError(requestId: string): CallError {
  return new CallError(500, 'internal_error', `Something went wrong on the server. Its log names this request ${requestId}.`);
}

const TOO_LARGE = 'The request body is too large.';

const FRAMEWORK_ERRORS: Readonly<Record<string, readonly [status: number, code: string, message: string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, 'body_too_large', TOO_LARGE],
  FST_REQ_FILE_TOO_LARGE: [413, 'body_too_large', TOO_LARGE],
  FST_FILES_LIMIT: [413, 'body_too_large', 'The form has too many parts.'],
  FST_FIELDS_LIMIT: [413, 'body_too_large', 'The form has too many parts.'],
  FST_PARTS_LIMIT: [413, 'body_too_large', 'The form has too many parts.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, 'unsupported_media_type', 'The content type of the request is not supported here.'],
  FST_ERR_CTP_INVALID_JSON_BODY: [400, 'invalid_json', 'The request body is not valid JSON.'],
  FST_INVALID_JSON_FIELD_ERROR: [400, 'invalid_json', 'A form field that is announced as JSON is not valid JSON.'],
  FST_ERR_BAD_URL: [400, 'invalid_url', 'The URL is malformed.'],
};

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}
