import { generateIcePassword } from '../ice/credentials.ts';
import type { RandomSource } from '../machine.ts';
import { newInit, type InitParameters } from '../sctp/init.ts';
import { DEFAULT_RECEIVE_WINDOW } from '../sctp/protocol-parameters.ts';
import type { SessionTerms } from './terms.ts';

/** What an answer says of our side that is drawn by lot. The same source draws the same again. */
export interface LocalDraws {
  readonly password: string;
  /** The number in the o= line, and our RTCP CNAME. */
  readonly sessionId: string;
  readonly ssrc: number;
  /** Our SCTP INIT; null unless the offer brought one. */
  readonly init: InitParameters | null;
}

export function drawLocal(random: RandomSource, { data }: Pick<SessionTerms, 'data'>): LocalDraws {
  const password = generateIcePassword(random);
  const sessionId = randomDigits(random);
  const ssrc = randomSsrc(random);
  return { password, sessionId, ssrc, init: data?.init ? newInit(random, DEFAULT_RECEIVE_WINDOW) : null };
}

/** A random SSRC; 0 is avoided because tools take it for "none". */
export function randomSsrc(random: RandomSource): number {
  const bytes = new Uint8Array(4);
  random(bytes);
  return new DataView(bytes.buffer).getUint32(0) || 1;
}

/** Decimal digits for an SDP session id (RFC 8866, section 5.2), within 2^53. */
export function randomDigits(random: RandomSource): string {
  const bytes = new Uint8Array(8);
  random(bytes);
  return String(new DataView(bytes.buffer).getBigUint64(0) >> 11n);
}
