/**
 * Hello extensions (RFC 5246, section 7.4.1.4). A hello keeps its extensions as raw bytes by number; the functions
 * here read and write the ones that are spoken, and give null for bytes that do not have their shape.
 */
import { srtpProfileById, SRTP_PROFILES } from '../srtp-profile.ts';
import type { SrtpProfile } from '../srtp-profile.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { HandshakeFault } from './fault.ts';

export type Extensions = ReadonlyMap<number, Uint8Array>;

/**
 * The rest of a hello: nothing at all (no extensions), or their list. Null when malformed or when one occurs twice.
 * Views of the input.
 */
export function decodeExtensions(reader: ByteReader): Extensions | null {
  const extensions = new Map<number, Uint8Array>();
  if (reader.remaining === 0) return extensions;
  const list = new ByteReader(reader.vector16());
  while (list.remaining > 0) {
    const type = list.uint16();
    const data = list.vector16();
    if (!list.intact || extensions.has(type)) return null;
    extensions.set(type, data);
  }
  return reader.complete ? extensions : null;
}

export function encodeExtensions(writer: ByteWriter, extensions: Extensions): void {
  const list = new ByteWriter();
  for (const [type, data] of extensions) list.uint16(type).vector16(data);
  writer.vector16(list.finish());
}

/** supported_groups and signature_algorithms: one list of 16-bit numbers. */
export function decodeUint16List(data: Uint8Array): number[] | null {
  const reader = new ByteReader(data);
  const list = reader.uint16List();
  return reader.complete ? list : null;
}

export function encodeUint16List(values: readonly number[]): Uint8Array {
  return new ByteWriter().uint16List(values).finish();
}

/** supported_versions of a ClientHello (RFC 8446, section 4.2.1). */
export function decodeSupportedVersions(data: Uint8Array): number[] | null {
  const reader = new ByteReader(data);
  const versions = new ByteReader(reader.vector8());
  const list: number[] = [];
  while (versions.remaining > 0) list.push(versions.uint16());
  return reader.complete && versions.complete ? list : null;
}

export function encodeSupportedVersions(versions: readonly number[]): Uint8Array {
  const list = new ByteWriter();
  for (const version of versions) list.uint16(version);
  return new ByteWriter().vector8(list.finish()).finish();
}

/** A lone 16-bit number: supported_versions of a ServerHello, key_share of a HelloRetryRequest. */
export function decodeUint16(data: Uint8Array): number | null {
  const reader = new ByteReader(data);
  const value = reader.uint16();
  return reader.complete ? value : null;
}

export function encodeUint16(value: number): Uint8Array {
  return new ByteWriter().uint16(value).finish();
}

/** A public key of a group (RFC 8446, section 4.2.8). */
export interface KeyShareEntry {
  readonly groupId: number;
  readonly publicKey: Uint8Array;
}

/** key_share of a ClientHello. */
export function decodeKeyShares(data: Uint8Array): KeyShareEntry[] | null {
  const reader = new ByteReader(data);
  const list = new ByteReader(reader.vector16());
  const shares: KeyShareEntry[] = [];
  while (list.remaining > 0) shares.push({ groupId: list.uint16(), publicKey: list.vector16() });
  return reader.complete && list.complete ? shares : null;
}

export function encodeKeyShares(shares: readonly KeyShareEntry[]): Uint8Array {
  const list = new ByteWriter();
  for (const { groupId, publicKey } of shares) list.uint16(groupId).vector16(publicKey);
  return new ByteWriter().vector16(list.finish()).finish();
}

/** key_share of a ServerHello. */
export function decodeKeyShare(data: Uint8Array): KeyShareEntry | null {
  const reader = new ByteReader(data);
  const groupId = reader.uint16();
  const publicKey = reader.vector16();
  return reader.complete ? { groupId, publicKey } : null;
}

export function encodeKeyShare({ groupId, publicKey }: KeyShareEntry): Uint8Array {
  return new ByteWriter().uint16(groupId).vector16(publicKey).finish();
}

/** The profiles and MKI of a use_srtp extension, null when there is none. @throws {HandshakeFault} */
export function readUseSrtp(data: Uint8Array | undefined): UseSrtp | null {
  if (!data) return null;
  const useSrtp = decodeUseSrtp(data);
  if (!useSrtp) throw new HandshakeFault('malformed-message');
  return useSrtp;
}

/**
 * What a server answers to the offered profiles: exactly one of them, and with the offered MKI, which is none (RFC 5764,
 * section 4.1.1). @throws {HandshakeFault}
 */
export function readChosenSrtpProfile(offered: readonly SrtpProfile[], data: Uint8Array | undefined): SrtpProfile | null {
  const useSrtp = readUseSrtp(data);
  if (!useSrtp) return null;
  const [profile] = useSrtp.profiles;
  if (useSrtp.profiles.length !== 1 || !offered.includes(profile) || useSrtp.mki.length > 0) {
    throw new HandshakeFault('illegal-parameter');
  }
  return profile;
}

/** A list of 16-bit numbers in a hello, null when the extension is not there. @throws {HandshakeFault} */
export function readUint16List(extensions: Extensions, type: number): number[] | null {
  const data = extensions.get(type);
  if (!data) return null;
  const list = decodeUint16List(data);
  if (!list) throw new HandshakeFault('malformed-message');
  return list;
}

/** use_srtp (RFC 5764, section 4.1.1): profiles that are known here, in the peer's order, and the MKI. */
export interface UseSrtp {
  readonly profiles: readonly SrtpProfile[];
  readonly mki: Uint8Array;
}

export function decodeUseSrtp(data: Uint8Array): UseSrtp | null {
  const reader = new ByteReader(data);
  const ids = reader.uint16List();
  const mki = reader.vector8();
  if (!reader.complete) return null;
  return { profiles: ids.map(srtpProfileById).filter((profile) => profile !== null), mki };
}

/** Without an MKI: one master key serves each direction for the whole call. */
export function encodeUseSrtp(profiles: readonly SrtpProfile[]): Uint8Array {
  const ids = profiles.map((profile) => SRTP_PROFILES[profile].id);
  return new ByteWriter().uint16List(ids).vector8(new Uint8Array(0)).finish();
}

/** ec_point_formats with the one format there is: uncompressed (RFC 8422, section 5.1.2). */
export const uncompressedPointFormat = Uint8Array.of(1, 0);

/** renegotiation_info of a first handshake (RFC 5746, section 3.2): an empty renegotiated_connection. */
export const emptyRenegotiationInfo = Uint8Array.of(0);

/** True when this is the renegotiation_info of a first handshake. */
export function isEmptyRenegotiationInfo(data: Uint8Array): boolean {
  return data.length === 1 && data[0] === 0;
}
