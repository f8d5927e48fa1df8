import type { SdpLine } from './lines.ts';

/** Stable and machine readable: what is wrong with a session description. */
export type SdpErrorCode =
  | 'too-large'
  | 'not-sdp'
  | 'malformed-line'
  | 'no-usable-media'
  | 'rtcp-mux-required'
  | 'bundle-required'
  | 'missing-ice'
  | 'invalid-ice'
  | 'ice-lite-peer'
  | 'missing-fingerprint'
  | 'invalid-fingerprint'
  | 'unsupported-fingerprint'
  | 'invalid-setup'
  | 'invalid-sctp-init'
  | 'changed-sctp-init';

const MAX_QUOTE = 200;

/**
 * A session description that cannot be served. The message says which line is at fault and what to do about it:
 * `line 12: a=fingerprint: hash algorithm md5 is not supported; use sha-256`.
 */
export class SdpError extends Error {
  readonly code: SdpErrorCode;
  /** 1-based; null when no single line is at fault. */
  readonly line: number | null;
  /** The line itself, cut to 200 characters. */
  readonly text: string | null;

  constructor(code: SdpErrorCode, message: string, line: SdpLine | null = null) {
    super(line ? `line ${line.number}: ${label(line)}${message}` : message);
    this.name = 'SdpError';
    this.code = code;
    this.line = line?.number ?? null;
    this.text = line && line.text.slice(0, MAX_QUOTE);
  }
}

/** `a=fingerprint: ` or `m=audio: `; nothing for a line that is no SDP line. */
function label(line: SdpLine): string {
  return line.type ? `${line.type}=${line.name.slice(0, MAX_QUOTE)}: ` : '';
}
