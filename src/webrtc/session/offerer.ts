import type { DtlsCertificate } from '../dtls/certificate.ts';
import type { OpenChannelOptions } from '../datachannel/data-channels.ts';
import { IceClientAgent } from '../ice/client-agent.ts';
import { generateIceCredentials, type IceCredentials } from '../ice/credentials.ts';
import type { RandomSource } from '../machine.ts';
import type { RedDistance } from '../rtp/red-sender.ts';
import { newInit, type InitParameters } from '../sctp/init.ts';
import { DEFAULT_RECEIVE_WINDOW } from '../sctp/protocol-parameters.ts';
import { createOffer, parseAnswer } from '../sdp/client.ts';
import { SPED_OPTION } from '../sdp/description.ts';
import type { SrtpCiphers } from '../srtp/ciphers.ts';
import { randomDigits, randomSsrc } from './local-draws.ts';
import { negotiatedSession, type DtlsChoice } from './negotiated-options.ts';
import type { Session } from './session.ts';

export interface OffererOptions {
  readonly certificate: DtlsCertificate;
  readonly audio: boolean;
  readonly data: boolean;
  readonly ciphers: SrtpCiphers;
  readonly random: RandomSource;
  /** Offers redundant audio (RED, RFC 2198), and how much of it to send. Not offered unless set. */
  readonly redundancy?: RedDistance;
  /** Unix time in ms is `now` + this. */
  readonly ntpEpochOffset: number;
  /** Offer to carry DTLS in STUN (SPED), which saves a round trip; false unless given. */
  readonly dtlsInStun?: boolean;
  /** DTLS versions and key exchange groups that may be agreed on; all unless given. */
  readonly dtls?: DtlsChoice;
  /** Offers to set SCTP up with offer and answer (SNAP, `a=sctp-init`). Default true. */
  readonly snap?: boolean;
  /** Data channels that both sides open under an id agreed beforehand: `negotiated`, with `id`. */
  readonly channels?: readonly OpenChannelOptions[];
}

/** The calling end, for native clients, load generators and tests: gives an offer, takes the answer. */
export class Offerer {
  /** The SDP offer. */
  readonly offer: string;
  readonly #options: OffererOptions;
  readonly #ice: IceCredentials;
  readonly #ssrc: number;
  readonly #sessionId: string;
  readonly #init: InitParameters | null;

  constructor(options: OffererOptions) {
    const { random, certificate } = options;
    this.#options = options;
    this.#ice = generateIceCredentials(random);
    this.#ssrc = randomSsrc(random);
    this.#sessionId = randomDigits(random);
    this.#init = options.data && options.snap !== false ? newInit(random, DEFAULT_RECEIVE_WINDOW) : null;
    this.offer = createOffer({
      ...this.#ice,
      fingerprint: certificate.fingerprint('sha-256'),
      candidates: [],
      sessionId: this.#sessionId,
      audio: options.audio
        ? { ssrc: this.#ssrc, cname: this.#sessionId, streamId: 'caller', trackId: 'microphone', direction: 'sendrecv', red: options.redundancy !== undefined }
        : null,
      data: options.data ? { init: this.#init } : null,
      iceOptions: options.dtlsInStun ? [SPED_OPTION] : [],
    });
  }

  /** The session that the answer leads to; it sends its first check at once. @throws {SdpError} */
  accept(answer: string, now: number): Session {
    const { redundancy } = this.#options;
    const { negotiated, candidates } = parseAnswer(answer, { red: redundancy !== undefined });
    const ice = new IceClientAgent({
      local: this.#ice,
      remote: negotiated.ice,
      remoteCandidates: candidates.map(({ address }) => address),
      random: this.#options.random,
      now,
    });
    const { channels = [] } = this.#options;
    const dtlsInStun = this.#options.dtlsInStun === true && negotiated.ice.options.includes(SPED_OPTION);
    const known = { ssrc: this.#ssrc, cname: this.#sessionId, init: this.#init, channels, redundancy: redundancy ?? ('adaptive' as const) };
    const session = negotiatedSession(negotiated, ice, { ...this.#options, ...known, dtlsInStun, earlySending: false }, now);
    session.handleTimeout(now);
    return session;
  }
}
