import type { DtlsCertificate } from '../dtls/certificate.ts';
import { IceClientAgent } from '../ice/client-agent.ts';
import { generateIceCredentials, type IceCredentials } from '../ice/credentials.ts';
import type { RandomSource } from '../machine.ts';
import type { RedDistance } from '../rtp/red-sender.ts';
import { createOffer, parseAnswer } from '../sdp/client.ts';
import type { SrtpCiphers } from '../srtp/ciphers.ts';
import { negotiatedSession, randomDigits, randomSsrc } from './negotiated-options.ts';
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
        ? { ssrc: this.#ssrc, cname: this.#sessionId, streamId: 'caller', trackId: 'microphone', direction: 'sendrecv', red: options.redundancy !== undefined }
        : null,
      data: options.data,
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
    const local = { ...this.#options, ssrc: this.#ssrc, cname: this.#sessionId, redundancy: redundancy ?? 'adaptive' };
    return negotiatedSession(negotiated, ice, local, now);
  }
}
