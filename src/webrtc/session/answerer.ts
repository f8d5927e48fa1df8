import type { TransportAddress } from '../../wire/address.ts';
import type { DtlsCertificate } from '../dtls/certificate.ts';
import type { KeyShare } from '../dtls/key-share.ts';
import type { OpenChannelOptions } from '../datachannel/data-channels.ts';
import { generateIcePassword, type IceCredentials } from '../ice/credentials.ts';
import { IceLiteAgent } from '../ice/lite-agent.ts';
import type { RandomSource } from '../machine.ts';
import { newInit } from '../sctp/init.ts';
import { DEFAULT_RECEIVE_WINDOW } from '../sctp/protocol-parameters.ts';
import { createAnswer } from '../sdp/answer.ts';
import { isSpedOption, type Negotiated, type SdpCandidate } from '../sdp/description.ts';
import { createFragment, parseFragment } from '../sdp/fragment.ts';
import { parseOffer } from '../sdp/offer.ts';
import { requireSameSctpInit } from '../sdp/sctp-init.ts';
import type { SrtpCiphers } from '../srtp/ciphers.ts';
import { negotiatedSession, randomDigits, randomSsrc, type DtlsChoice } from './negotiated-options.ts';
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
  /** Take a DTLS handshake that comes in STUN (SPED), which saves a round trip; true unless given. */
  readonly dtlsInStun?: boolean;
  /** DTLS versions and key exchange groups that may be agreed on; all unless given. */
  readonly dtls?: DtlsChoice;
  /** A key pair for this call's DTLS alone, made ahead; made with the session unless given. */
  readonly keyShare?: KeyShare<'x25519'>;
  /**
   * Send media and messages half a round trip before the client has shown the certificate that its offer named; true
   * unless given. Until then all that is known of the receiver is that it has our ICE password, which went to whoever
   * placed the call. What it sends counts only afterwards, in either case.
   */
  readonly earlySending?: boolean;
  /** Data channels that both sides open under an id agreed beforehand: `negotiated`, with `id`. */
  readonly channels?: readonly OpenChannelOptions[];
}

/** The answering, ICE-lite end of a call (RFC 8829 without its API): takes an offer, gives an answer and a session. */
export class Answerer {
  /** The SDP answer. */
  readonly answer: string;
  readonly negotiated: Negotiated;
  readonly #random: RandomSource;
  #start: (() => Session) | null;
  #session: Session | null = null;

  /** @throws {SdpError} for an offer that cannot be served; it names the line. */
  constructor(options: AnswererOptions) {
    const { certificate, random, now, dtlsInStun = true, earlySending = true } = options;
    const offer = parseOffer(options.offer, { red: options.red ?? true });
    const { negotiated } = offer;
    const local = { ufrag: options.ufrag, password: generateIcePassword(random) };
    const sessionId = randomDigits(random);
    const ssrc = randomSsrc(random);
    const init = negotiated.data?.init ? newInit(random, DEFAULT_RECEIVE_WINDOW) : null;
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
      iceOptions: dtlsInStun ? negotiated.ice.options.filter(isSpedOption) : [],
      init,
    });
    const { ciphers, ntpEpochOffset, channels = [] } = options;
    const end = {
      ssrc,
      cname: sessionId,
      random,
      ntpEpochOffset,
      certificate,
      ciphers,
      init,
      channels,
      dtlsInStun,
      earlySending,
      redundancy: 'adaptive' as const,
      ...(options.dtls && { dtls: options.dtls }),
      ...(options.keyShare && { keyShare: options.keyShare }),
    };
    this.#start = () => negotiatedSession(negotiated, new IceLiteAgent({ local, remote: negotiated.ice, now }), end, now);
  }

  /** Made when it is first asked for, as of the time of the answer: so that the answer may leave first. */
  get session(): Session {
    if (this.#start !== null) {
      this.#session = this.#start();
      this.#start = null;
    }
    return this.#session!;
  }

  /**
   * Takes a trickle-ice SDP fragment (RFC 8840). New credentials restart ICE and give the fragment to answer with;
   * candidates alone give null, because an ICE-lite side needs none.
   * @throws {SdpError}
   */
  restartIce(fragment: string, ufrag: string, candidates: readonly TransportAddress[], now: number): string | null {
    const { ice, sections } = parseFragment(fragment);
    const { negotiated } = this;
    for (const section of sections) requireSameSctpInit(section, negotiated.data?.init ?? null);
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
