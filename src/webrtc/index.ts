/** `earshot/webrtc`: the sans-IO WebRTC core. See `machine.ts` for the one shape of all its state machines. */
export type { RandomSource, Timeout } from './machine.ts';
export { answerAhead, Answerer, type AnswerAheadOptions, type AnswererOptions } from './session/answerer.ts';
export { AnsweringEnd, type AnsweringEndOptions } from './session/answering-end.ts';
export { drawLocal, type LocalDraws } from './session/local-draws.ts';
export { decodeTerms, encodeTerms, type SessionTerms } from './session/terms.ts';
export { Offerer, type OffererOptions } from './session/offerer.ts';
export { Session } from './session/session.ts';
export {
  SESSION_DROP_REASONS,
  type SessionAudioOptions,
  type SessionCloseReason,
  type SessionDataOptions,
  type SessionDropReason,
  type SessionOptions,
  type SessionOutput,
  type SessionStats,
} from './session/session-types.ts';
export { DtlsCertificate } from './dtls/certificate.ts';
export { DtlsEndpoint, type DtlsEndpointOptions, type DtlsOutput } from './dtls/endpoint.ts';
export { generateKeyShare, type KeyShare } from './dtls/key-share.ts';
export { warmUpCall, type WarmUpOptions } from './session/warm-up.ts';
export { IceClientAgent, type IceClientOptions } from './ice/client-agent.ts';
export { generateIceCredentials, generateIcePassword, type IceCredentials } from './ice/credentials.ts';
export { isAuthenticCheck, refuseCheck } from './ice/first-check.ts';
export { IceLiteAgent, type IceLiteOptions } from './ice/lite-agent.ts';
export { RtpSession, type RtpSessionOptions, type RtpSessionStats } from './rtp/rtp-session.ts';
export type { RedDistance } from './rtp/red-sender.ts';
export { SdpError, type SdpErrorCode } from './sdp/error.ts';
export { parseOffer, type Offer } from './sdp/offer.ts';
export { createAnswer } from './sdp/answer.ts';
export type { SrtpCiphers } from './srtp/ciphers.ts';
export { loadSrtpCiphers } from './srtp/load-ciphers.ts';
export { SrtpReceiver } from './srtp/srtp-receiver.ts';
export { SrtpSender } from './srtp/srtp-sender.ts';
export { DataChannels, type DataChannel, type OpenChannelOptions } from './datachannel/data-channels.ts';
export type { TransportAddress } from '../wire/address.ts';
