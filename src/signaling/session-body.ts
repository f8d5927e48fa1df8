import { sessionConfigSchema, type SessionConfig } from '../conversation/session-schema.ts';
import { CallError } from './call-service.ts';
import type { z } from 'zod';

/** Deeper than any tool's JSON schema, and shallow enough for every recursive function that meets a session later. */
const MAX_DEPTH = 64;

/** @throws {CallError} 400 that names the field at fault. */
export function validateSession(value: unknown): SessionConfig {
  if (isDeeperThan(value, MAX_DEPTH)) {
    throw new CallError(400, 'invalid_value', `The session is nested deeper than ${MAX_DEPTH} levels.`, { param: 'session' });
  }
  return validate(sessionConfigSchema, value, 'session');
}

/**
 * The parsed value.
 * @param root names the whole value in the error's `param`, `''` for a request body
 * @throws {CallError} 400 that names the first field at fault.
 */
export function validate<T extends z.ZodType>(schema: T, value: unknown, root: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const param = [...(root ? [root] : []), ...issue.path].join('.');
  const where = param ? { param } : {};
  throw new CallError(400, 'invalid_value', `${param || 'The request body'}: ${issue.message}.`, { ...where, cause: result.error });
}

/** Level by level rather than recursively, which is the point of it. */
function isDeeperThan(value: unknown, limit: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true;
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []));
  }
  return false;
}
