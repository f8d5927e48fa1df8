import { randomFillSync } from 'node:crypto';
import { CallError } from '../signaling/call-service.ts';
import { Answerer, AnsweringEnd, SdpError, type AnswererOptions, type AnsweringEndOptions, type LocalDraws, type SessionTerms } from '../webrtc/index.ts';
import type { TransportAddress } from '../wire/address.ts';

/** `performance.now()` plus this is Unix time: read once, so that report timestamps never step. */
const NTP_EPOCH_OFFSET = performance.timeOrigin;

/** @throws {CallError} 400 that names the line of an offer that cannot be served, or the parameter that does not fit it. */
export function answerOffer(options: Omit<AnswererOptions, 'random' | 'ntpEpochOffset'>): Answerer {
  const answerer = asCallError(() => new Answerer({ ...options, random: pooledRandom, ntpEpochOffset: NTP_EPOCH_OFFSET }));
  if (options.channels?.length) requireDataChannels(answerer.negotiated);
  return answerer;
}

/** The end that an answer ahead has promised. */
export function resumeAnswer(
  terms: SessionTerms,
  ufrag: string,
  draws: LocalDraws,
  options: Omit<AnsweringEndOptions, 'random' | 'ntpEpochOffset'>,
): AnsweringEnd {
  return new AnsweringEnd(terms, ufrag, draws, { ...options, random: pooledRandom, ntpEpochOffset: NTP_EPOCH_OFFSET });
}

/** @throws {CallError} 400 when a data channel was declared, and the offer has no section for any. */
export function requireDataChannels({ data }: Pick<SessionTerms, 'data'>): void {
  if (data !== null) return;
  throw new CallError(400, 'no_data_channel', 'dcid names a data channel, but the offer has none: create it before the offer.', { param: 'dcid' });
}

/** The fragment that answers an ICE restart, or null for candidates alone. @throws {CallError} 400 */
export function answerRestart(
  answerer: AnsweringEnd,
  fragment: string,
  ufrag: string,
  candidates: readonly TransportAddress[],
  now: number,
): string | null {
  return asCallError(() => answerer.restartIce(fragment, ufrag, candidates, now));
}

/** Runs what may find fault with an SDP. @throws {CallError} 400 that names the line. */
export function asCallError<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof SdpError)) throw error;
    throw new CallError(400, error.code.replaceAll('-', '_'), error.message, {
      param: error.line === null ? 'sdp' : `sdp line ${error.line}`,
      cause: error,
    });
  }
}

const pool = { bytes: new Uint8Array(4096), used: 4096 };

/** Random bytes, got from the system many at a time: an answer needs some ten times a few. Used ones are wiped. */
function pooledRandom(bytes: Uint8Array): void {
  if (bytes.length > pool.bytes.length) {
    randomFillSync(bytes);
    return;
  }
  if (pool.used + bytes.length > pool.bytes.length) {
    randomFillSync(pool.bytes);
    pool.used = 0;
  }
  const taken = pool.bytes.subarray(pool.used, pool.used + bytes.length);
  bytes.set(taken);
  taken.fill(0);
  pool.used += bytes.length;
}
