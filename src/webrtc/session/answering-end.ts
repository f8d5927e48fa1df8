import type { TransportAddress } from '../../wire/address.ts';
import type { OpenChannelOptions } from '../datachannel/data-channels.ts';
import type { DtlsCertificate } from '../dtls/certificate.ts';
import type { KeyShare } from '../dtls/key-share.ts';
import { generateIcePassword, type IceCredentials } from '../ice/credentials.ts';
import { IceLiteAgent } from '../ice/lite-agent.ts';
import type { RandomSource } from '../machine.ts';
import type { SdpCandidate } from '../sdp/description.ts';
import { createFragment, parseFragment } from '../sdp/fragment.ts';
import { requireSameSctpInit } from '../sdp/sctp-init.ts';
import type { SrtpCiphers } from '../srtp/ciphers.ts';
import type { LocalDraws } from './local-draws.ts';
import { negotiatedSession, type DtlsChoice } from './negotiated-options.ts';
import type { Session } from './session.ts';
import type { SessionTerms } from './terms.ts';

/** What the answering end brings along, whatever was agreed on. */
export interface AnsweringEndOptions {
  readonly certificate: DtlsCertificate;
  readonly ciphers: SrtpCiphers;
  readonly random: RandomSource;
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

/** The ICE-lite end of a call whose offer has been answered, here or elsewhere. */
export class AnsweringEnd {
  readonly negotiated: SessionTerms;
  readonly #random: RandomSource;
  #start: (() => Session) | null;
  #session: Session | null = null;

  /** `ufrag` and `draws`: what the answer said. */
  constructor(negotiated: SessionTerms, ufrag: string, draws: LocalDraws, options: AnsweringEndOptions) {
    const { certificate, ciphers, random, ntpEpochOffset, now, dtlsInStun = true, earlySending = true, channels = [] } = options;
    const local = { ufrag, password: draws.password };
    const end = {
      ssrc: draws.ssrc,
      cname: draws.sessionId,
      init: draws.init,
      random,
      ntpEpochOffset,
      certificate,
      ciphers,
      channels,
      dtlsInStun,
      earlySending,
      redundancy: 'adaptive' as const,
      ...(options.dtls && { dtls: options.dtls }),
      ...(options.keyShare && { keyShare: options.keyShare }),
    };
    this.#random = random;
    this.negotiated = negotiated;
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
