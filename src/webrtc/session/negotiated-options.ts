import type { DtlsCertificate } from '../dtls/certificate.ts';
import type { DtlsEndpointOptions } from '../dtls/endpoint.ts';
import type { KeyShare } from '../dtls/key-share.ts';
import type { OpenChannelOptions } from '../datachannel/data-channels.ts';
import type { RandomSource } from '../machine.ts';
import type { InitParameters } from '../sctp/init.ts';
import { SCTP_PORT } from '../sdp/description.ts';
import type { RedDistance } from '../rtp/red-sender.ts';
import type { SrtpCiphers } from '../srtp/ciphers.ts';
import type { SrtpProfile } from '../srtp-profile.ts';
import { Session } from './session.ts';
import type { SessionAudioOptions, SessionOptions } from './session-types.ts';
import type { AudioTerms, SessionTerms } from './terms.ts';

/** GCM first: it costs less, and encrypts and authenticates in one pass. */
const SRTP_PREFERENCE: readonly SrtpProfile[] = ['AEAD_AES_128_GCM', 'AES128_CM_HMAC_SHA1_80'];

export type DtlsChoice = Pick<DtlsEndpointOptions, 'versions' | 'groups'>;

/** What this end brings to a session besides what was negotiated. */
export interface LocalEnd {
  readonly ssrc: number;
  readonly cname: string;
  readonly random: RandomSource;
  /** Unix time in ms is `now` + this. */
  readonly ntpEpochOffset: number;
  readonly certificate: DtlsCertificate;
  readonly ciphers: SrtpCiphers;
  /** Of what is sent, where RED was negotiated. */
  readonly redundancy: RedDistance;
  /** Both sides are known, or may, carry DTLS in STUN. */
  readonly dtlsInStun: boolean;
  readonly earlySending: boolean;
  /** What may be agreed on; all unless given. */
  readonly dtls?: DtlsChoice;
  /** A DTLS server's key pair, made ahead. */
  readonly keyShare?: KeyShare<'x25519'>;
  /** Our SCTP INIT, if offer or answer carried it. */
  readonly init: InitParameters | null;
  /** Data channels with an id agreed beforehand. */
  readonly channels: readonly OpenChannelOptions[];
}

/** The session that an offer and its answer lead to, over `ice`. */
export function negotiatedSession(negotiated: SessionTerms, ice: SessionOptions['ice'], local: LocalEnd, now: number): Session {
  const { audio, data } = negotiated;
  return new Session({
    ice,
    dtls: {
      role: negotiated.localSetup === 'passive' ? 'server' : 'client',
      certificate: local.certificate,
      remoteFingerprints: negotiated.fingerprints,
      srtpProfiles: audio ? SRTP_PREFERENCE : [],
      random: local.random,
      earlySending: local.earlySending,
      ...local.dtls,
      ...(local.keyShare && { keyShare: local.keyShare }),
    },
    dtlsInStun: local.dtlsInStun,
    audio: audio && audioOptions(audio, local, negotiated.localSetup === 'active'),
    data: data && {
      localPort: SCTP_PORT,
      remotePort: data.sctpPort,
      maxMessageSize: data.maxMessageSize,
      ...(data.init && local.init && { agreed: { local: local.init, peer: data.init } }),
      channels: local.channels,
    },
    ciphers: local.ciphers,
    random: local.random,
    now,
  });
}

/** What offer and answer settled, in the terms of the RTP session. */
function audioOptions(audio: AudioTerms, local: LocalEnd, isCaller: boolean): SessionAudioOptions {
  const { mid, audioLevel, transportCc } = audio.extensions;
  const { ssrc, cname, random, ntpEpochOffset, redundancy } = local;
  const { redPayloadType } = audio;
  return {
    ssrc,
    cname,
    random,
    ntpEpochOffset,
    payloadType: audio.payloadType,
    clockRate: audio.clockRate,
    mid: audio.mid ?? '',
    extensions: {
      ...(mid === null ? {} : { mid }),
      ...(audioLevel === null ? {} : { audioLevel }),
      ...(transportCc === null ? {} : { transportSequence: transportCc }),
    },
    nack: audio.feedback.nack,
    transportFeedback: audio.feedback.transportCc && transportCc !== null,
    // As browsers do. A server's numbers would only bring it feedback that nothing here reads, ten times a second.
    transportNumbers: isCaller && audio.feedback.transportCc && transportCc !== null,
    reducedSize: audio.reducedSizeRtcp,
    ...(redPayloadType === null ? {} : { red: { payloadType: redPayloadType, blockType: audio.payloadType, distance: redundancy } }),
  };
}
