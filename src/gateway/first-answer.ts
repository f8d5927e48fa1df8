import type { RequestFault } from './cluster-health.ts';
import type { Candidate } from './steer.ts';
import type { UpstreamResponse } from './upstream.ts';

/** How one cluster took an offer; the metric's label. */
export const ATTEMPT_OUTCOMES = ['answered', 'refused', 'failed', 'slow'] as const;
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number];

export interface Attempt {
  readonly candidate: Candidate;
  outcome: AttemptOutcome;
  /** What it says of the cluster; null for nothing bad. */
  fault: RequestFault | null;
  /** Of the answer; null while there is none. */
  status: number | null;
  /** Until the outcome, ms. */
  ms: number;
}

export interface FirstAnswerOptions {
  readonly candidates: readonly Candidate[];
  readonly ask: (candidate: Candidate) => Promise<UpstreamResponse>;
  /** After this time without an answer the next cluster is asked too, ms. */
  readonly attemptTimeoutMs: number;
  readonly onFault: (candidate: Candidate, fault: RequestFault) => void;
  /** Told of an answer that nobody waits for any more: another cluster was first. */
  readonly onLate: (candidate: Candidate, response: UpstreamResponse) => void;
}

export interface FirstAnswer {
  /** Null when no cluster gave any answer. */
  readonly winner: { readonly candidate: Candidate; readonly response: UpstreamResponse } | null;
  readonly attempts: readonly Attempt[];
}

/** A caller's offer is with so many clusters at a time, at most. */
const MAX_UNANSWERED = 3;

/**
 * Asks the candidates one after the other, the next as soon as one fails or is slow, and takes the first answer that is
 * for the caller. A slow cluster is not cut off: should all others fail, its late answer is still good.
 *
 *   a ──── slow ──────────────► late: onLate
 *          b ── 503 ►
 *                   c ── 201 ► winner
 *
 * When all fail, the winner is the last that at least gave an answer.
 */
export function firstAnswer({ candidates, ask, attemptTimeoutMs, onFault, onLate }: FirstAnswerOptions): Promise<FirstAnswer> {
  return new Promise((resolve) => {
    const attempts: Attempt[] = [];
    let unanswered = 0;
    let settled = false;
    let fallback: FirstAnswer['winner'] = null;

    const settle = (winner: FirstAnswer['winner']): void => {
      settled = true;
      resolve({ winner, attempts });
    };
    const isWaiting = (attempt: Attempt | undefined): boolean => attempt !== undefined && attempt.status === null && attempt.ms === 0;

    /** Asks the next one, unless the last asked may still answer in time; ends when there is nobody left to wait for. */
    const advance = (): void => {
      if (settled || isWaiting(attempts.at(-1))) return;
      if (attempts.length < candidates.length && unanswered < MAX_UNANSWERED) void start(candidates[attempts.length]);
      else if (unanswered === 0) settle(fallback);
    };

    const start = async (candidate: Candidate): Promise<void> => {
      const startedAt = performance.now();
      const elapsed = (): number => Math.max(1, Math.round(performance.now() - startedAt));
      const attempt: Attempt = { candidate, outcome: 'slow', fault: 'unreachable', status: null, ms: 0 };
      attempts.push(attempt);
      unanswered++;
      const timer = setTimeout(() => {
        attempt.ms = elapsed();
        onFault(candidate, 'unreachable');
        advance();
      }, attemptTimeoutMs);
      const response = await ask(candidate).catch(() => null);
      clearTimeout(timer);
      unanswered--;
      if (settled) {
        if (response) onLate(candidate, response);
        return;
      }
      const fault = response ? faultOf(response) : 'unreachable';
      Object.assign(attempt, { ms: elapsed(), status: response?.status ?? null, fault });
      if (fault) onFault(candidate, fault);
      if (response && response.status < 500) {
        attempt.outcome = 'answered';
        settle({ candidate, response });
        return;
      }
      attempt.outcome = response ? 'refused' : 'failed';
      if (response) fallback = { candidate, response };
      advance();
    };

    advance();
  });
}

/** What an answer says of the cluster; null for nothing bad. */
function faultOf({ status, body }: UpstreamResponse): RequestFault | null {
  if (status === 502 || status === 504) return 'unreachable';
  if (status !== 503) return null;
  return /"code":\s*"server_(full|busy)"/.test(body.toString('latin1')) ? 'full' : 'not-ready';
}
