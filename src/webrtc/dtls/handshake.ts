import type { RandomSource } from '../machine.ts';
import type { SrtpKeyingMaterial, SrtpProfile } from '../srtp-profile.ts';
import type { DtlsCertificate } from './certificate.ts';
import type { DtlsDropReason } from './counters.ts';
import type { Fingerprint } from './fingerprint.ts';
import type { FlightItem } from './flight.ts';
import type { HandshakeMessage } from './handshake-fragment.ts';
import type { ReadProtection, UnifiedReadProtection, WriteProtection } from './record-protection.ts';
import type { KeyShare } from './key-share.ts';
import type { DtlsVersion, NamedGroup } from './registry.ts';
import type { Transcript } from './transcript.ts';

/** What both sides of every version need to know. */
export interface HandshakeConfig {
  readonly certificate: DtlsCertificate;
  readonly remoteFingerprints: readonly Fingerprint[];
  readonly srtpProfiles: readonly SrtpProfile[];
  readonly random: RandomSource;
  /** That may be agreed on. */
  readonly versions: readonly DtlsVersion[];
  /** Key exchange groups of DTLS 1.3 in order of preference. */
  readonly groups: readonly NamedGroup[];
  /** A server's key pair, made ahead. */
  readonly keyShare?: KeyShare<'x25519'>;
}

/** What a handshake ends with. */
export interface HandshakeResult {
  readonly version: DtlsVersion;
  /** IANA name, such as TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256. */
  readonly cipherSuite: string;
  /** What the keys were agreed on with. */
  readonly group: NamedGroup;
  /** Null when no profile was common, or none was asked for. */
  readonly srtp: SrtpKeyingMaterial | null;
  /** DER; matches the announced fingerprint. */
  readonly peerCertificate: Uint8Array;
}

/** What a handshake may do with its endpoint. */
export interface HandshakeHost {
  readonly config: HandshakeConfig;
  readonly transcript: Transcript;
  /** A message with the next number; it is appended to the transcript. */
  compose(type: number, body: Uint8Array): HandshakeMessage;
  /** Sends a flight in place of the previous one. With `awaitsAnswer` it is repeated until the next call. */
  sendFlight(items: readonly FlightItem[], awaitsAnswer: boolean): void;
  /** Our last flight has been answered: it is not repeated any more. */
  endFlight(): void;
  /** Drops what was received of messages behind the one that is being handled. */
  forgetAhead(): void;
  addReadEpoch(epoch: number, protection: ReadProtection): void;
  addUnifiedReadEpoch(epoch: number, protection: UnifiedReadProtection): void;
  addWriteEpoch(epoch: number, protection: WriteProtection): void;
  /** The last write epoch may carry data, and `srtp` protect media, although nobody has shown who the peer is. */
  maySend(srtp: SrtpKeyingMaterial | null): void;
  /** Messages go to `handshake` from now on: how the choice of a version hands over. */
  continueWith(handshake: Handshake): void;
  /** The handshake is over: the peer is who it was said to be, and its Finished was good. */
  complete(result: HandshakeResult): void;
}

/**
 * What becomes of a fragment: put it together, take it as a sign that the peer lacks our last flight, answer an
 * attempt to renegotiate, or drop it.
 */
export type Admission = 'take' | 'repeat' | 'renegotiation' | DtlsDropReason;

/** One stage of a handshake: the choice of a version, or one version's way through for one role. */
export interface Handshake {
  /** Judges a fragment by the type of its message and the epoch of its record. */
  admit(type: number, epoch: number): Admission;
  /**
   * One whole message, in order. A message that is refused must have changed nothing.
   * @throws {HandshakeFault}
   */
  handle(message: HandshakeMessage): void;
  /**
   * Whether a record of this epoch with handshake messages is to be acknowledged: at once where no flight of ours will
   * answer it, later where the rest of its flight must come first. Not there in versions without acknowledgements.
   */
  acknowledges?(epoch: number): 'at once' | 'later' | 'never';
  /** The peer has acknowledged all of our last flight. */
  flightAcknowledged?(): void;
}
