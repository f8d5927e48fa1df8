import type { TransportAddress } from '../../wire/address.ts';
import type { DtlsCertificate } from '../dtls/certificate.ts';
import { generateIcePassword, type IceCredentials } from '../ice/credentials.ts';
import { IceLiteAgent } from '../ice/lite-agent.ts';
import type { RandomSource } from '../machine.ts';
import { createAnswer } from '../sdp/answer.ts';
import type { Negotiated, SdpCandidate } from '../sdp/description.ts';
import { createFragment, parseFragment } from '../sdp/fragment.ts';
import { parseOffer } from '../sdp/offer.ts';
import type { SrtpCiphers } from '../srtp/ciphers.ts';
import { negotiatedSession, randomDigits, randomSsrc } from './negotiated-options.ts';
import type { Session } from './session.ts';

export interface AnswererOptions {
  /** SDP offer. */
  readonly offer: string;
  /** Our ICE ufrag: 4 to 256 characters of ice-char. */
  readonly ufrag: string;
  readonly certificate: DtlsCertificate;
  /** Where the client can send to, best first. */
  readonly candidates: readonly TransportAddress[];
  readonly ciphers: SrtpCiphers;
  readonly random: RandomSource;
  /** Whether to take redundant audio (RED, RFC 2198) where it is offered; ours then adapts to the peer's loss. True unless set. */
  readonly red?: boolean;
  /** Unix time in ms is `now` + this. */
  readonly ntpEpochOffset: number;
  readonly now: number;
}

/** The answering, ICE-lite end of a call (RFC 8829 without its API): takes an offer, gives an answer and a session. */
export class Answerer {
  readonly session: Session;
  /** The SDP answer. */
  readonly answer: string;
  readonly negotiated: Negotiated;
  readonly #random: RandomSource;

  /** @throws {SdpError} for an offer that cannot be served; it names the line. */
  constructor(options: AnswererOptions) {
    const { certificate, random, now } = options;
    const offer = parseOffer(options.offer, { red: options.red ?? true });
    const { negotiated } = offer;
    const local = { ufrag: options.ufrag, password: generateIcePassword(random) };
    const sessionId = randomDigits(random);
    const ssrc = randomSsrc(random);
    this.#random = random;
    this.negotiated = negotiated;
    this.answer = createAnswer(offer, {
      ...local,
      fingerprint: certificate.fingerprint('sha-256'),
      candidates: options.candidates.map((address) => ({ address })),
      sessionId,
      ssrc,
      cname: sessionId,
      streamId: 'earshot',
      trackId: 'agent',
    });
    const { ciphers, ntpEpochOffset } = options;
    const ice = new IceLiteAgent({ local, remote: negotiated.ice, now });
    this.session = negotiatedSession(negotiated, ice, { ssrc, cname: sessionId, random, ntpEpochOffset, certificate, ciphers, redundancy: 'adaptive' }, now);
  }

  /**
   * Takes a trickle-ice SDP fragment (RFC 8840). New credentials restart ICE and give the fragment to answer with;
   * candidates alone give null, because an ICE-lite side needs none.
   * @throws {SdpError}
   */
  restartIce(fragment: string, ufrag: string, candidates: readonly TransportAddress[], now: number): string | null {
    const { ice } = parseFragment(fragment);
    const { negotiated } = this;
    if (!ice || ice.ufrag === negotiated.ice.ufrag) return null;
    const local: IceCredentials = { ufrag, password: generateIcePassword(this.#random) };
    this.session.restartIce(local, ice, now);
    const owner = negotiated.bundleMids[0] ?? negotiated.audio?.mid ?? negotiated.data?.mid ?? null;
    return createFragment({
      ...local,
      candidates: candidates.map((address): SdpCandidate => ({ address })),
      bundleMids: negotiated.bundleMids,
      media: negotiated.audio && negotiated.audio.mid === owner ? 'audio' : 'application',
      mid: owner,
      iceLite: true,
    });
  }
}
