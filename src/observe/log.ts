import { writeSync } from 'node:fs';
import { pino, type Logger } from 'pino';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Values that must never be written, wherever in a line they turn up: the deployment's secrets, the API key. */
  readonly redact?: readonly string[];
  /** Lines for people instead of JSON. Default: whether stderr is a terminal. */
  readonly pretty?: boolean;
  /** Takes whole lines. Default: standard error, synchronously, so that the last words before an exit are not lost. */
  readonly write?: (line: string) => void;
}

/** A pino logger that writes JSON lines, or short lines for people on a terminal, without secrets. */
export function createLogger(options: LoggerOptions): Logger {
  const write = options.write ?? writeToStderr;
  const pretty = options.pretty ?? process.stderr.isTTY;
  const scrub = scrubber(options.redact ?? []);
  return pino(
    { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: levelName } },
    { write: (line: string) => write(scrub(pretty ? forPeople(line) : line)) },
  );
}

/**
 * Secrets are found by value and by shape in the finished line, not by the path of a field: a path list misses the
 * secret that somebody puts into a message.
 */
const SHAPES: readonly [pattern: RegExp, replacement: string][] = [
  [/\bek_[A-Za-z0-9_-]{8,}/g, 'ek_[redacted]'],
  [/\bBearer +[^\s"\\]+/gi, 'Bearer [redacted]'],
  [/\bice-pwd:[A-Za-z0-9+/]+/g, 'ice-pwd:[redacted]'],
];

function scrubber(values: readonly string[]): (line: string) => string {
  // A value with quotes or backslashes appears escaped in a JSON line.
  const exact = values.filter(Boolean).flatMap((value) => [...new Set([value, JSON.stringify(value).slice(1, -1)])]);
  const patterns = [...exact.map((value) => [anywhere(value), '[redacted]'] as const), ...SHAPES];
  return (line) => patterns.reduce((clean, [pattern, replacement]) => clean.replace(pattern, replacement), line);
}

/** Shorter secrets turn up by chance within words, and a log without them could not be read. */
const SHORTEST_WITHIN_WORDS = 8;

/** Where a secret stands: a short one only by itself, not within a word. */
function anywhere(secret: string): RegExp {
  const literal = secret.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return new RegExp(secret.length < SHORTEST_WITHIN_WORDS ? `(?<!\\w)${literal}(?!\\w)` : literal, 'g');
}

interface Line {
  readonly level: string;
  readonly time: string;
  readonly msg?: string;
  readonly err?: { readonly message: string; readonly stack?: string };
  readonly [field: string]: unknown;
}

/** `12:30:01.250 warn  message  key=value`: what a person at a terminal needs of a JSON line. */
function forPeople(line: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Line;
  const shown = Object.entries(fields).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const head = `${time.slice(11, 23)} ${level.padEnd(5)} ${msg ?? ''}`.trimEnd();
  const text = shown.length > 0 ? `${head}  ${shown.join(' ')}` : head;
  return err ? `${text}\n${err.stack ?? err.message}\n` : `${text}\n`;
}

function levelName(label: string): { level: string } {
  return { level: label };
}

function writeToStderr(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // A closed or full standard error must not take a call down: the line is lost.
  }
}
