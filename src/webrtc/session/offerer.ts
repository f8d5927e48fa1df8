import type { DtlsCertificate } from '../dtls/certificate.ts';
import { IceClientAgent } from '../ice/client-agent.ts';
import { generateIceCredentials, type IceCredentials } from '../ice/credentials.ts';
import type { RandomSource } from '../machine.ts';
import { createOffer, parseAnswer } from '../sdp/client.ts';
import { SPED_OPTION } from '../sdp/description.ts';
import type { SrtpCiphers } from '../srtp/ciphers.ts';
import { negotiatedSession, randomDigits, randomSsrc, type DtlsChoice } from './negotiated-options.ts';
import type { Session } from './session.ts';

export interface OffererOptions {
  readonly certificate: DtlsCertificate;
  readonly audio: boolean;
  readonly data: boolean;
  readonly ciphers: SrtpCiphers;
  readonly random: RandomSource;
  /** Unix time in ms is `now` + this. */
  readonly ntpEpochOffset: number;
  /** Offer to carry DTLS in STUN (SPED), which saves a round trip; false unless given. */
  readonly dtlsInStun?: boolean;
  /** DTLS versions and key exchange groups that may be agreed on; all unless given. */
  readonly dtls?: DtlsChoice;
}

/** The calling end, for native clients, load generators and tests: gives an offer, takes the answer. */
export class Offerer {
  /** The SDP offer. */
  readonly offer: string;
  readonly #options: OffererOptions;
  readonly #ice: IceCredentials;
  readonly #ssrc: number;
  readonly #sessionId: string;

  constructor(options: OffererOptions) {
    const { random, certificate } = options;
    this.#options = options;
    this.#ice = generateIceCredentials(random);
    this.#ssrc = randomSsrc(random);
    this.#sessionId = randomDigits(random);
    this.offer = createOffer({
      ...this.#ice,
      fingerprint: certificate.fingerprint('sha-256'),
      candidates: [],
      sessionId: this.#sessionId,
      audio: options.audio
        ? { ssrc: this.#ssrc, cname: this.#sessionId, streamId: 'caller', trackId: 'microphone', direction: 'sendrecv' }
        : null,
      data: options.data,
      iceOptions: options.dtlsInStun ? [SPED_OPTION] : [],
    });
  }

  /** The session that the answer leads to; it sends its first check at once. @throws {SdpError} */
  accept(answer: string, now: number): Session {
    const { negotiated, candidates } = parseAnswer(answer);
    const ice = new IceClientAgent({
      local: this.#ice,
      remote: negotiated.ice,
      remoteCandidates: candidates.map(({ address }) => address),
      random: this.#options.random,
      now,
    });
    const dtlsInStun = this.#options.dtlsInStun === true && negotiated.ice.options.includes(SPED_OPTION);
    const local = { ...this.#options, ssrc: this.#ssrc, cname: this.#sessionId, dtlsInStun, earlySending: false };
    const session = negotiatedSession(negotiated, ice, local, now);
    session.handleTimeout(now);
    return session;
  }
}
