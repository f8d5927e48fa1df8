import type { RandomSource } from '../machine.ts';
import type { NegotiatedAudio } from '../sdp/description.ts';
import type { SrtpProfile } from '../srtp-profile.ts';
import type { SessionAudioOptions } from './session.ts';

/** GCM first: it costs less, and encrypts and authenticates in one pass. */
export const SRTP_PREFERENCE: readonly SrtpProfile[] = ['AEAD_AES_128_GCM', 'AES128_CM_HMAC_SHA1_80'];

interface LocalStream {
  readonly ssrc: number;
  readonly cname: string;
  readonly random: RandomSource;
  readonly ntpEpochOffset: number;
}

/** What offer and answer settled, in the terms of the RTP session. */
export function audioOptions(audio: NegotiatedAudio, local: LocalStream): SessionAudioOptions {
  const { mid, audioLevel, transportCc } = audio.extensions;
  return {
    ...local,
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
    reducedSize: audio.reducedSizeRtcp,
  };
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
