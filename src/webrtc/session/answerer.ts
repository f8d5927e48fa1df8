import type { TransportAddress } from '../../wire/address.ts';
import type { DtlsCertificate } from '../dtls/certificate.ts';
import type { RandomSource } from '../machine.ts';
import { createAnswer } from '../sdp/answer.ts';
import { isSpedOption } from '../sdp/description.ts';
import { parseOffer, type Offer } from '../sdp/offer.ts';
import { AnsweringEnd, type AnsweringEndOptions } from './answering-end.ts';
import { drawLocal, type LocalDraws } from './local-draws.ts';
import type { SessionTerms } from './terms.ts';

interface AnswerOptions {
  /** SDP offer. */
  readonly offer: string;
  /** Where the client can send to, best first. */
  readonly candidates: readonly TransportAddress[];
  /** Whether to take redundant audio (RED, RFC 2198) where it is offered; ours then adapts to the peer's loss. True unless set. */
  readonly red?: boolean;
}

export interface AnswererOptions extends AnswerOptions, AnsweringEndOptions {
  /** Our ICE ufrag: 4 to 256 characters of ice-char. */
  readonly ufrag: string;
}

/** The answering, ICE-lite end of a call (RFC 8829 without its API): takes an offer, gives an answer and a session. */
export class Answerer extends AnsweringEnd {
  /** The SDP answer. */
  readonly answer: string;

  /** @throws {SdpError} for an offer that cannot be served; it names the line. */
  constructor(options: AnswererOptions) {
    const offer = parseOffer(options.offer, { red: options.red ?? true });
    const draws = drawLocal(options.random, offer.negotiated);
    super(offer.negotiated, options.ufrag, draws, options);
    this.answer = writeAnswer(offer, options.ufrag, draws, options);
  }
}

export interface AnswerAheadOptions extends AnswerOptions {
  /** Of whoever may take the call. */
  readonly certificate: DtlsCertificate;
  readonly dtlsInStun?: boolean;
  /** Gives the ufrag that will bring the terms back, and the source that {@link drawLocal} is to get then as well. */
  readonly ticket: (terms: SessionTerms) => { readonly ufrag: string; readonly draw: RandomSource };
}

/**
 * Answers an offer for an end that is yet to be made, from what comes back in the ufrag.
 * @returns the SDP answer
 * @throws {SdpError} for an offer that cannot be served, and what `ticket` throws.
 */
export function answerAhead(options: AnswerAheadOptions): string {
  const offer = parseOffer(options.offer, { red: options.red ?? true });
  const { ufrag, draw } = options.ticket(offer.negotiated);
  return writeAnswer(offer, ufrag, drawLocal(draw, offer.negotiated), options);
}

function writeAnswer(
  offer: Offer,
  ufrag: string,
  { password, sessionId, ssrc, init }: LocalDraws,
  { certificate, candidates, dtlsInStun = true }: Pick<AnswerAheadOptions, 'certificate' | 'candidates' | 'dtlsInStun'>,
): string {
  return createAnswer(offer, {
    ufrag,
    password,
    fingerprint: certificate.fingerprint('sha-256'),
    candidates: candidates.map((address) => ({ address })),
    sessionId,
    ssrc,
    cname: sessionId,
    streamId: 'earshot',
    trackId: 'agent',
    iceOptions: dtlsInStun ? offer.negotiated.ice.options.filter(isSpedOption) : [],
    init,
  });
}
