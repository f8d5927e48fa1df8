export { DtlsCertificate } from './certificate.ts';
export { createDtlsCounters, dtlsDropReasons } from './counters.ts';
export type { DtlsCounters, DtlsDropReason } from './counters.ts';
export { DtlsEndpoint } from './endpoint.ts';
export type {
  DtlsClosed,
  DtlsCloseReason,
  DtlsConnected,
  DtlsData,
  DtlsDump,
  DtlsEndpointOptions,
  DtlsOutput,
  DtlsSendKeys,
  DtlsState,
  DtlsTransmit,
} from './endpoint.ts';
export type { DtlsVersion, NamedGroup } from './registry.ts';
export type { AlertDescription } from './alert.ts';
export { fingerprintAlgorithms, formatFingerprint, parseFingerprint } from './fingerprint.ts';
export type { Fingerprint, FingerprintAlgorithm } from './fingerprint.ts';
