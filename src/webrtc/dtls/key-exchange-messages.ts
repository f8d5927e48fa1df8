/** ServerKeyExchange and ClientKeyExchange of ECDHE (RFC 8422, sections 5.4 and 5.7). */
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';

/** ECCurveType: the only one that is not deprecated. */
const namedCurve = 3;

/** ServerECDHParams: what the server signs, together with both randoms. */
export interface EcdhParameters {
  readonly groupId: number;
  readonly publicKey: Uint8Array;
}

export interface ServerKeyExchange extends EcdhParameters {
  readonly scheme: number;
  readonly signature: Uint8Array;
}

export function encodeEcdhParameters(parameters: EcdhParameters): Uint8Array {
  return new ByteWriter().uint8(namedCurve).uint16(parameters.groupId).vector8(parameters.publicKey).finish();
}

export function decodeServerKeyExchange(body: Uint8Array): ServerKeyExchange | null {
  const reader = new ByteReader(body);
  const curveType = reader.uint8();
  const groupId = reader.uint16();
  const publicKey = reader.vector8();
  const scheme = reader.uint16();
  const signature = reader.vector16();
  return reader.complete && curveType === namedCurve ? { groupId, publicKey, scheme, signature } : null;
}

export function encodeServerKeyExchange(exchange: ServerKeyExchange): Uint8Array {
  return new ByteWriter()
    .bytes(encodeEcdhParameters(exchange))
    .uint16(exchange.scheme)
    .vector16(exchange.signature)
    .finish();
}

/** The client's public key. */
export function decodeClientKeyExchange(body: Uint8Array): Uint8Array | null {
  const reader = new ByteReader(body);
  const publicKey = reader.vector8();
  return reader.complete ? publicKey : null;
}

export function encodeClientKeyExchange(publicKey: Uint8Array): Uint8Array {
  return new ByteWriter().vector8(publicKey).finish();
}
