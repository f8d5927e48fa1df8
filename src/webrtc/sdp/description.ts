import type { TransportAddress } from '../../wire/address.ts';
import type { InitParameters } from '../sctp/init.ts';

/** From our point of view. */
export type MediaDirection = 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive';

/** Hash functions that a certificate fingerprint is accepted with. */
export type FingerprintAlgorithm = 'sha-256' | 'sha-384' | 'sha-512';

export interface Fingerprint {
  readonly algorithm: FingerprintAlgorithm;
  readonly value: Uint8Array;
}

/** What offer and answer agree on. Numbers and mids are those of the offer. */
export interface Negotiated {
  /** Sections that share the transport, in the group's order; empty without a BUNDLE group. */
  readonly bundleMids: readonly string[];
  /** The remote side's. */
  readonly ice: { readonly ufrag: string; readonly password: string; readonly options: readonly string[] };
  /** The peer's certificate has to match one of them. Never empty. */
  readonly fingerprints: readonly Fingerprint[];
  readonly remoteSetup: 'active' | 'passive' | 'actpass';
  /** Ours: `passive` is the DTLS server. */
  readonly localSetup: 'active' | 'passive';
  readonly audio: NegotiatedAudio | null;
  readonly data: NegotiatedData | null;
}

export interface NegotiatedAudio {
  readonly mid: string | null;
  /** Of Opus. */
  readonly payloadType: number;
  readonly clockRate: 48_000;
  readonly channels: number;
  readonly opus: OpusParameters;
  /** Of RED (RFC 2198) over Opus; null unless both sides want it. */
  readonly redPayloadType: number | null;
  readonly extensions: AudioExtensions;
  readonly extmapAllowMixed: boolean;
  readonly feedback: { readonly nack: boolean; readonly transportCc: boolean };
  readonly reducedSizeRtcp: boolean;
  readonly direction: MediaDirection;
  /** As announced in the description; null when it is not. */
  readonly remoteSsrc: number | null;
}

/** What the remote side wants to receive (RFC 7587, section 6.1). */
export interface OpusParameters {
  readonly useInbandFec: boolean;
  readonly useDtx: boolean;
  readonly stereo: boolean;
  readonly cbr: boolean;
  /** Milliseconds; null when not said. */
  readonly minPtime: number | null;
  /** Bits per second. */
  readonly maxAverageBitrate: number | null;
  /** Hertz. */
  readonly maxPlaybackRate: number | null;
}

/** Identifiers (1 to 14) of the RTP header extensions in use; null for one that is not. */
export interface AudioExtensions {
  readonly mid: number | null;
  readonly audioLevel: number | null;
  readonly transportCc: number | null;
}

export interface NegotiatedData {
  readonly mid: string | null;
  /** The remote side's SCTP port. */
  readonly sctpPort: number;
  /** Largest message that the remote side takes, in bytes; Infinity for one without a limit (`a=max-message-size:0`). */
  readonly maxMessageSize: number;
  /** `legacy` is `DTLS/SCTP 5000` with a=sctpmap, from before RFC 8841. */
  readonly form: 'modern' | 'legacy';
  /** The remote side's SCTP INIT (`a=sctp-init`); null when it did not come along. */
  readonly init: InitParameters | null;
}

export interface SdpCandidate {
  readonly address: TransportAddress;
  /** Of host candidates: by their order in the list when not given. */
  readonly priority?: number;
}

/** Our transport, as it goes into each description we write. */
export interface LocalTransport {
  readonly ufrag: string;
  readonly password: string;
  readonly fingerprint: Fingerprint;
  /** UDP host candidates, the best first. */
  readonly candidates: readonly SdpCandidate[];
  /** Digits, unique to the session: the number in the o= line. */
  readonly sessionId: string;
  /** More words of a=ice-options. */
  readonly iceOptions?: readonly string[];
}

/** The audio we send. */
export interface LocalAudio {
  readonly ssrc: number;
  readonly cname: string;
  readonly streamId: string;
  readonly trackId: string;
}

/** The word of a=ice-options for DTLS in STUN (draft-hancke-webrtc-sped). */
export const SPED_OPTION = 'sped';
/** As browsers have written it. */
const SPED_OPTIONS: ReadonlySet<string> = new Set([SPED_OPTION, 'googspedv1', 'goog-sped-v1']);

export function isSpedOption(option: string): boolean {
  return SPED_OPTIONS.has(option);
}

/** Our data channels. */
export interface LocalData {
  /** Our SCTP INIT; an answer holds it only where the offer has one. */
  readonly init: InitParameters | null;
}

/** SCTP port that we use and write. */
export const SCTP_PORT = 5000;
/** Largest message that we take, in bytes. */
export const MAX_MESSAGE_SIZE = 262_144;

export const EXTENSION_URIS: Readonly<Record<keyof AudioExtensions, string>> = {
  mid: 'urn:ietf:params:rtp-hdrext:sdes:mid',
  audioLevel: 'urn:ietf:params:rtp-hdrext:ssrc-audio-level',
  transportCc: 'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01',
};
